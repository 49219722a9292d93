//! A small HTTP client for addresses on this machine.
//!
//! Invariant: every exchange has a limit; an answer is an answer whatever its status.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// No exchange of ours takes longer, held answers included.
const LIMIT: Duration = Duration::from_mins(1);

/// A client that keeps its connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Http {
    /// A client without connections yet.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Result<Answer> {
        self.send(Method::GET, url, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, url: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, url, Some(body)).await
    }

    /// Any method, with or without a JSON body.
    pub async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer> {
        let request = Request::builder().method(method).uri(url);
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::from(body.to_string()))?,
            None => request.body(Full::default())?,
        };
        self.request(request).await
    }

    /// A request as it is.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let shown = format!("{} {}", request.method(), request.uri());
        let exchange = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer { status: head.status, headers: head.headers, body })
        };
        match tokio::time::timeout(LIMIT, exchange).await {
            Ok(answer) => answer.with_context(|| format!("{shown} failed")),
            Err(_) => bail!("{shown} was not answered within {LIMIT:?}"),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} with a body that is not JSON: {self}", self.status))
    }

    /// The body as JSON, if the status is of the 2xx.
    pub fn accepted(&self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("refused with {}: {self}", self.status);
        }
        self.json()
    }
}

/// The body as text.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.body))
    }
}
