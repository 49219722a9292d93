//! The one HTTP client for everything that leaves: connects only to addresses that the egress
//! rule allows, follows no redirect, uses no proxy from the environment.
//!
//! Invariant: a request ends within its time limit, and never more than [`EXCERPT`] bytes of an
//! answer are kept.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;

use super::{
    egress::{Denied, Rule},
    outcome,
};
use crate::model::{Outcome, Target};

/// How much of an answer is kept, in bytes.
pub const EXCERPT: usize = 16 * 1024;
/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The most idle connections to one host.
const IDLE_PER_HOST: usize = 64;

/// Sends requests to receivers.
#[derive(Debug, Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>,
    rule: Arc<Rule>,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body, at most [`EXCERPT`] bytes, lossily as text.
    pub excerpt: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// By what is to be done about it.
    pub outcome: Outcome,
    /// In words, the whole chain of causes.
    pub error: String,
}

impl Client {
    /// A client that goes where `rule` allows and trusts the platform's certificates.
    pub fn new(rule: Arc<Rule>) -> io::Result<Self> {
        let mut tcp = HttpConnector::new_with_resolver(Guard { rule: Arc::clone(&rule) });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .build(https);
        Ok(Self { inner, rule })
    }

    /// Where it goes.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Sends `request`, which goes to `target`, and reads the beginning of the answer. `limit`
    /// is for all of it together; an answer whose body does not end in time is one all the same.
    pub async fn send(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        // A host that is written as an address is never asked of the resolver.
        self.rule.check_literal(target).map_err(|denied| Failure {
            outcome: outcome::of_denial(&denied),
            error: denied.to_string(),
        })?;
        let sent = timeout(limit, async {
            // Inside, so that the end is counted from the same instant as the time limit.
            let end = deadline(limit);
            (self.inner.request(request).await, end)
        });
        match sent.await {
            Ok((Ok(response), end)) => {
                let (head, body) = response.into_parts();
                let excerpt = beginning_of(body, end).await;
                Ok(Answer { status: head.status.as_u16(), headers: head.headers, excerpt })
            }
            Ok((Err(error), _)) => Err(Failure { outcome: classify(&error), error: chain(&error) }),
            Err(_) => Err(Failure {
                outcome: Outcome::Timeout,
                error: format!("no answer within {}", humantime::format_duration(limit)),
            }),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a deadline for tokio's timer, not a time to decide by"
)]
fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Reads until the end of the body, the end of the time or the limit of what is kept.
async fn beginning_of(mut body: Incoming, end: Instant) -> String {
    let mut kept = Vec::new();
    while kept.len() < EXCERPT {
        let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await else {
            break;
        };
        if let Ok(data) = frame.into_data() {
            let room = EXCERPT - kept.len();
            kept.extend(data.iter().take(room));
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Finds the cause of a failed request among its sources.
fn classify(error: &(dyn Error + 'static)) -> Outcome {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(denied) = current.downcast_ref::<Denied>() {
            return outcome::of_denial(denied);
        }
        if current.is::<rustls::Error>() {
            return Outcome::Tls;
        }
        // An I/O error may carry the real one inside, which is not its source.
        let inside = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| current.source());
    }
    Outcome::Connection
}

/// The texts of an error and of its sources, those that say nothing new left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = source.source();
    }
    text
}

/// Resolves names as the egress rule demands.
#[derive(Debug, Clone)]
struct Guard {
    rule: Arc<Rule>,
}

impl Service<Name> for Guard {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Denied;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Denied>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let rule = Arc::clone(&self.rule);
        Box::pin(async move { Ok(rule.resolve(name.as_str()).await?.into_iter()) })
    }
}
