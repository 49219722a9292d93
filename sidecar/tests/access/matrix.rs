//! Every route, asked with every kind of token.
//!
//! Invariant: a route that is not in the table fails a test, and so does one that is there and no
//! longer exists; who may do what is written down here by hand, not computed.

use axum::http::{Method, StatusCode};
use sidehook::{api, model::Scope};

use crate::house::{Answer, House};

const ID: &str = "01h2xcejqtf2nbrexx3vqjhp41";

/// A route, and the scopes that open it; without any it is open to all.
struct Row {
    method: Method,
    path: &'static str,
    scopes: &'static [&'static str],
}

impl Row {
    /// A path of this route, with ids of the right form.
    fn example(&self) -> String {
        let id = format!("{}_{ID}", if self.path.starts_with("/tok") { "tok" } else { "sub" });
        self.path
            .replace("{id}", &id)
            .replace("{url}", "http:~~example.com")
            .replace("{event_type}", "people.created")
            .replace("{key}", "@slack")
    }
}

fn table() -> Vec<Row> {
    const SUBSCRIPTIONS: &[&str] = &["subscriptions:read", "subscriptions:write", "admin"];
    const CHANGES: &[&str] = &["subscriptions:write", "admin"];
    const EVENTS: &[&str] = &["events:read", "admin"];
    const REDRIVE: &[&str] = &["deliveries:redrive", "admin"];
    const DELIVERIES: &[&str] = &["deliveries:read", "deliveries:redrive", "admin"];
    const TOKENS: &[&str] = &["admin"];
    let rows = [
        (Method::POST, "/subscriptions", CHANGES),
        (Method::GET, "/subscriptions", SUBSCRIPTIONS),
        (Method::GET, "/subscriptions/{id}", SUBSCRIPTIONS),
        (Method::PATCH, "/subscriptions/{id}", CHANGES),
        (Method::DELETE, "/subscriptions/{id}", CHANGES),
        (Method::GET, "/subscriptions/{id}/secret", CHANGES),
        (Method::DELETE, "/subscriptions/{id}/secret", CHANGES),
        (Method::POST, "/subscriptions/{id}/rotate-secret", CHANGES),
        (Method::DELETE, "/subscriptions/{id}/rotate-secret", CHANGES),
        (Method::POST, "/subscriptions/{id}/test", CHANGES),
        (Method::DELETE, "/subscriptions/{id}/test", CHANGES),
        (Method::POST, "/subscriptions/{id}/enable", CHANGES),
        (Method::DELETE, "/subscriptions/{id}/enable", CHANGES),
        (Method::POST, "/subscriptions/{id}/disable", CHANGES),
        (Method::DELETE, "/subscriptions/{id}/disable", CHANGES),
        (Method::DELETE, "/subscriptions/{url}/{event_type}", CHANGES),
        (Method::GET, "/events", EVENTS),
        (Method::POST, "/events", &["events:write", "admin"]),
        (Method::GET, "/events/{id}", EVENTS),
        (Method::GET, "/deliveries", DELIVERIES),
        (Method::GET, "/deliveries/{id}", DELIVERIES),
        (Method::GET, "/dead-letters", DELIVERIES),
        (Method::POST, "/dead-letters/redrive", REDRIVE),
        (Method::POST, "/dead-letters/discard", REDRIVE),
        (Method::GET, "/dead-letters/{id}", DELIVERIES),
        (Method::DELETE, "/dead-letters/{id}", REDRIVE),
        (Method::POST, "/dead-letters/{id}/redrive", REDRIVE),
        (Method::POST, "/events/{id}/replay", REDRIVE),
        (Method::POST, "/subscriptions/{id}/replay", REDRIVE),
        (Method::DELETE, "/subscriptions/{id}/replay", CHANGES),
        (Method::GET, "/.well-known/sidehook-keys", &[]),
        (Method::GET, "/scripts", SUBSCRIPTIONS),
        (Method::POST, "/scripts/run", CHANGES),
        (Method::POST, "/scripts/backtest", EVENTS),
        (Method::GET, "/scripts/{key}", SUBSCRIPTIONS),
        (Method::POST, "/tokens", TOKENS),
        (Method::GET, "/tokens", TOKENS),
        (Method::DELETE, "/tokens/{id}", TOKENS),
        (Method::GET, "/stream", DELIVERIES),
        (Method::GET, "/openapi.json", &[]),
        (Method::GET, "/docs", &[]),
        (Method::GET, "/ingest", &["events:write", "admin"]),
        (Method::POST, "/ingest", &["events:write", "admin"]),
        (Method::GET, "/healthz", &[]),
        (Method::GET, "/readyz", &[]),
        (Method::GET, "/metrics", &["metrics:read", "admin"]),
    ];
    rows.into_iter().map(|(method, path, scopes)| Row { method, path, scopes }).collect()
}

/// Every way to ask for a route.
fn requests(row: &Row) -> Vec<(Method, String)> {
    let path = row.example();
    let mut requests = vec![(row.method.clone(), path.clone())];
    requests.push((row.method.clone(), format!("{path}/")));
    if row.method == Method::GET {
        requests.push((Method::HEAD, path));
    }
    requests
}

