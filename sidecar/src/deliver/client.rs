//! The one HTTP client for everything that leaves: connects only to addresses that the egress
//! rule allows, follows no redirect, uses no proxy but the one that it is given.
//!
//! Invariant: a request ends within its time limit; never more than [`READ`] bytes of an answer's
//! body are read, and never more than [`EXCERPT`] are kept.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, ext::on_informational};
use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connect::{Connector, Unconnected},
    egress::Rule,
    outcome,
    settings::Kept,
    trust::{self, TlsFlaw},
    wire::Tally,
};
use crate::model::{Outcome, Proxy, Target, Tls};

/// How much of an answer is kept, in bytes.
pub const EXCERPT: usize = 16 * 1024;
/// How much of an answer's body is read, in bytes: a connection can serve again only if the body
/// came to its end.
const READ: usize = 64 * 1024;
/// How long the body of an answer may take. Its status counts, and is known by then.
const BODY_LIMIT: Duration = Duration::from_secs(5);
/// The longest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;
/// The most headers of an answer.
const HEADERS: usize = 128;
/// The most answers of an interim kind (1xx) before the real one.
const INTERIM: usize = 32;
/// What a receiver may send over HTTP/2 before it is read: of one answer, and of all that share a
/// connection.
const HTTP2_WINDOWS: (u32, u32) = (64 * 1024, 1024 * 1024);
/// How often a connection over HTTP/2 is asked whether it lives, and how long it may take to say so.
/// One that died unheard would otherwise fail every attempt that it is used for.
const HTTP2_PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The most idle connections to one host.
const IDLE_PER_HOST: usize = 64;

/// Sends requests to receivers.
#[derive(Debug, Clone)]
pub struct Client {
    rule: Arc<Rule>,
    routes: Arc<Kept<Routes>>,
}

type Http = legacy::Client<Connector, Full<Bytes>>;

/// The two ways to a receiver.
#[derive(Debug, Clone)]
struct Routes {
    /// Over a connection that is there already, if there is one.
    kept: Http,
    /// Over a connection of its own.
    fresh: Http,
    connector: Connector,
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
    /// Whether it was sent a second time, since the connection that had been kept was dead: the
    /// receiver may have read it twice.
    pub resent: bool,
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
        Self::through(rule, None)
    }

    /// The same, through this proxy.
    pub fn through(rule: Arc<Rule>, proxy: Option<Proxy>) -> io::Result<Self> {
        let roots = trust::platform_roots()?;
        let tls = trust::settings(&roots, &Tls::default());
        let tls = tls.map_err(|flaw| io::Error::other(flaw.reason))?;
        let proxy = proxy.map(|proxy| (proxy, Arc::clone(&tls)));
        let usual = Routes::through(Connector { rule: Arc::clone(&rule), tls, proxy });
        let routes = Kept::new(roots, usual, |usual, tls| {
            Routes::through(Connector { tls, ..usual.connector.clone() })
        });
        Ok(Self { rule, routes: Arc::new(routes) })
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
        tls: &Tls,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        self.rule.check_written(target).map_err(|denied| Failure {
            outcome: outcome::of_denial(&denied),
            error: denied.to_string(),
        })?;
        let routes = self.routes.of(tls).map_err(|TlsFlaw { field, reason }| Failure {
            outcome: Outcome::Malformed,
            error: format!("tls.{field} {reason}"),
        })?;
        let sent = timeout(limit, async {
            // Inside, so that the end is counted from the same instant as the time limit.
            let end = deadline(limit);
            (routes.head_of_answer(request).await, end)
        });
        match sent.await {
            Ok((Ok((response, resent)), end)) => {
                let (head, body) = response.into_parts();
                let excerpt = beginning_of(body, end.min(deadline(BODY_LIMIT))).await;
                let status = head.status.as_u16();
                Ok(Answer { status, headers: head.headers, excerpt, resent })
            }
            Ok((Err(failure), _)) => Err(failure),
            Err(_) => Err(Failure {
                outcome: Outcome::Timeout,
                error: format!("no answer within {}", humantime::format_duration(limit)),
            }),
        }
    }
}

