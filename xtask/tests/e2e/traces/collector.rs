//! A real collector, and behind it a ledger of what it was told.
//!
//! Invariant: what is in the ledger went through the collector, which refuses what is not OTLP.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Read as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Told,
};
use prost::Message as _;
use xtask::{
    child::{Child, Output},
    clock::Stopwatch,
    http::Http,
    ports,
    serving::Serving,
    stack::answers,
    tools, workspace,
};

use crate::support::LIMIT;

/// A collector that is running.
pub(super) struct Collector {
    ledger: Ledger,
    port: u16,
    _behind: Serving,
    _process: Child,
}

type Ledger = Arc<Mutex<Vec<Span>>>;

/// A span as the collector passed it on.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    /// `service.name` of whoever told it.
    pub(super) service: String,
    pub(super) name: String,
    pub(super) trace_id: String,
    pub(super) id: String,
    /// Empty if it has none.
    pub(super) parent: String,
    pub(super) links: Vec<String>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Collector {
    /// Starts one, for the test of this name.
    pub(super) async fn start() -> Result<Self> {
        let ledger = Ledger::default();
        let routes = Router::new().route("/v1/traces", post(enter)).with_state(Arc::clone(&ledger));
        let behind = Serving::start(routes, ports::free()?).await?;
        let (port, grpc) = (ports::free()?, ports::free()?);
        let arguments = [
            "start".to_owned(),
            format!("--otlp-http-endpoint=127.0.0.1:{port}"),
            format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"),
            "--exporter=otlp".to_owned(),
            format!("--otlp-exporter-endpoint={}", behind.url()),
            "--otlp-exporter-protocol=http".to_owned(),
            "--disable-batching".to_owned(),
        ];
        let program = tools::collector::collector().await?;
        let (name, folder) = (format!("collector-{port}"), workspace::run_folder("tests"));
        let mut process = Child::start(name, &program, arguments, &folder, Output::Log)?;
        // Whatever it says of a path that it does not know: it is there.
        answers(&mut process, &Http::new(), &format!("http://127.0.0.1:{port}"), |_| true).await?;
        Ok(Self { ledger, port, _behind: behind, _process: process })
    }

    /// Where it takes spans.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The spans of this trace, the earliest first.
    pub(super) fn of(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// All spans.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the trace has so many spans.
    pub(super) async fn told(&self, trace_id: &str, count: usize) -> Result<Vec<Span>> {
        let start = Stopwatch::start();
        loop {
            let spans = self.of(trace_id);
            if spans.len() >= count {
                return Ok(spans);
            }
            ensure!(start.elapsed() < LIMIT, "{} of {count} spans:\n{}", spans.len(), tree(&spans));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// The spans of a trace as a tree, with their times from its beginning in milliseconds.
pub(super) fn tree(spans: &[Span]) -> String {
    let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let is_known = |id: &str| spans.iter().any(|span| span.id == id);
    let mut text = String::new();
    for root in spans.iter().filter(|span| !is_known(&span.parent)) {
        branch(spans, root, 0, first, &mut text);
    }
    text
}

fn branch(spans: &[Span], span: &Span, depth: usize, first: u64, text: &mut String) {
    let millis =
        |at: u64| u32::try_from(at.saturating_sub(first) / 1_000).map_or(0.0, f64::from) / 1e3;
    let Span { service, name, attributes, links, .. } = span;
    let indent = "  ".repeat(depth);
    let shown =
        ["http.response.status_code", "http.status_code", "sidehook.script.outcome", "error.type"];
    let shown = shown.iter().filter_map(|key| Some(format!(" {key}={}", attributes.get(*key)?)));
    let shown: String = shown.collect();
    let linked = if links.is_empty() { "" } else { " (linked to the one before)" };
    let (from, until) = (millis(span.start), millis(span.end));
    let _ = writeln!(text, "{from:9.3} {until:9.3}  {indent}{service}: {name}{shown}{linked}");
    for child in spans.iter().filter(|child| child.parent == span.id) {
        branch(spans, child, depth + 1, first, text);
    }
}

/// Enters what the collector passes on, which it always compresses.
async fn enter(State(ledger): State<Ledger>, body: Bytes) -> StatusCode {
    let mut decompressed = Vec::new();
    let read = GzDecoder::new(&*body).read_to_end(&mut decompressed);
    let request = ExportTraceServiceRequest::decode(&*decompressed);
    let (Ok(_), Ok(request)) = (read, request) else { return StatusCode::BAD_REQUEST };
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in request.resource_spans {
        let of_process = resource.resource.map(|it| texts(it.attributes)).unwrap_or_default();
        let service = of_process.get("service.name").cloned().unwrap_or_default();
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        ledger.extend(spans.map(|told| Span { service: service.clone(), ..Span::from(told) }));
    }
    StatusCode::OK
}

impl From<Told> for Span {
    fn from(told: Told) -> Self {
        Self {
            service: String::new(),
            name: told.name,
            trace_id: hexadecimal(&told.trace_id),
            id: hexadecimal(&told.span_id),
            parent: hexadecimal(&told.parent_span_id),
            links: told.links.iter().map(|link| hexadecimal(&link.span_id)).collect(),
            attributes: texts(told.attributes),
            start: told.start_time_unix_nano,
            end: told.end_time_unix_nano,
        }
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let texts = attributes.into_iter().filter_map(|attribute| {
        let text = match attribute.value?.value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key, text))
    });
    texts.collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
