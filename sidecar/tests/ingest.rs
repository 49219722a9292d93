//! What `/ingest` makes of what gateways send: batches, garbage, batches whose stream is reset.
//!
//! Invariant: the server is the real one, spoken to over TCP; what is stored is read from the
//! store.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus_client::{encoding::text, registry::Registry};
use sidehook::{
    access::{Access, Configured, Exposure},
    api::{
        self, Gate,
        server::{self, Limits, Listener},
    },
    clock::{Clock, SystemClock},
    config::Listen,
    ingest,
    model::PageRequest,
    queue::local::LocalQueue,
    store::{EventFilter, Store, seal::Keyring, sqlite::SqliteStore},
};
use sidehook_event::{Event, EventId, Exchange, TypeId, UnixMicros, wire};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

struct Sidecar {
    address: SocketAddr,
    store: Arc<dyn Store>,
    registry: Registry,
    committer: JoinHandle<()>,
    _folder: TempDir,
}

impl Sidecar {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("sidehook.db"), Keyring::default())
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let mut registry = Registry::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let (ingest, committer) = ingest::ingest(
            Arc::clone(&store),
            Arc::new(LocalQueue::default()),
            Arc::clone(&clock),
            ingest::Metrics::register(&mut registry),
        );
        let committer = tokio::spawn(committer.run());
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let listen = listener.place().unwrap();
        let Listen::Tcp(address) = listen else { unreachable!("it listens at an address") };
        let configured = Configured { api: None, ingest: Some(TOKEN.into()) };
        let access =
            Access::new(&configured, Exposure { api: vec![listen.clone()], ingest: Some(listen) });
        let gate = Gate::new(Arc::new(access), clock);
        let router = api::ingest(ingest, &gate);
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(listener, router, Limits::USUAL, stop));
        Self { address, store, registry, committer, _folder: folder }
    }

    /// Posts a body by HTTP/1.1 and returns the status.
    async fn post(&self, content_type: &str, token: &str, body: impl Into<reqwest::Body>) -> u16 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = reqwest::Client::new()
            .post(format!("http://{}/ingest", self.address))
            .header("content-type", content_type)
            .bearer_auth(token)
            .body(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Asks whether a batch would be stored, and returns the status.
    async fn ask(&self, token: &str) -> u16 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = reqwest::Client::new().get(format!("http://{}/ingest", self.address));
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    }

    /// From now on nothing is committed any more.
    async fn lose_the_committer(&mut self) {
        self.committer.abort();
        let _ = (&mut self.committer).await;
    }

    async fn stored(&self) -> usize {
        let page = PageRequest { after: None, limit: 200 };
        self.store.events(&EventFilter::default(), page).await.unwrap().data.len()
    }

    fn counted(&self, metric: &str) -> bool {
        let mut exposed = String::new();
        text::encode(&mut exposed, &self.registry).unwrap();
        exposed.lines().any(|line| line == metric)
    }
}

const TOKEN: &str = "0123456789abcdef";

fn batch(ids: impl IntoIterator<Item = u128>) -> Vec<u8> {
    batch_of("people.created", ids)
}

fn batch_of(event_type: &str, ids: impl IntoIterator<Item = u128>) -> Vec<u8> {
    let mut batch = wire::prologue("edge");
    for id in ids {
        batch.extend(wire::frame(&Event {
            id: EventId::from_bits(id),
            event_type: event_type.parse().unwrap(),
            source: "edge".to_owned(),
            subject: None,
            parents: Vec::new(),
            sequence: None,
            time: UnixMicros::EPOCH,
            exchange: Exchange { status: 201, ..Exchange::default() },
        }));
    }
    batch
}

#[tokio::test]
async fn a_batch_is_stored_when_it_is_answered_and_once_if_it_comes_again() {
    let sidecar = Sidecar::start().await;
    for _ in 0..2 {
        assert_eq!(sidecar.post(wire::CONTENT_TYPE, TOKEN, batch(1..=3)).await, 204);
        assert_eq!(sidecar.stored().await, 3);
    }
    assert!(sidecar.counted("ingest_events_total{result=\"stored\"} 3"));
    assert!(sidecar.counted("ingest_events_total{result=\"known\"} 3"));
}