impl Routes {
    fn through(connector: Connector) -> Self {
        let with_idle = |idle: usize| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(idle)
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http1_max_buf_size(HEAD)
                .http1_max_headers(HEADERS)
                .http2_initial_stream_window_size(HTTP2_WINDOWS.0)
                .http2_initial_connection_window_size(HTTP2_WINDOWS.1)
                .http2_keep_alive_interval(HTTP2_PING.0)
                .http2_keep_alive_timeout(HTTP2_PING.1)
                .http2_keep_alive_while_idle(true)
                .build(connector.clone())
        };
        Self { kept: with_idle(IDLE_PER_HOST), fresh: with_idle(0), connector }
    }

    /// The head of the answer to `request`, and whether it had to be sent a second time.
    ///
    /// A receiver closes a connection that nobody used for a while. When a request crosses that on
    /// its way, the receiver has not failed: it is sent again, once, over a connection of its own.
    async fn head_of_answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, bool), Failure> {
        let again = request.clone();
        match exchange(&self.kept, request).await {
            Ok(response) => Ok((response, false)),
            Err(Broken { stale: true, .. }) => match exchange(&self.fresh, again).await {
                Ok(response) => Ok((response, true)),
                Err(broken) => Err(broken.failure),
            },
            Err(broken) => Err(broken.failure),
        }
    }
}

/// Why there is no head of an answer.
struct Broken {
    failure: Failure,
    /// Whether the connection alone was to blame, which had served before.
    stale: bool,
}

async fn exchange(
    client: &Http,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Broken> {
    let too_many = Arc::new(Notify::new());
    let (seen, told) = (AtomicUsize::new(0), Arc::clone(&too_many));
    on_informational(&mut request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == INTERIM {
            told.notify_one();
        }
    });
    let connection = capture_connection(&mut request);
    tokio::select! {
        answered = client.request(request) => answered
            .inspect(|response| {
                if let Some(tally) = response.extensions().get::<Tally>() {
                    tally.answered();
                }
            })
            .map_err(|error| Broken {
                stale: is_stale(&error, &connection),
                failure: Failure { outcome: classify(&error), error: chain(&error) },
            }),
        () = too_many.notified() => Err(Broken {
            stale: false,
            failure: Failure {
                outcome: Outcome::Connection,
                error: format!("more than {INTERIM} interim answers (1xx)"),
            },
        }),
    }
}

/// Whether a request failed only because the connection that was kept for it was at its end.
fn is_stale(error: &legacy::Error, connection: &CaptureConnection) -> bool {
    let mut known = http::Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut known);
    }
    let Some(tally) = known.get::<Tally>() else { return false };
    if !tally.is_http2() {
        return tally.went_silent();
    }
    let error = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        // The receiver says that it did not look at it (RFC 9113, section 8.7).
        error.is_go_away() && error.is_remote()
            || error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || error.is_io() && tally.has_answered()
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a deadline for tokio's timer, not a time to decide by"
)]
fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Reads until the end of the body, the end of the time or the limit of what is read. A body that
/// is not at its end is dropped, and its connection with it.
async fn beginning_of(mut body: Incoming, end: Instant) -> String {
    let (mut kept, mut read) = (Vec::new(), 0_usize);
    while read < READ {
        let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await else {
            break;
        };
        if let Ok(data) = frame.into_data() {
            let room = EXCERPT - kept.len();
            kept.extend(data.iter().take(room));
            read = read.saturating_add(data.len());
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Finds the cause of a failed request among its sources.
fn classify(error: &legacy::Error) -> Outcome {
    for cause in causes(error) {
        if let Some(unconnected) = cause.downcast_ref::<Unconnected>() {
            return unconnected.outcome();
        }
        if cause.is::<rustls::Error>() {
            return Outcome::Tls;
        }
    }
    Outcome::Connection
}

/// An error and what is behind it, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // An I/O error may carry the real one inside, which is not its source.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source())
    })
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
