//! One at a time of each subject, in order, whatever the receiver does.
//!
//! Invariant: the receiver is a real server that fails as it likes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is how a test fails")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, http::StatusCode};
use sidehook::model::{Order, State, Subscription};
use sidehook_event::Event;
use tokio::{net::TcpListener, time::sleep};

use crate::stage::{Stage, event};

const SUBJECTS: u128 = 5;
const EACH: u128 = 12;

/// What came of each subject: the numbers of its events that were taken, and how many were under
/// way at a time at most.
#[derive(Debug, Default)]
struct Heard {
    taken: HashMap<u128, Vec<u128>>,
    under_way: HashMap<u128, usize>,
    most: usize,
    asked: u32,
}

async fn hear(heard: Arc<Mutex<Heard>>, body: Bytes) -> StatusCode {
    let payload: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let number = u128::from(payload["data"]["id"].as_u64().unwrap());
    let subject = number % SUBJECTS;
    let asked = {
        let mut heard = heard.lock().unwrap();
        *heard.under_way.entry(subject).or_default() += 1;
        heard.most = heard.most.max(heard.under_way[&subject]);
        heard.asked += 1;
        heard.asked
    };
    sleep(Duration::from_millis(u64::from(asked % 7))).await;
    let mut heard = heard.lock().unwrap();
    *heard.under_way.entry(subject).or_default() -= 1;
    if asked.is_multiple_of(4) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    heard.taken.entry(subject).or_default().push(number);
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_each_subject_one_at_a_time_is_delivered_in_order() {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let hearing = Arc::clone(&heard);
    let router = Router::new().fallback(move |body| hear(Arc::clone(&hearing), body));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut stage = Stage::new().await;
    stage.schedule = vec![Duration::from_millis(20); 12];
    stage.schedule[0] = Duration::ZERO;
    let subscription = stage.subscribe_url(&url, "created").await;
    stage.change(Subscription { ordering: Order::Subject, ..subscription }).await;
    for round in 0..EACH {
        let events = (0..SUBJECTS).map(|subject| {
            // Later ones have the smaller ids: it is not these that count.
            let number = (EACH - round) * SUBJECTS + subject;
            let subject = Some(format!("people/{subject}"));
            Event { subject, ..event(number, "people.created") }
        });
        stage.store(events).await;
    }
    let settled = stage.settled(usize::try_from(SUBJECTS * EACH).unwrap()).await;
    assert!(settled.iter().all(|delivery| delivery.state == State::Delivered));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.most, 1, "of one subject two were under way");
    for subject in 0..SUBJECTS {
        let expected: Vec<_> = (0..EACH).map(|round| (EACH - round) * SUBJECTS + subject).collect();
        assert_eq!(heard.taken[&subject], expected, "{subject}");
    }
}