#[tokio::test]
async fn a_question_goes_the_way_of_a_batch_and_stores_nothing() {
    let mut sidecar = Sidecar::start().await;
    assert_eq!(sidecar.ask(TOKEN).await, 204);
    assert_eq!(sidecar.ask("another").await, 401);
    assert_eq!(sidecar.stored().await, 0);
    assert!(!sidecar.counted("ingest_batches_total{result=\"stored\"} 1"));
    sidecar.lose_the_committer().await;
    assert_eq!(sidecar.ask(TOKEN).await, 503);
}

#[tokio::test]
async fn garbage_is_refused_and_counted_and_nothing_of_it_is_stored() {
    let sidecar = Sidecar::start().await;
    let mut half = batch(1..=2);
    half.truncate(half.len() - 1);
    for garbage in [Vec::new(), b"{}".to_vec(), vec![0xff; 1000], wire::prologue("edge"), half] {
        assert_eq!(sidecar.post(wire::CONTENT_TYPE, TOKEN, garbage).await, 400);
    }
    let large = vec![0; 9 * 1024 * 1024];
    assert_eq!(sidecar.post(wire::CONTENT_TYPE, TOKEN, large).await, 413);
    assert_eq!(sidecar.post("application/json", TOKEN, batch([1])).await, 415);
    assert_eq!(sidecar.post(wire::CONTENT_TYPE, "another", batch([1])).await, 401);
    assert_eq!(sidecar.stored().await, 0);
    assert!(sidecar.counted("ingest_batches_total{result=\"malformed\"} 5"));
    assert!(sidecar.counted("ingest_batches_total{result=\"too_large\"} 1"));
}

#[tokio::test]
async fn what_sidehook_tells_of_itself_is_taken_from_nobody() {
    let sidecar = Sidecar::start().await;
    let forged = batch_of("sidehook.subscription.disabled", [1]);
    assert_eq!(sidecar.post(wire::CONTENT_TYPE, TOKEN, forged).await, 400);
    assert_eq!(sidecar.stored().await, 0);
}

#[tokio::test]
async fn a_batch_whose_stream_is_reset_right_behind_it_is_stored() {
    let sidecar = Sidecar::start().await;
    for id in 1..=20 {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        // In one piece, as it arrives from a gateway that ends.
        stream.write_all(&last_words(&batch([id]))).await.unwrap();
        let mut answer = Vec::new();
        stream.shutdown().await.unwrap();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
    }
    let all = tokio::time::timeout(Duration::from_secs(10), async {
        while sidecar.stored().await < 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of 20 batches were stored", sidecar.stored().await);
}

#[tokio::test]
async fn last_batches_that_are_found_together_with_the_end_of_their_connection_are_stored() {
    let sidecar = Sidecar::start().await;
    for id in 1..=5 {
        // Nothing is awaited meanwhile: the server's tasks, in this same thread, find it all.
        let mut stream = std::net::TcpStream::connect(sidecar.address).unwrap();
        stream.write_all(&last_words(&batch([id]))).unwrap();
    }
    let all = tokio::time::timeout(Duration::from_secs(10), async {
        while sidecar.stored().await < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of 5 batches were stored", sidecar.stored().await);
}

/// A connection of HTTP/2 (RFC 9113) that posts `body` and resets the stream, all that is sent
/// on it.
fn last_words(body: &[u8]) -> Bytes {
    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];

    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    };
    // HPACK (RFC 7541): POST and http by their index, the rest as literals.
    let literal = |name: &[u8], value: &str| {
        let length = u8::try_from(value.len()).unwrap();
        [name, &[length], value.as_bytes()].concat()
    };
    let fields = [
        vec![0x83, 0x86],
        literal(&[0x04], "/ingest"),
        literal(&[0x01], "sidehook"),
        literal(&[0x0f, 0x10], wire::CONTENT_TYPE),
        literal(&[0x0f, 0x08], &format!("Bearer {TOKEN}")),
    ];
    let mut words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    words.extend(frame(SETTINGS, 0, 0, &[]));
    words.extend(frame(HEADERS, END_HEADERS, 1, &fields.concat()));
    words.extend(frame(DATA, END_STREAM, 1, body));
    words.extend(frame(RST_STREAM, 0, 1, &CANCEL));
    words.into()
}
