//! What happens on the way, and makes no event or no second one: retries and redirects by the
//! gateway, answers that are not the API's, an answer before the request's end, paths that nobody
//! normalises.
//!
//! Invariant: an accepted write comes last in each test; once its event is there, the absence of
//! others is no accident of timing.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use xtask::{change::Change, ports};

use super::{
    Protocol,
    case::{Request, ada, answer, empty},
    wire::send,
};
use crate::support::{Sidehook, shared, upstream::Upstream};

/// Where the route of the writes is, in the gateway's configuration.
const WRITES: &str =
    "config: {} }\n                          route:\n                            cluster: api\n";

/// The beginning of the list of routes.
const ROUTES: &str = "                route_config:\n                  virtual_hosts:\n                    - name: api\n                      domains: [\"*\"]\n                      routes:\n";

/// Where the last filter is, the router.
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";

async fn before(upstream: &Upstream, changes: Vec<Change>) -> Result<Sidehook> {
    Sidehook::before(&upstream.url(), |plan| plan.gateway_changes = changes).await
}

async fn ask(sidehook: &Sidehook, method: &'static str, path: &'static str) -> Result<()> {
    send(sidehook.plan.gateway, &Request::json(method, path, "{}"), Protocol::Http1, 1).await
}

/// The paths of all events, the oldest first, once there are so many.
async fn paths(sidehook: &Sidehook, count: usize) -> Result<Vec<String>> {
    let events = sidehook.events_until(|events| events.len() >= count).await?;
    let path = |event: &Value| {
        event.pointer("/exchange/path").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Ok(events.iter().rev().map(path).collect())
}

async fn missed(sidehook: &Sidehook, reason: &str) -> Result<u64> {
    sidehook.counted(&format!("missed.reason.{reason}.total")).await
}

#[tokio::test]
async fn what_the_gateway_tries_again_is_one_event() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    let retries = format!("{}retry_policy: {{ retry_on: 5xx, num_retries: 3 }}\n", " ".repeat(28));
    let sidehook = before(&upstream, vec![Change::behind(WRITES, &retries)]).await?;
    let unavailable = || empty("503 Service Unavailable", "");
    upstream.answers_in_turn(&[unavailable(), unavailable(), answer("201 Created", r#"{"id":1}"#)]);
    ask(&sidehook, "POST", "/people?tried=thrice").await?;
    assert_eq!(upstream.take_requests().len(), 3);
    upstream.answers_in_turn(&[unavailable(), unavailable(), unavailable(), unavailable()]);
    ask(&sidehook, "POST", "/people?tried=in-vain").await?;
    assert_eq!(upstream.take_requests().len(), 4);
    upstream.always_answers(&ada());
    ask(&sidehook, "POST", "/people?last").await?;
    assert_eq!(paths(&sidehook, 2).await?, ["/people?tried=thrice", "/people?last"]);
    assert_eq!(missed(&sidehook, "not_accepted").await?, 1);
    sidehook.stop().await
}

#[tokio::test]
async fn a_redirect_that_the_gateway_follows_is_one_event() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    let policy = format!(
        "{}internal_redirect_policy: {{ redirect_response_codes: [307] }}\n",
        " ".repeat(28)
    );
    let sidehook = before(&upstream, vec![Change::behind(WRITES, &policy)]).await?;
    let there = format!("location: http://127.0.0.1:{}/people?there\r\n", sidehook.plan.gateway);
    upstream.answers_in_turn(&[empty("307 Temporary Redirect", &there)]);
    upstream.always_answers(&ada());
    ask(&sidehook, "POST", "/people?here").await?;
    assert_eq!(upstream.take_requests().len(), 2);
    ask(&sidehook, "POST", "/people?last").await?;
    assert_eq!(paths(&sidehook, 2).await?, ["/people?there", "/people?last"]);
    sidehook.stop().await
}

#[tokio::test]
async fn an_answer_that_is_not_the_api_s_is_no_event() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    upstream.always_answers(&ada());
    let direct = r#"                        - match: { prefix: "/people/direct" }
                          typed_per_filter_config:
                            sidehook: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {} }
                          direct_response: { status: 201, body: { inline_string: "{}" } }
"#;
    let lua = r#"                  - name: lua
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
                      default_source_code:
                        inline_string: |
                          function envoy_on_request(handle)
                            if handle:headers():get(":path") == "/people/lua" then
                              handle:respond({[":status"] = "201"}, "{}")
                            end
                          end
"#;
    let changes = vec![
        Change::behind(ROUTES, direct),
        Change::Part { of: ROUTER.to_owned(), by: format!("{lua}{ROUTER}") },
    ];
    let sidehook = before(&upstream, changes).await?;
    for path in ["/people/direct", "/people/lua"] {
        ask(&sidehook, "PUT", path).await?;
    }
    assert_eq!(upstream.take_requests().len(), 0);
    ask(&sidehook, "PUT", "/people/last").await?;
    assert_eq!(paths(&sidehook, 1).await?, ["/people/last"]);
    assert_eq!(missed(&sidehook, "local_reply").await?, 2);
    sidehook.stop().await
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_marks_the_request() -> Result<()> {
    let _machine = shared().await;
    let port = ports::free()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let api = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![0; 4096];
            let mut head = Vec::<u8>::new();
            while !head.windows(4).any(|part| part == b"\r\n\r\n") {
                let count = stream.read(&mut read).await?;
                head.extend(read.iter().take(count));
            }
            stream.write_all(&answer("201 Created", r#"{"id":7}"#)).await?;
            stream.read_to_end(&mut read).await?;
        }
        anyhow::Ok(())
    });
    let sidehook = Sidehook::before(&format!("http://127.0.0.1:{port}"), |_| ()).await?;
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, sidehook.plan.gateway)).await?;
    let half = b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-length: 10\r\n\r\n12345";
    client.write_all(half).await?;
    let events = sidehook.events_until(|events| !events.is_empty()).await?;
    let [event] = events.as_slice() else { anyhow::bail!("{events:?}") };
    assert_eq!(event["exchange"]["request"]["incomplete"], true, "{event:#}");
    assert_eq!(event["exchange"]["request"]["size"], 5);
    assert_eq!(event["data"]["id"], 7);
    api.abort();
    sidehook.stop().await
}

