//! The receivers: one server that notes each delivery and answers 204.
//!
//! Invariant: it does nothing else, and the connections that it is sent over stay open.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Empty};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{event, ledger::Ledger};

/// A server for any number of receivers, told apart by their paths.
#[derive(Debug)]
pub(super) struct Receivers {
    port: u16,
    ledger: Arc<Mutex<Arc<Ledger>>>,
    accepting: JoinHandle<()>,
}

impl Receivers {
    /// Listens.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let ledger = Arc::new(Mutex::new(Arc::new(Ledger::new(0, 0, 1))));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&ledger)));
        Ok(Self { port, ledger, accepting })
    }

    /// The address of the receiver of this number.
    pub(super) fn url(&self, number: usize) -> String {
        format!("http://127.0.0.1:{}/{number}", self.port)
    }

    /// Notes in this ledger from now on.
    pub(super) fn note_in(&self, ledger: Arc<Ledger>) {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, ledger: Arc<Mutex<Arc<Ledger>>>) {
    // Accepting fails for a moment when descriptors run out.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&ledger)));
        }
    }
}

/// One connection. How it ends is for the other side to tell.
async fn serve(stream: TcpStream, ledger: Arc<Mutex<Arc<Ledger>>>) {
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| receive(request, &ledger));
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn receive(
    request: Request<Incoming>,
    ledger: &Mutex<Arc<Ledger>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let receiver = request.uri().path().trim_start_matches('/').parse();
    let body = request.into_body().collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    if let (Ok(receiver), Some(number)) = (receiver, event::number_in(&body)) {
        let ledger = Arc::clone(&ledger.lock().unwrap_or_else(PoisonError::into_inner));
        ledger.arrive(number, receiver);
    }
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}
