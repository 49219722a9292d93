//! The examples of the documentation are tried, in order, and must be answered as it says.
//!
//! Invariant: an example is two blocks of `http`, what is asked and what is answered; of the
//! answer the status, the headers that are shown and the whole body must agree. A text that ends
//! with `…` stands for any that begins like it.

use axum::http::{HeaderMap, Method, Request};
use serde_json::Value;
use sidehook::api::Example;

use crate::desk::Desk;

pub(crate) const TOKEN: &str = "a token for everything";
const GUIDE: &str = include_str!("../../../docs/api.md");

/// A block: its first line, its headers and its body.
#[derive(Debug)]
struct Block<'a> {
    first: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Block<'a> {
    fn parse(text: &'a str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap()).collect();
        Self { first, headers, body }
    }
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let desk = Desk::open_with_token(Some(TOKEN)).await;
    assert!(play(&desk).await.len() > 5);
}

/// Asks what the guide asks, and returns what was asked and answered.
pub(crate) async fn play(desk: &Desk) -> Vec<Example> {
    let mut played = Vec::new();
    let blocks = GUIDE.split("```http\n").skip(1);
    let blocks: Vec<_> =
        blocks.map(|rest| Block::parse(rest.split("```").next().unwrap().trim_end())).collect();
    assert!(blocks.len() > 10 && blocks.len().is_multiple_of(2), "{}", blocks.len());
    for pair in blocks.chunks(2) {
        let [asked, expected] = pair else { unreachable!("there is an even number of blocks") };
        let (method, path) = asked.first.split_once(' ').unwrap();
        let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        // The guide says once that every request carries it.
        request = request.header("authorization", format!("Bearer {TOKEN}"));
        for (name, value) in &asked.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(asked.body.to_owned().into()).unwrap();
        let (answer, example) = desk.send_and_record(request).await;
        played.push(example);
        let shown = show(&answer.headers, &answer.body);
        assert_eq!(answer.status.to_string(), expected.first, "{method} {path}: {shown}");
        for (name, value) in &expected.headers {
            assert_eq!(answer.header(name), *value, "{method} {path}: {shown}");
        }
        let body = if expected.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(expected.body).unwrap()
        };
        let agrees = agrees(&body, &answer.body);
        assert!(agrees, "{method} {path}: {shown}");
        if path.starts_with("/subscriptions") && answer.status == 201 {
            // From here on there is something to look at.
            desk.failed(7, answer.text("/id").parse().unwrap()).await;
        }
    }
    played
}

fn agrees(told: &Value, answered: &Value) -> bool {
    match (told, answered) {
        (Value::Object(told), Value::Object(answered)) => {
            let mut members = told.iter();
            told.len() == answered.len()
                && members.all(|(name, told)| {
                    answered.get(name).is_some_and(|answered| agrees(told, answered))
                })
        }
        (Value::Array(told), Value::Array(answered)) => {
            let mut pairs = told.iter().zip(answered);
            told.len() == answered.len() && pairs.all(|(told, answered)| agrees(told, answered))
        }
        (Value::String(told), Value::String(answered)) => match told.strip_suffix('…') {
            Some(beginning) => answered.starts_with(beginning),
            None => told == answered,
        },
        _ => told == answered,
    }
}

fn show(headers: &HeaderMap, body: &Value) -> String {
    format!("{headers:?}\n{body:#}")
}
