//! The table: every kind of misbehaviour with what an attempt comes to, all of them at once.
//!
//! Invariant: the memory of the process stays within bounds over the whole table.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sidehook::{deliver::client::EXCERPT, model::Outcome};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    ground::{Behave, Connection, PATIENCE, Receiver, client, resident, send, until},
    heads,
};

/// How long an attempt of the table may take.
pub(crate) const LIMIT: Duration = Duration::from_millis(1500);
/// What may pass beyond it on a busy machine.
const GRACE: Duration = Duration::from_millis(1500);
/// How often each receiver is sent to at the same time.
const AT_ONCE: usize = 6;
/// By how much the memory of the process, receivers and all, may grow.
const GROWTH: usize = 32 * 1024 * 1024;

/// What an attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expected {
    /// Answered with this status.
    Status(u16),
    /// No answer.
    Failed(Outcome),
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    pub(crate) behave: Behave,
}

pub(crate) fn case<F>(
    name: &'static str,
    expected: Expected,
    behave: impl Fn(Connection) -> F + Send + Sync + 'static,
) -> Case
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    Case { name, expected, behave: Arc::new(move |connection| Box::pin(behave(connection))) }
}

const BROKEN: Expected = Expected::Failed(Outcome::Connection);
const SILENT: Expected = Expected::Failed(Outcome::Timeout);
const OK: Expected = Expected::Status(200);

/// What goes wrong below or beside the head of an answer.
fn connections() -> Vec<Case> {
    vec![
        case("never answers", SILENT, |mut c| async move { c.wait().await }),
        case("closes at once", BROKEN, |c| async move {
            drop(c);
            Some(())
        }),
        case("resets after the request", BROKEN, |mut c| async move {
            c.hear().await?;
            c.reset()
        }),
        case("resets in the middle of the head", BROKEN, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\nx-").await?;
            sleep(Duration::from_millis(20)).await;
            c.reset()
        }),
        case("closes in the middle of the status line", BROKEN, |mut c| async move {
            c.answer("HTTP/1.").await
        }),
        case("falls silent in the middle of the status line", SILENT, |mut c| async move {
            c.answer("HTTP/1.1 2").await?;
            c.wait().await
        }),
        case("trickles its head", SILENT, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\nx: ").await?;
            c.repeat("x", Duration::from_secs(1)).await
        }),
        case("answers without reading the request", OK, |mut c| async move {
            c.stream.peek(&mut [0]).await.ok()?;
            c.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            sleep(PATIENCE).await;
            Some(())
        }),
    ]
}

