//! What the client makes of receivers that misbehave, and where it refuses to go.
//!
//! Invariant: every receiver here is a real TCP server on loopback.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sidehook::{
    deliver::{
        client::{Answer, Client, EXCERPT, Failure},
        egress::Rule,
    },
    model::{Outcome, Target, Tls},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);

/// A receiver that treats each connection as `behave` says. Tells how many came.
async fn receiver<F>(behave: fn(TcpStream) -> F) -> (SocketAddr, mpsc::UnboundedReceiver<()>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = came.send(());
            tokio::spawn(behave(stream));
        }
    });
    (address, connections)
}

/// Reads the head of a request, then writes `text`. Gives the connection back unless it broke.
async fn answer(mut stream: TcpStream, text: &str) -> Option<TcpStream> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        stream.read_buf(&mut head).await.ok().filter(|read| *read > 0)?;
    }
    stream.write_all(text.as_bytes()).await.ok()?;
    Some(stream)
}

fn local() -> Client {
    let rule = Rule::allowing(["127.0.0.0/8".parse().unwrap()]);
    Client::new(Arc::new(rule)).unwrap()
}

async fn send(client: &Client, url: &str, limit: Duration) -> Result<Answer, Failure> {
    let target = Target::parse(url).unwrap();
    let request = Request::post(target.as_str()).body(Full::new(Bytes::from_static(b"{}")));
    timeout(LIMIT, client.send(&target, &Tls::default(), request.unwrap(), limit)).await.unwrap()
}

async fn outcome(address: SocketAddr, limit: Duration) -> Outcome {
    send(&local(), &format!("http://{address}/"), limit).await.unwrap_err().outcome
}

#[tokio::test]
async fn an_answer_is_its_status_and_the_beginning_of_its_body() {
    let behave = |stream| answer(stream, "HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nlater");
    let (address, _came) = receiver(behave).await;
    let got = send(&local(), &format!("http://{address}/"), LIMIT).await.unwrap();
    assert_eq!((got.status, got.excerpt.as_str()), (503, "later"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut visitors) =
        receiver(|stream| answer(stream, "HTTP/1.1 200 OK\r\n\r\n")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let head = format!(
            "HTTP/1.1 307 Away\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
        );
        answer(stream, &head).await;
    });
    let got = send(&local(), &format!("http://{address}/"), LIMIT).await.unwrap();
    assert_eq!(got.status, 307);
    assert!(visitors.try_recv().is_err(), "nobody was sent there");
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_excerpt() {
    let (address, _came) = receiver(|stream| async move {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut stream = answer(stream, head).await?;
        let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        Some(())
    })
    .await;
    let got = send(&local(), &format!("http://{address}/"), LIMIT).await.unwrap();
    assert_eq!((got.status, got.excerpt.len()), (200, EXCERPT));
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_at_the_time_limit() {
    let (address, _came) = receiver(|stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        let mut stream = answer(stream, head).await?;
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(())
    })
    .await;
    let limit = Duration::from_millis(300);
    let got = send(&local(), &format!("http://{address}/"), limit).await.unwrap();
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let (address, _came) = receiver(|stream| async move {
        tokio::time::sleep(LIMIT).await;
        drop(stream);
    })
    .await;
    assert_eq!(outcome(address, Duration::from_millis(200)).await, Outcome::Timeout);
}

#[tokio::test]
async fn a_connection_that_breaks_or_makes_no_sense_is_a_connection_error() {
    let (closes, _came) = receiver(|stream| async move { drop(stream) }).await;
    assert_eq!(outcome(closes, LIMIT).await, Outcome::Connection);
    let (babbles, _came) = receiver(|stream| answer(stream, "SSH-2.0-OpenSSH_9.2\r\n\r\n")).await;
    assert_eq!(outcome(babbles, LIMIT).await, Outcome::Connection);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(outcome(nobody, LIMIT).await, Outcome::Connection);
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_tls_is_a_tls_error() {
    let (address, _came) = receiver(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
        tokio::time::sleep(LIMIT).await;
    })
    .await;
    let failure = send(&local(), &format!("https://{address}/"), LIMIT).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::Tls, "{failure:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_error() {
    let failure = send(&local(), "http://nobody.invalid/", LIMIT).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::Dns, "{failure:?}");
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_denied() {
    let (address, mut came) = receiver(|stream| answer(stream, "HTTP/1.1 200 OK\r\n\r\n")).await;
    let public_only = Client::new(Arc::new(Rule::default())).unwrap();
    let port = address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let failure =
            send(&public_only, &format!("http://{host}:{port}/"), LIMIT).await.unwrap_err();
        assert_eq!(failure.outcome, Outcome::Egress, "{host}: {failure:?}");
        assert!(failure.error.contains("egress rule"), "{host}: {failure:?}");
    }
    assert!(came.try_recv().is_err(), "nobody came");
}
