//! The receiver: takes a webhook, has it verified, answers, and reports it.
//!
//! Invariant: a webhook is answered 2xx by default only if it is verified, and every one that
//! came is reported, whatever was answered.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use sidehook_event::UnixMicros;
use tokio::sync::mpsc;

use super::{secrets::Secrets, signature::Signature};
use crate::clock::Clock;

/// The longest body that is taken, in bytes.
const LONGEST_BODY: usize = 1024 * 1024;

/// What a GET is answered with; browsers and health checks send one.
const INTRODUCTION: &str = "a receiver of webhooks: POST them here, at any path\n";

/// A webhook that came.
#[derive(Debug)]
pub(super) struct Report {
    /// When it came.
    pub(super) time: UnixMicros,
    /// Where to, with the query.
    pub(super) path: String,
    /// All of its headers.
    pub(super) headers: HeaderMap,
    /// Its body, empty if it could not be read.
    pub(super) body: Bytes,
    /// Why it was not verified, `None` if it was.
    pub(super) refusal: Option<String>,
    /// What it was answered with.
    pub(super) status: StatusCode,
}

/// What the receiver works with.
pub(super) struct Receiver {
    /// The secrets to verify with.
    pub(super) secrets: Secrets,
    /// The status to answer with, whatever came.
    pub(super) status: Option<StatusCode>,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
    /// Where the reports go.
    pub(super) reports: mpsc::Sender<Report>,
}

/// Takes a POST at every path, and tells whoever merely looks what it is.
pub(super) fn router(receiver: Receiver) -> Router {
    let any_path = post(take).get(async || INTRODUCTION).with_state(Arc::new(receiver));
    Router::new().fallback_service(any_path).layer(DefaultBodyLimit::max(LONGEST_BODY))
}

async fn take(
    State(receiver): State<Arc<Receiver>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let time = receiver.clock.now();
    let (body, refusal) = match body {
        Ok(body) => {
            let verdict =
                receiver.secrets.verify(signature(&headers), &body, &*receiver.clock).await;
            let refusal =
                verdict.err().map(|refusal| (StatusCode::UNAUTHORIZED, refusal.to_string()));
            (body, refusal)
        }
        Err(error) => (Bytes::new(), Some((error.status(), error.body_text()))),
    };
    let fitting = refusal.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    let status = receiver.status.unwrap_or(fitting);
    let refusal = refusal.map(|(_, reason)| reason);
    let answer = refusal.clone().unwrap_or_default();
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    // Whoever reads the reports ends the process; a report after that is of no interest.
    let _ = receiver.reports.send(Report { time, path, headers, body, refusal, status }).await;
    (status, answer).into_response()
}

fn signature(headers: &HeaderMap) -> Signature<'_> {
    let value = |name| headers.get(name).map(axum::http::HeaderValue::as_bytes);
    Signature {
        id: value("webhook-id"),
        timestamp: value("webhook-timestamp"),
        signatures: value("webhook-signature"),
    }
}