/// What goes wrong in the body. The status counts.
fn bodies() -> Vec<Case> {
    vec![
        case("promises more than it sends and closes", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await
        }),
        case("promises more than it sends and falls silent", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await?;
            c.wait().await
        }),
        case("sends chunks that are none", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n").await
        }),
        case("announces a chunk as large as can be", OK, |mut c| async move {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            c.answer(format!("{head}ffffffffffffffff\r\nx")).await?;
            c.wait().await
        }),
        case("never ends the extension of a chunk", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;").await?;
            c.repeat("x".repeat(1024), Duration::ZERO).await
        }),
        case("never ends its trailers", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n").await?;
            c.repeat("x-trailer: x\r\n".repeat(64), Duration::ZERO).await
        }),
        case("never ends its body", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\n\r\n").await?;
            c.repeat("x".repeat(16 * 1024), Duration::ZERO).await
        }),
        case("never ends its chunks", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            c.repeat(format!("400\r\n{}\r\n", "x".repeat(0x400)), Duration::ZERO).await
        }),
        case("trickles its body", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            c.repeat("x", Duration::from_secs(1)).await
        }),
        case("trickles an error", Expected::Status(500), |mut c| async move {
            c.answer("HTTP/1.1 500 No\r\ncontent-length: 1000\r\n\r\n").await?;
            c.repeat("x", Duration::from_millis(100)).await
        }),
        case("sends a body that grows when it is decompressed", OK, |mut c| async move {
            let bomb = gzip_of_zeros();
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n";
            c.answer(format!("{head}content-length: {}\r\n\r\n", bomb.len())).await?;
            c.say(bomb).await
        }),
        case("sends a body with 204", Expected::Status(204), |mut c| async move {
            c.answer("HTTP/1.1 204 None\r\ncontent-length: 5\r\n\r\nthere").await?;
            c.wait().await
        }),
        case("answers twice", OK, |mut c| async move {
            c.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2)).await?;
            c.wait().await
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receiver_that_misbehaves_comes_to_its_outcome_in_time_and_in_little_memory() {
    let canary = Receiver::start(|mut c| async move { c.wait().await }).await;
    let mut cases = connections();
    cases.extend(bodies());
    cases.extend(heads::cases());
    cases.extend(heads::redirects(&canary));
    assert!(cases.len() >= 30, "{} kinds", cases.len());

    let client = client();
    let well = Receiver::start(|mut c| async move {
        c.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    });
    send(&client, &well.await.url(), LIMIT).await.0.unwrap();
    let before = resident();
    let (highest, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = tokio::spawn({
        let (highest, done) = (Arc::clone(&highest), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Relaxed) {
                highest.fetch_max(resident(), Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        }
    });

    let mut attempts = JoinSet::new();
    for Case { name, expected, behave } in cases {
        let receiver = Receiver::of(behave).await;
        for _ in 0..AT_ONCE {
            let (client, url) = (client.clone(), receiver.url());
            attempts.spawn(async move {
                let (sent, took) = send(&client, &url, LIMIT).await;
                (name, expected, sent, took)
            });
        }
    }
    let mut wrong = Vec::new();
    while let Some(ended) = attempts.join_next().await {
        let (name, expected, sent, took) = ended.unwrap();
        let got = match &sent {
            Ok(answer) => Expected::Status(answer.status),
            Err(failure) => Expected::Failed(failure.outcome),
        };
        let excerpt = sent.as_ref().map_or(0, |answer| answer.excerpt.chars().count());
        if got != expected || took > LIMIT + GRACE || excerpt > EXCERPT {
            wrong.push(format!("{name}: {expected:?} was expected; after {took:?} {sent:?}"));
        }
    }
    done.store(true, Ordering::Relaxed);
    watch.await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let grown = highest.load(Ordering::Relaxed).saturating_sub(before);
    assert!(grown <= GROWTH, "the memory grew by {} KiB", grown / 1024);
    assert_eq!(canary.came(), 0, "a redirect was followed");
}

#[tokio::test]
async fn one_that_refuses_the_connection_is_told_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (sent, took) = send(&client(), &format!("http://{address}/"), LIMIT).await;
    assert_eq!(sent.unwrap_err().outcome, Outcome::Connection);
    assert!(took < LIMIT, "{took:?}");
}

#[tokio::test]
async fn a_body_that_trickles_frees_its_place_long_before_the_timeout() {
    let receiver = Receiver::start(|mut c| async move {
        c.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        c.repeat("x", Duration::from_millis(200)).await
    });
    let url = receiver.await.url();
    let (sent, took) = send(&client(), &url, Duration::from_secs(18)).await;
    assert_eq!(sent.unwrap().status, 200);
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn what_is_compressed_stays_so() {
    let receiver = Receiver::start(|mut c| async move {
        let bomb = gzip_of_zeros();
        c.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bomb.len())).await?;
        c.say(bomb).await
    });
    let (sent, _) = send(&client(), &receiver.await.url(), PATIENCE).await;
    let expected = gzip_of_zeros();
    let expected = String::from_utf8_lossy(expected.get(..EXCERPT).unwrap()).into_owned();
    assert!(sent.unwrap().excerpt == expected, "it was changed");
}

#[tokio::test]
async fn a_wish_to_be_left_alone_reaches_whoever_schedules() {
    let receiver = Receiver::start(|mut c| async move {
        c.answer("HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n").await
    });
    let (sent, _) = send(&client(), &receiver.await.url(), LIMIT).await;
    let Ok(answer) = sent else { panic!("{sent:?}") };
    assert_eq!((answer.status, answer.headers["retry-after"].as_bytes()), (429, &b"120"[..]));
}

#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_no_connection_behind() {
    let gone = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&gone);
    let receiver = Receiver::start(move |mut c| {
        let seen = Arc::clone(&seen);
        async move {
            c.wait().await;
            seen.fetch_add(1, Ordering::SeqCst);
            Some(())
        }
    });
    let receiver = receiver.await;
    let client = client();
    let short = Duration::from_millis(200);
    // One over TLS, whose handshake nobody answers, and one whose answer does not come.
    let secure = receiver.url().replace("http:", "https:");
    for url in [secure, receiver.url()] {
        let (sent, _) = send(&client, &url, short).await;
        assert_eq!(sent.unwrap_err().outcome, Outcome::Timeout, "{url}");
    }
    until(2, "connections that were closed", || gone.load(Ordering::SeqCst)).await;
    assert_eq!(receiver.came(), 2);
}

/// Some 8 MiB of zeros in the format gzip (RFC 1952, RFC 1951 section 3.2.6), 32 KiB at most.
fn gzip_of_zeros() -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Vec::new();
    // The last block, with fixed codes; the literal 0.
    bits.extend([true, true, false]);
    bits.extend([false, false, true, true, false, false, false, false]);
    // Again and again 258 bytes (code 285) from one byte before (distance code 0).
    for _ in 0..15_000 {
        bits.extend([true, true, false, false, false, true, false, true]);
        bits.extend([false; 5]);
    }
    bits.extend([false; 7]);
    for byte in bits.chunks(8) {
        let value = byte.iter().enumerate().map(|(place, bit)| u8::from(*bit) << place);
        bomb.push(value.sum());
    }
    bomb
}