fn assert_refused(answer: &Answer, status: StatusCode, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(!answer.body_was_read, "{what}: its body was read");
    assert!(answer.header("www-authenticate").starts_with("Bearer realm=\"sidehook\""), "{what}");
}

fn assert_let_in(answer: &Answer, what: &str) {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    assert!(!refused.contains(&answer.status), "{what}: {answer:?}");
    // It did get to the route, not past all of them.
    assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
    assert!(!answer.text.contains("nothing at this path"), "{what}: {}", answer.text);
}

#[test]
fn the_table_has_every_route_of_the_process() {
    let listed: Vec<_> =
        api::every_route().iter().map(|route| (route.method.clone(), route.path)).collect();
    let known: Vec<_> = table().iter().map(|row| (row.method.clone(), row.path)).collect();
    assert_eq!(listed, known, "write down here who may use a new route");
}

#[tokio::test]
async fn who_has_no_good_token_is_not_let_in() {
    let house = House::closed().await;
    let (expired, revoked) = (house.expired().await, house.revoked().await);
    let good = house.token_for(Scope::Admin).await;
    for row in table() {
        for (method, path) in requests(&row) {
            for (kind, token, told) in [
                ("none", None, "the request must carry authorization: Bearer …"),
                ("wrong", Some("wrong"), "the bearer token is not one that was given out"),
                ("cut", Some(&good[..88]), "the bearer token is not one that was given out"),
                ("expired", Some(&*expired), "the bearer token has expired"),
                ("revoked", Some(&*revoked), "the bearer token was revoked"),
            ] {
                let what = format!("{method} {path} with {kind}");
                let answer = house.ask(&method, &path, token).await;
                if row.scopes.is_empty() {
                    assert_eq!(answer.status, StatusCode::OK, "{what}: {answer:?}");
                    continue;
                }
                assert_refused(&answer, StatusCode::UNAUTHORIZED, &what);
                if method != Method::HEAD {
                    assert_eq!(answer.member("type"), "/problems/unauthorized", "{what}");
                    assert_eq!(answer.member("detail"), told, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_scope_opens_its_routes_and_no_others() {
    let house = House::closed().await;
    let mut let_in = 0;
    for (name, scope) in Scope::NAMES {
        let token = house.token_for(scope).await;
        for row in table() {
            for (method, path) in requests(&row) {
                let what = format!("{method} {path} with {name}");
                let answer = house.ask(&method, &path, Some(&token)).await;
                if row.scopes.is_empty() || row.scopes.contains(&name) {
                    assert_let_in(&answer, &what);
                    let_in += 1;
                    continue;
                }
                assert_refused(&answer, StatusCode::FORBIDDEN, &what);
                let needed = format!("error=\"insufficient_scope\", scope=\"{}\"", row.scopes[0]);
                assert!(answer.header("www-authenticate").ends_with(&needed), "{what}");
                if method != Method::HEAD {
                    assert_eq!(answer.member("type"), "/problems/forbidden", "{what}");
                    let detail = format!("the token lacks the scope {}", row.scopes[0]);
                    assert_eq!(answer.member("detail"), detail, "{what}");
                }
            }
        }
    }
    assert!(let_in > 100, "only {let_in} were let in");
}

#[tokio::test]
async fn what_is_not_there_is_told_to_those_who_have_a_token() {
    let house = House::closed().await;
    let token = house.token_for(Scope::MetricsRead).await;
    for path in ["/", "/nothing", "/events/a/b"] {
        let answer = house.ask(&Method::GET, path, None).await;
        assert_refused(&answer, StatusCode::UNAUTHORIZED, path);
        let answer = house.ask(&Method::GET, path, Some(&token)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    for row in table().iter().filter(|row| !row.scopes.is_empty()) {
        let path = row.example();
        let answer = house.ask(&Method::PUT, &path, None).await;
        assert_refused(&answer, StatusCode::UNAUTHORIZED, &path);
        let answer = house.ask(&Method::PUT, &path, Some(&token)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(answer.header("allow").contains(row.method.as_str()), "{path}");
    }
}

#[tokio::test]
async fn on_this_machine_nothing_is_asked_for_until_there_is_a_token() {
    let house = House::open().await;
    for row in table() {
        for (method, path) in requests(&row) {
            for token in [None, Some("whatever")] {
                let answer = house.ask(&method, &path, token).await;
                assert_let_in(&answer, &format!("{method} {path} with {token:?}"));
            }
        }
    }
}

#[tokio::test]
async fn where_others_come_in_nothing_is_open_even_without_any_token() {
    let house = House::at("0.0.0.0:5000", sidehook::access::Configured::default()).await;
    for row in table().iter().filter(|row| !row.scopes.is_empty()) {
        let answer = house.ask(&row.method, &row.example(), None).await;
        assert_refused(&answer, StatusCode::UNAUTHORIZED, row.path);
    }
}