#[tokio::test]
async fn escaped_slashes_that_are_let_pass_are_counted() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    upstream.always_answers(&ada());
    let keep =
        Change::Part { of: "action: REJECT_REQUEST".into(), by: "action: KEEP_UNCHANGED".into() };
    let sidehook = before(&upstream, vec![keep]).await?;
    for path in ["/people%2F7", "/people%5c7"] {
        ask(&sidehook, "PUT", path).await?;
    }
    ask(&sidehook, "PUT", "/people/a%2Fb").await?;
    assert_eq!(paths(&sidehook, 1).await?, ["/people/a%2Fb"]);
    // The pattern of the route has no escaped slash, so that the filter is not even asked.
    assert_eq!(missed(&sidehook, "unmatched").await?, 0);
    sidehook.stop().await
}

/// The control: what the gateway's path settings are there for.
#[tokio::test]
async fn without_the_path_settings_there_is_a_hole() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    upstream.always_answers(&ada());
    let default = |of: &str, by: &str| Change::Part { of: of.to_owned(), by: by.to_owned() };
    let changes = vec![
        default("normalize_path: true", "normalize_path: false"),
        default("merge_slashes: true", "merge_slashes: false"),
        default(
            "path_with_escaped_slashes_action: REJECT_REQUEST",
            "path_with_escaped_slashes_action: KEEP_UNCHANGED",
        ),
    ];
    let sidehook = before(&upstream, changes).await?;
    let holes = ["//people/1", "/./people/1", "/%70eople/1", "/x/../people/1", "/people%2f1"];
    for path in holes {
        ask(&sidehook, "PUT", path).await?;
    }
    ask(&sidehook, "PUT", "/people//./last").await?;
    assert_eq!(paths(&sidehook, 1).await?, ["/people//./last"]);
    ensure!(upstream.take_requests().len() == holes.len() + 1, "the API got them all");
    sidehook.stop().await
}
