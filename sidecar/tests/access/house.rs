//! A house with all its doors: the routes of the process over a real store, and tokens to try.
//!
//! Invariant: a request says what it carries; whether its body was read is told with the answer.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, Method, Request, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sidehook::{
    access::{Access, Configured, Exposure},
    api::{self, Context, Defaults, Gate},
    clock::{Clock, SystemClock, mint},
    deliver::Client,
    ingest,
    live::Live,
    model::{AccessToken, Face, Scope, Scopes, TokenDigest, TokenId, make_token},
    observe::Metrics,
    queue::{Queue, local::LocalQueue},
    route::Table,
    store::{Store, seal::Keyring, sqlite::SqliteStore},
};
use sidehook_event::UnixMicros;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::opened::scripts;

/// The type of what has no end.
const EVENT_STREAM: &str = "text/event-stream";

/// The token of the configuration for the API, where there is one.
pub(crate) const API_TOKEN: &str = "the token of the configuration";

pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Arc<dyn Clock>,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Whether anything of the request's body was read.
    pub(crate) body_was_read: bool,
}

impl House {
    /// On loopback, with no token anywhere.
    pub(crate) async fn open() -> Self {
        Self::at("127.0.0.1:5000", Configured::default()).await
    }

    /// On loopback, with the token of the configuration for either face.
    pub(crate) async fn closed() -> Self {
        let api = Some(API_TOKEN.into());
        Self::at("127.0.0.1:5000", Configured { api, ingest: Some("for gateways".into()) }).await
    }

    pub(crate) async fn at(listen: &str, configured: Configured) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("sidehook.db"), Keyring::default())
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let exposure = Exposure { api: vec![listen.parse().unwrap()], ingest: listen.parse().ok() };
        let access = Arc::new(Access::new(&configured, exposure));
        let gate = Gate::new(Arc::clone(&access), Arc::clone(&clock));
        let queue: Arc<dyn Queue> = Arc::new(LocalQueue::default());
        let (ingest, committer) = ingest::ingest(
            Arc::clone(&store),
            Arc::clone(&queue),
            Arc::clone(&clock),
            ingest::Metrics::register(&mut Registry::default()),
        );
        tokio::spawn(committer.run());
        let router = api::router(Context {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            routes: Arc::new(Table::default()),
            client: Client::new(Arc::default()).unwrap(),
            scripts: scripts(),
            defaults: Defaults::default(),
            ingest: Some(ingest.clone()),
            live: Live::default(),
            gate: gate.clone(),
        })
        .merge(api::ingest(ingest, &gate))
        .merge(api::health(Arc::clone(&store), queue, CancellationToken::new(), &gate))
        .merge(api::metrics(Metrics::new().expose(), &gate));
        let router = api::nothing_else(router, &gate, Face::Api);
        Self { router, store, access, clock, _folder: folder }
    }

    /// Makes a token that allows just this, and perhaps ends at once.
    pub(crate) async fn token(&self, scopes: Scopes, ends_at: Option<UnixMicros>) -> Made {
        let id = mint::<TokenId>(&*self.clock);
        let token = make_token(id, || self.clock.dice()).expose_secret().to_owned();
        let made = AccessToken {
            id,
            name: "test".to_owned(),
            scopes,
            digest: TokenDigest::of(&token),
            created_at: self.clock.now(),
            expires_at: ends_at,
            revoked_at: None,
        };
        self.store.add_token(&made).await.unwrap();
        self.access.reload(&*self.store).await.unwrap();
        Made { id, token }
    }

    pub(crate) async fn token_for(&self, scope: Scope) -> String {
        self.token(Scopes::only(scope), None).await.token
    }

    pub(crate) async fn expired(&self) -> String {
        self.token(Scopes::only(Scope::Admin), Some(self.clock.now())).await.token
    }

    pub(crate) async fn revoked(&self) -> String {
        let Made { id, token } = self.token(Scopes::only(Scope::Admin), None).await;
        self.store.revoke_token(id, self.clock.now()).await.unwrap();
        self.access.reload(&*self.store).await.unwrap();
        token
    }

    /// Asks with a body that is worth nothing.
    pub(crate) async fn ask(&self, method: &Method, path: &str, token: Option<&str>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        self.send(request, "\0").await
    }

    pub(crate) async fn send(&self, request: http::request::Builder, body: &'static str) -> Answer {
        let was_read = Arc::new(AtomicBool::new(false));
        let reading = Arc::clone(&was_read);
        let body = Body::from_stream(stream::once(async move {
            reading.store(true, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from(body))
        }));
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        // What is streamed has no end: that it began is enough.
        let is_endless = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == EVENT_STREAM);
        let text = if is_endless { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&text).into_owned(),
            body_was_read: was_read.load(Ordering::Relaxed),
        }
    }

    /// Waits until a token is refused.
    pub(crate) async fn until_refused(&self, token: &str) -> Duration {
        let start = self.clock.monotonic();
        let refused = async {
            while self.ask(&Method::GET, "/tokens", Some(token)).await.status == StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let refused = tokio::time::timeout(Duration::from_secs(20), refused).await;
        assert!(refused.is_ok(), "the token still lets its bearer in");
        self.clock.monotonic().saturating_sub(start)
    }
}

/// A token and its id.
pub(crate) struct Made {
    pub(crate) id: TokenId,
    pub(crate) token: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the body that is a string.
    pub(crate) fn member(&self, name: &str) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }
}
