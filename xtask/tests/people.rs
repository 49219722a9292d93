//! The sample API answers as an ordinary REST service does.
//!
//! Invariant: it is asked over TCP, as every client of it asks.

use std::{process::Stdio, time::Duration};

use anyhow::Context as _;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};
use xtask::{http::Http, people, ports, serving::Serving};

/// Longer than starting or ending takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

struct Api {
    serving: Serving,
    http: Http,
}

impl Api {
    async fn start() -> anyhow::Result<Self> {
        let serving = Serving::start(people::api(), ports::free()?).await?;
        Ok(Self { serving, http: Http::new() })
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}{path}", self.serving.url());
        let body = (!body.is_null()).then_some(&body);
        let answer = self.http.send(method, &url, body).await?;
        Ok((answer.status.as_u16(), answer.json().unwrap_or_default()))
    }
}

#[tokio::test]
async fn a_person_is_created_shown_changed_and_removed() -> anyhow::Result<()> {
    let api = Api::start().await?;
    let ada = json!({"name": "Ada", "email": "ada@example.com"});
    let known = json!({"id": 1, "name": "Ada", "email": "ada@example.com"});
    assert_eq!(api.send(Method::POST, "/people/", ada.clone()).await?, (201, known.clone()));
    assert_eq!(api.send(Method::GET, "/people/1", Value::Null).await?, (200, known.clone()));
    assert_eq!(api.send(Method::GET, "/people", Value::Null).await?, (200, json!([known])));
    let changed = json!({"id": 1, "name": "Ada", "email": "countess@example.com"});
    let change = json!({"email": "countess@example.com"});
    assert_eq!(api.send(Method::PATCH, "/people/1", change).await?, (200, changed));
    assert_eq!(api.send(Method::PUT, "/people/1", ada.clone()).await?, (200, known));
    assert_eq!(api.send(Method::DELETE, "/people/1", Value::Null).await?, (204, Value::Null));
    assert_eq!(api.send(Method::DELETE, "/people/1", Value::Null).await?.0, 404);
    assert_eq!(api.send(Method::PUT, "/people/7", ada.clone()).await?.0, 201);
    assert_eq!(api.send(Method::POST, "/people", ada).await?.1["id"], 8);
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_person_is_refused() -> anyhow::Result<()> {
    let api = Api::start().await?;
    for not_a_person in
        [json!({}), json!([1]), json!({"name": " "}), json!({"name": "A", "email": 1})]
    {
        let (status, answer) = api.send(Method::POST, "/people", not_a_person).await?;
        assert_eq!(status, 400);
        assert!(answer["error"].is_string(), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn the_command_serves_it_where_it_is_told_to_and_ends_on_request() -> anyhow::Result<()> {
    let address = format!("127.0.0.1:{}", ports::free()?);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["people", "--listen", &address]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn()?;
    let said = BufReader::new(process.stdout.take().context("it has an output")?);
    let line = timeout(LIMIT, said.lines().next_line()).await??.context("it says where it is")?;
    let url = line.strip_prefix("people at ").context(line.clone())?;
    assert_eq!(url, format!("http://{address}/people"));
    let people: Value = Http::new().get(url).await?.json()?;
    assert_eq!(people, json!([]));
    let id = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    kill_process(id.context("it is running")?, Signal::TERM)?;
    assert!(timeout(LIMIT, process.wait()).await??.success());
    Ok(())
}
