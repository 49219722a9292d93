//! `sidehook listen`: what it accepts, what it refuses, and what it shows of either.
//!
//! Invariant: every webhook here is signed by an implementation that is not ours.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::{Value, json};
use sidehook::clock::{Clock as _, SystemClock};
use standardwebhooks::Webhook;

use crate::{command, said, sidehook};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"type":"people.created","data":{"id":42}}"#;

/// A running `sidehook listen`, ended when it goes out of scope.
struct Listener {
    child: Child,
    shown: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Listener {
    fn start(arguments: &str) -> Self {
        let mut command = command(&format!("listen --listen 127.0.0.1:0 {arguments}"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let shown = BufReader::new(child.stdout.take().unwrap());
        let mut listener = Self { child, shown, address: ([127, 0, 0, 1], 0).into() };
        let greeting = listener.line();
        let address = greeting.split("http://").nth(1).unwrap();
        let address = address.split(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).next();
        listener.address = address.unwrap().parse().unwrap();
        listener
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.shown.read_line(&mut line).unwrap();
        line
    }

    fn shows(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Sends `BODY`, signed with `secret`; the status and the body of the answer.
    fn receives(&self, secret: &str) -> (u16, String) {
        let seconds = SystemClock::start().now().seconds();
        let signed = Webhook::new(secret).unwrap().sign("evt_1", seconds, BODY.as_bytes()).unwrap();
        let headers = format!(
            "webhook-id: evt_1\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signed}\r\n\
             x-tenant: acme\r\n"
        );
        self.is_sent("POST", &headers, BODY)
    }

    fn is_sent(&self, method: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /hook HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split("\r\n\r\n").nth(1).unwrap().to_owned())
    }
}

impl Listener {
    /// Sends a signal and waits for the end.
    fn ends_on(&mut self, signal: &str) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(crate::printed("listen --help"));
}

#[test]
fn a_signed_webhook_is_accepted_and_shown() {
    let mut listener =
        Listener::start(&format!("--json --secret {OTHER_SECRET} --secret {SECRET}"));
    assert_eq!(listener.receives(SECRET), (200, String::new()));
    let mut shown = listener.shows();
    assert!(shown["time"].take().is_string());
    let expected = json!({
        "time": null, "verified": true, "reason": null, "status": 200, "type": "people.created",
        "id": "evt_1", "path": "/hook", "headers": {"x-tenant": "acme"},
        "body": {"type": "people.created", "data": {"id": 42}},
    });
    assert_eq!(shown, expected);
}

#[test]
fn people_see_the_verdict_and_the_body() {
    let mut listener = Listener::start(&format!("--secret {SECRET}"));
    assert_eq!(listener.line(), "\n");
    assert_eq!(listener.receives(SECRET).0, 200);
    let headline = listener.line();
    assert!(headline.ends_with("  ✓ verified  people.created  evt_1\n"), "{headline}");
    assert_eq!(listener.line(), "  POST /hook → 200\n");
    assert_eq!(listener.line(), "  x-tenant: acme\n");
    assert_eq!(listener.line(), "  {\n");
}

#[test]
fn a_webhook_that_is_not_signed_so_is_refused_and_shown() {
    let mut listener = Listener::start(&format!("--json --secret {SECRET}"));
    for (answer, reason) in [
        (listener.receives(OTHER_SECRET), "the signature does not match"),
        (listener.is_sent("POST", "", BODY), "there is no header webhook-id"),
    ] {
        assert_eq!(answer, (401, reason.to_owned()));
        let shown = listener.shows();
        assert_eq!((&shown["verified"], &shown["reason"]), (&json!(false), &json!(reason)));
    }
}

#[test]
fn a_failing_receiver_is_played_on_request() {
    let mut listener = Listener::start(&format!("--json --status 503 --secret {SECRET}"));
    assert_eq!(listener.receives(SECRET).0, 503);
    let shown = listener.shows();
    assert_eq!((&shown["verified"], &shown["status"]), (&json!(true), &json!(503)));
}

#[test]
fn a_body_without_end_and_other_methods_are_refused() {
    let mut listener = Listener::start(&format!("--json --secret {SECRET}"));
    assert_eq!(listener.is_sent("POST", "", &"a".repeat(1024 * 1024 + 1)).0, 413);
    assert_eq!(listener.shows()["status"], 413);
    assert_eq!(listener.is_sent("PUT", "", "").0, 405);
}

#[test]
fn who_merely_looks_is_told_what_it_is_and_not_reported() {
    let mut listener = Listener::start(&format!("--json --status 503 --secret {SECRET}"));
    let (status, said) = listener.is_sent("GET", "", "");
    assert!(status == 200 && said.contains("POST"), "{status} {said}");
    listener.receives(SECRET);
    assert_eq!(listener.shows()["status"], 503);
}

#[test]
fn a_request_to_stop_ends_it_in_order() {
    let mut listener = Listener::start(&format!("--secret {SECRET}"));
    assert!(listener.ends_on("TERM").success());
}

/// A sidecar with two subscriptions on two pages, the second of which points at `port`.
fn sidecar(port: u16, rotated: Arc<AtomicBool>) -> Router {
    let page = async move |Query(query): Query<Value>| {
        let subscription =
            |id, port| json!({"id": id, "url": format!("http://api.test:{port}/hook")});
        Json(if query.get("cursor") == Some(&json!("second")) {
            json!({"data": [subscription("sub_here", port)], "next": null})
        } else {
            json!({"data": [subscription("sub_elsewhere", 1)], "next": "second"})
        })
    };
    let secret = async move |headers: HeaderMap, Path(id): Path<String>| {
        let allowed = headers.get("authorization").is_some_and(|value| value == "Bearer s3cret");
        match (id.as_str(), allowed) {
            ("sub_here", true) if rotated.load(Ordering::SeqCst) => Ok(Json(
                json!({"secret": OTHER_SECRET, "previous": [{"secret": SECRET, "until": "2026-01-01T00:00:00.000000Z"}]}),
            )),
            ("sub_here", true) => Ok(Json(json!({"secret": SECRET, "previous": []}))),
            _ => Err(StatusCode::FORBIDDEN),
        }
    };
    Router::new()
        .route("/subscriptions", get(page))
        .route("/subscriptions/{id}/secret", get(secret))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_is_asked_for_the_secrets_and_again_after_a_rotation() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = socket.local_addr().unwrap();
    let listener = Listener::start(&format!("--json --api http://{api} --token s3cret"));
    let rotated = Arc::new(AtomicBool::new(false));
    let sidecar = sidecar(listener.address.port(), Arc::clone(&rotated));
    tokio::spawn(async move { axum::serve(socket, sidecar).await });
    tokio::task::spawn_blocking(move || {
        assert_eq!(listener.receives(SECRET), (200, String::new()));
        rotated.store(true, Ordering::SeqCst);
        // Forged webhooks cannot make it ask without pause, so the new secret may take a while.
        let deadline = SystemClock::start().now().seconds() + 10;
        let mut last = listener.receives(OTHER_SECRET);
        while last.0 != 200 && SystemClock::start().now().seconds() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            last = listener.receives(OTHER_SECRET);
        }
        assert_eq!(last, (200, String::new()));
        assert_eq!(listener.receives(SECRET).0, 200, "the secret before signs as well");
    })
    .await
    .unwrap();
}

#[test]
fn a_sidecar_that_does_not_answer_is_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = Listener::start(&format!("--json --api http://{closed}"));
    let (status, reason) = listener.receives(SECRET);
    assert_eq!(status, 401);
    let expected =
        "its secret is not known, for the sidecar could not be asked: GET /subscriptions";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn what_cannot_work_is_refused_with_the_name_of_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--listen {}", taken.local_addr().unwrap());
    for (arguments, flag) in [
        (taken.as_str(), "--listen"),
        ("--listen nowhere", "--listen"),
        ("--api ftp://sidecar", "--api"),
        ("--secret hunter2", "--secret"),
        ("--status 99", "--status"),
        ("--status 600", "--status"),
    ] {
        let output = sidehook(&format!("listen {arguments}"));
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}");
        assert!(said(&output).contains(flag), "{arguments}: {}", said(&output));
    }
}
