//! Connections that are kept: which serve again, and what follows when one of them was dead.
//!
//! Invariant: how often a receiver read a request is counted by the receiver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sidehook::model::Outcome;

use crate::ground::{Connection, PATIENCE, Receiver, client, send, send_body, until};

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LIMIT: Duration = Duration::from_secs(10);

/// A receiver whose `behave` is told how many requests were read before, on any connection.
async fn counting<F>(
    behave: impl Fn(Connection, Arc<AtomicUsize>) -> F + Send + Sync + 'static,
) -> (Receiver, Arc<AtomicUsize>)
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let receiver = Receiver::start(move |connection| behave(connection, Arc::clone(&count))).await;
    (receiver, heard)
}

/// Reads a request and counts it.
async fn hear(connection: &mut Connection, heard: &AtomicUsize) -> Option<()> {
    connection.hear().await?;
    heard.fetch_add(1, Ordering::SeqCst);
    Some(())
}

#[tokio::test]
async fn a_connection_serves_again_when_its_answer_was_read_to_the_end() {
    let (receiver, heard) = counting(|mut c, heard| async move {
        loop {
            hear(&mut c, &heard).await?;
            c.say(WELL).await?;
        }
    })
    .await;
    let client = client();
    for _ in 0..5 {
        assert_eq!(send(&client, &receiver.url(), LIMIT).await.0.unwrap().excerpt, "ok");
    }
    assert_eq!((receiver.came(), heard.load(Ordering::SeqCst)), (1, 5));
}

#[tokio::test]
async fn a_request_that_crosses_the_end_of_its_connection_is_sent_again_and_that_is_told() {
    for resets in [false, true] {
        let (receiver, heard) = counting(move |mut c, heard| async move {
            hear(&mut c, &heard).await?;
            c.say(WELL).await?;
            hear(&mut c, &heard).await?;
            if c.number == 0 && resets {
                return c.reset();
            }
            if c.number == 0 {
                return Some(());
            }
            c.say(WELL).await
        })
        .await;
        let client = client();
        let (first, _) = send(&client, &receiver.url(), LIMIT).await;
        assert!(!first.unwrap().resent);
        let (second, _) = send(&client, &receiver.url(), LIMIT).await;
        let Ok(second) = second else { panic!("resets: {resets}, {second:?}") };
        assert!(second.resent, "resets: {resets}");
        assert_eq!((receiver.came(), heard.load(Ordering::SeqCst)), (2, 3), "resets: {resets}");
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_it_was_idle_is_noticed_and_nothing_is_sent_twice() {
    let (receiver, heard) = counting(|mut c, heard| async move {
        hear(&mut c, &heard).await?;
        c.say(WELL).await
    })
    .await;
    let client = client();
    for _ in 0..4 {
        let (sent, _) = send(&client, &receiver.url(), LIMIT).await;
        assert_eq!(sent.unwrap().status, 200);
        // Time for the end of the connection to arrive: no state tells of it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(heard.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_a_failure_and_nothing_is_sent_twice() {
    let (receiver, heard) =
        counting(|mut c, heard| async move { hear(&mut c, &heard).await }).await;
    let (sent, _) = send(&client(), &receiver.url(), LIMIT).await;
    assert_eq!(sent.unwrap_err().outcome, Outcome::Connection);
    assert_eq!((receiver.came(), heard.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_receiver_that_closes_every_connection_unanswered_is_asked_twice_and_not_for_ever() {
    let (receiver, heard) = counting(|mut c, heard| async move {
        hear(&mut c, &heard).await?;
        if c.number == 0 {
            c.say(WELL).await?;
            hear(&mut c, &heard).await?;
        }
        Some(())
    })
    .await;
    let client = client();
    send(&client, &receiver.url(), LIMIT).await.0.unwrap();
    let (sent, _) = send(&client, &receiver.url(), LIMIT).await;
    assert_eq!(sent.unwrap_err().outcome, Outcome::Connection);
    assert_eq!((receiver.came(), heard.load(Ordering::SeqCst)), (2, 3));
}

#[tokio::test]
async fn an_answer_that_began_is_not_asked_for_again() {
    let (receiver, heard) = counting(|mut c, heard| async move {
        hear(&mut c, &heard).await?;
        c.say(WELL).await?;
        hear(&mut c, &heard).await?;
        c.say("HTTP/1.1 2").await
    })
    .await;
    let client = client();
    send(&client, &receiver.url(), LIMIT).await.0.unwrap();
    let (sent, _) = send(&client, &receiver.url(), LIMIT).await;
    assert_eq!(sent.unwrap_err().outcome, Outcome::Connection);
    assert_eq!((receiver.came(), heard.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_connection_whose_answer_was_cut_is_closed_and_serves_nobody_again() {
    let closed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&closed);
    let receiver = Receiver::start(move |mut c| {
        let seen = Arc::clone(&seen);
        async move {
            c.answer("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await?;
            // Until it is closed by the other side.
            c.repeat("x".repeat(1024), Duration::from_millis(1)).await;
            seen.fetch_add(1, Ordering::SeqCst);
            Some(())
        }
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let (sent, _) = send(&client, &receiver.url(), Duration::from_millis(500)).await;
        assert_eq!(sent.unwrap().status, 200);
    }
    until(2, "connections that were closed", || closed.load(Ordering::SeqCst)).await;
    assert_eq!(receiver.came(), 2);
}

#[tokio::test]
async fn a_large_request_that_is_answered_before_it_was_read_is_answered() {
    let receiver = Receiver::start(|mut c| async move {
        c.stream.peek(&mut [0]).await.ok()?;
        c.say("HTTP/1.1 413 Too much\r\ncontent-length: 0\r\n\r\n").await?;
        tokio::time::sleep(PATIENCE).await;
        Some(())
    })
    .await;
    let body = Bytes::from(vec![b'x'; 16 * 1024 * 1024]);
    let (sent, took) = send_body(&client(), &receiver.url(), LIMIT, body).await;
    assert_eq!(sent.unwrap().status, 413);
    assert!(took < Duration::from_secs(5), "{took:?}");
}
