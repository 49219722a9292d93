//! `/stream` of a sidecar that runs, with deliveries that are made.
//!
//! Invariant: what is expected is waited for, in order, and no longer than a limit.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    serve::Sidecar,
    traffic::{client, happen, happen_many, post, receiver, subscribe},
};

const LIMIT: Duration = Duration::from_secs(30);

/// What a sidecar tells.
struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    /// Listens from now on.
    async fn of(sidecar: &Sidecar, query: &str) -> Self {
        let request = client().get(format!("{}/stream{query}", sidecar.api)).send();
        let answer = request.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut stream = Self { answer, text: String::new() };
        assert_eq!(stream.frame().await.unwrap(), ": listening");
        stream
    }

    /// What stands before the next empty line; `None` at the end.
    async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(frame);
            }
            let chunk = tokio::time::timeout(LIMIT, self.answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|late| panic!("{late}, nothing more was told"));
            self.text.push_str(str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            let frame = self.frame().await.unwrap();
            if let Some(data) = frame.lines().find_map(|line| line.strip_prefix("data: ")) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// The next ones: of each its kind, and how it went.
    async fn tells(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let next = self.next().await;
            let how = ["state", "outcome", "cause"].map(|name| next[name].as_str());
            let how = how.into_iter().flatten().next().unwrap_or_default();
            told.push(format!("{} {how}", next["kind"].as_str().unwrap()).trim_end().to_owned());
        }
        told
    }

    async fn ends(mut self) {
        while self.frame().await.is_some() {}
    }
}

fn sidecar() -> Sidecar {
    Sidecar::start("--egress-allow 127.0.0.0/8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_followed_to_its_delivery() {
    let (sidecar, receiver) = (sidecar(), receiver().await);
    let secret = format!("{receiver}/?key=secret");
    let subscription = subscribe(&sidecar, &secret, json!(["0s"])).await;
    let mut stream = Stream::of(&sidecar, "").await;
    happen(&sidecar, "1").await;

    let event = stream.next().await;
    assert_eq!((&event["kind"], &event["event_type"]), (&json!("event"), &json!("people.created")));
    let made = stream.next().await;
    assert_eq!((&made["kind"], &made["state"]), (&json!("delivery"), &json!("pending")));
    let attempt = stream.next().await;
    assert_eq!((&attempt["kind"], &attempt["outcome"]), (&json!("attempt"), &json!("success")));
    assert_eq!((&attempt["number"], &attempt["status_code"]), (&json!(1), &json!(204)));
    let delivered = stream.next().await;
    assert_eq!(
        (&delivered["kind"], &delivered["state"]),
        (&json!("delivery"), &json!("delivered"))
    );
    let host = json!(receiver.strip_prefix("http://"));
    for told in [&made, &attempt, &delivered] {
        assert_eq!(told["event_id"], event["event_id"]);
        assert_eq!(told["delivery_id"], made["delivery_id"]);
        assert_eq!((&told["subscription_id"], &told["host"]), (&json!(subscription), &host));
        let text = told.to_string();
        assert!(!text.contains("secret") && !text.contains("Ada"), "{text}");
    }
    // What is told is stored.
    let id = delivered["delivery_id"].as_str().unwrap();
    let shown = client().get(format!("{}/deliveries/{id}", sidecar.api)).send().await.unwrap();
    let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    assert_eq!(shown["state"], "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_is_followed_to_the_dead_letter() {
    let (sidecar, receiver) = (sidecar(), receiver().await);
    let broken = subscribe(&sidecar, &format!("{receiver}/broken"), json!(["0s", "1ms"])).await;
    let other = subscribe(&sidecar, &receiver, json!(["0s"])).await;
    let mut failed = Stream::of(&sidecar, "?outcome=failed").await;
    let mut of_one = Stream::of(&sidecar, &format!("?subscription_id={broken}")).await;
    let mut of_other =
        Stream::of(&sidecar, &format!("?kind=attempt,delivery&subscription_id={other}")).await;
    let mut of_orders = Stream::of(&sidecar, "?event_type=orders.*").await;
    happen(&sidecar, "1").await;

    assert_eq!(failed.tells(2).await, ["attempt status", "attempt status"]);
    let ends = ["delivery pending", "attempt status", "attempt status", "dead_letter exhausted"];
    assert_eq!(of_one.tells(4).await, ends);
    let ends = ["delivery pending", "attempt success", "delivery delivered"];
    assert_eq!(of_other.tells(3).await, ends);

    let order = json!({
        "specversion": "1.0", "id": "1", "source": "/orders", "type": "orders.created",
        "time": "2026-11-23T09:30:00Z",
        "data": {"name": "Ada"},
    });
    post(&sidecar, "/events", "application/cloudevents+json", order).await;
    // The first that it hears, for all else was about people.
    assert_eq!(of_orders.next().await["event_type"], "orders.created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_is_told_of_when_it_opens() {
    let (sidecar, receiver) = (sidecar(), receiver().await);
    subscribe(&sidecar, &format!("{receiver}/broken"), json!(["0s"])).await;
    let mut stream = Stream::of(&sidecar, "?kind=circuit").await;
    happen_many(&sidecar, "many", 5).await;
    assert_eq!(stream.tells(1).await, ["circuit open"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_reads_holds_up_no_delivery() {
    let (sidecar, receiver) = (sidecar(), receiver().await);
    subscribe(&sidecar, &receiver, json!(["0s"])).await;
    let mut silent =
        TcpStream::connect(sidecar.api.strip_prefix("http://").unwrap()).await.unwrap();
    let request = b"GET /stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    silent.write_all(request).await.unwrap();
    let mut other = Stream::of(&sidecar, "?kind=delivery").await;
    for number in 0..5 {
        happen_many(&sidecar, &number.to_string(), 200).await;
    }
    let mut delivered = 0;
    while delivered < 1000 {
        delivered += usize::from(other.next().await["state"] == "delivered");
    }
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_of_the_process_the_stream_ends_at_once() {
    let sidecar = sidecar();
    let stream = Stream::of(&sidecar, "").await;
    let stopping = tokio::task::spawn_blocking(move || sidecar.stop());
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        stream.ends().await;
        stopping.await.unwrap()
    });
    assert!(ended.await.is_ok(), "the process waits for who listens");
}
