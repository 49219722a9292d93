//! What is refused before anybody is asked for a token, and what is not read before one was shown.
//!
//! Invariant: the server is the process's own, spoken to byte by byte over TCP.

use std::{net::SocketAddr, time::Duration};

use sidehook::{
    api::server::{self, Limits, Listener},
    config::Listen,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::house::{API_TOKEN, House};

/// How long anything may take that should take a moment.
const LIMIT: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _house: House,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let house = House::closed().await;
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let Ok(Listen::Tcp(address)) = listener.place() else {
            unreachable!("it listens at an address")
        };
        let stop = CancellationToken::new();
        let router = house.router.clone();
        let serving = tokio::spawn(server::serve(listener, router, limits, stop.clone()));
        Self { address, stop, serving, _house: house }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Says something and waits for the first line of the answer, empty if there is none.
    async fn told(&self, said: &str) -> String {
        let mut stream = self.connect().await;
        // A server that has heard enough hangs up.
        let _ = stream.write_all(said.as_bytes()).await;
        first_line(&mut stream).await
    }
}

async fn first_line(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let read = async {
        while !heard.contains(&b'\n') {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => heard.extend_from_slice(&buffer[..read]),
            }
        }
    };
    assert!(tokio::time::timeout(LIMIT, read).await.is_ok(), "neither an answer nor the end");
    let line = String::from_utf8_lossy(&heard);
    line.lines().next().unwrap_or_default().to_owned()
}

/// Waits until the other end hangs up.
async fn end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still there");
}

fn request(method: &str, path: &str, token: &str, headers: &str) -> String {
    let bearer = format!("authorization: Bearer {token}\r\n");
    format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{bearer}{headers}\r\n")
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_before_the_token_is_looked_at() {
    let server = Server::start(Limits::USUAL).await;
    let large = format!("x-filler: {}\r\n", "x".repeat(40 * 1024));
    let many = "x-filler: x\r\n".repeat(101);
    for token in ["wrong", API_TOKEN] {
        for headers in [&large, &many] {
            let told = server.told(&request("GET", "/events", token, headers)).await;
            assert_eq!(told, "HTTP/1.1 431 Request Header Fields Too Large", "{token}");
        }
    }
    // Just below, it is the token that counts.
    let large = format!("x-filler: {}\r\n", "x".repeat(30 * 1024));
    let told = server.told(&request("GET", "/events", "wrong", &large)).await;
    assert_eq!(told, "HTTP/1.1 401 Unauthorized");
    let told = server.told(&request("GET", "/events", API_TOKEN, &large)).await;
    assert_eq!(told, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn over_http_2_too() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start(Limits::USUAL).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (length, token, status) in
        [(40, "wrong", 431), (40, API_TOKEN, 431), (30, "wrong", 401), (30, API_TOKEN, 200)]
    {
        let request = client
            .get(format!("http://{}/events", server.address))
            .bearer_auth(token)
            .header("x-filler", "x".repeat(length * 1024));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{length} KiB, {token}");
    }
}

#[tokio::test]
async fn without_a_token_no_body_is_waited_for_or_read() {
    let server = Server::start(Limits::USUAL).await;
    for path in ["/subscriptions", "/tokens", "/ingest"] {
        for headers in [
            // More than is ever read, and none of it sent.
            "content-length: 10000000000\r\n",
            "transfer-encoding: chunked\r\n",
            "content-type: nonsense\r\ncontent-length: 5\r\n",
        ] {
            let told = server.told(&request("POST", path, "wrong", headers)).await;
            assert_eq!(told, "HTTP/1.1 401 Unauthorized", "{path} {headers}");
        }
    }
    // With one, the same body is read and found too large.
    let mut stream = server.connect().await;
    let headers = "content-type: application/json\r\ncontent-length: 10000000000\r\n";
    let head = request("POST", "/subscriptions", API_TOKEN, headers);
    stream.write_all(head.as_bytes()).await.unwrap();
    let filler = [b' '; 1024];
    for _ in 0..512 {
        // It hangs up when it has heard enough.
        if stream.write_all(&filler).await.is_err() {
            break;
        }
    }
    assert_eq!(first_line(&mut stream).await, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn who_says_nothing_or_speaks_too_slowly_is_not_waited_for() {
    let patience = Duration::from_millis(100);
    let server = Server::start(Limits { patience, ..Limits::USUAL }).await;
    for said in ["", "PRI * HTTP/2.0\r\n", "GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        end(&mut stream).await;
    }
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_waits_for_one() {
    let server = Server::start(Limits { connections: 1, ..Limits::USUAL }).await;
    let mut first = server.connect().await;
    let asked = request("GET", "/healthz", "wrong", "");
    first.write_all(asked.as_bytes()).await.unwrap();
    assert_eq!(first_line(&mut first).await, "HTTP/1.1 200 OK");

    let mut second = server.connect().await;
    second.write_all(asked.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), first_line(&mut second)).await;
    assert!(early.is_err(), "the second was served beside the first");
    drop(first);
    assert_eq!(first_line(&mut second).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn at_the_end_idle_connections_are_closed_and_nobody_is_let_in() {
    let server = Server::start(Limits::USUAL).await;
    let mut idle = server.connect().await;
    idle.write_all(request("GET", "/healthz", "wrong", "").as_bytes()).await.unwrap();
    assert_eq!(first_line(&mut idle).await, "HTTP/1.1 200 OK");
    let mut silent = server.connect().await;

    server.stop.cancel();
    end(&mut idle).await;
    end(&mut silent).await;
    assert!(tokio::time::timeout(LIMIT, server.serving).await.is_ok(), "it still serves");
    assert!(TcpStream::connect(server.address).await.is_err());
}
