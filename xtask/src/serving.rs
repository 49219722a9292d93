//! A small HTTP service of our own, served from within this process.
//!
//! Invariant: it ends when its owner lets go of it, connections included.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A service that is being served.
#[derive(Debug)]
pub struct Serving {
    port: u16,
    task: JoinHandle<()>,
}

impl Serving {
    /// Serves `routes` on `port` of the loopback address; it accepts connections when this
    /// returns.
    pub async fn start(routes: Router, port: u16) -> Result<Self> {
        Self::start_at(routes, (Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Serves `routes` at `address`; it accepts connections when this returns.
    pub async fn start_at(routes: Router, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("failed to listen at {address}"))?;
        let port = listener.local_addr()?.port();
        Ok(Self { port, task: tokio::spawn(accept(listener, routes)) })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address on this machine, as the beginning of a URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until it is dropped; its connections are dropped with it.
async fn accept(listener: TcpListener, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Accepting fails for a moment when descriptors run out.
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(converse(stream, routes.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection. How it ends is for the other side to tell.
async fn converse(stream: TcpStream, routes: Router) {
    drop(stream.set_nodelay(true));
    let http = auto::Builder::new(TokioExecutor::new());
    drop(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await);
}
