//! Connects to receivers: the address is judged, then TCP, then TLS if the URL wants it.
//!
//! Invariant: a connection goes to an address that the egress rule saw and allowed, and it is
//! there, TLS and all, within [`LIMIT`]; else nothing of it is left.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;

use super::{
    dial::dial,
    egress::{Denied, Rule},
    outcome,
    proxy::Refused,
    wire::{Stream, Wire},
};
use crate::model::{Outcome, Proxy};

/// How long TCP and TLS may take together.
const LIMIT: Duration = Duration::from_secs(5);
/// The protocol by which HTTP/2 is agreed on (RFC 9113, section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// Where they may go.
    pub(super) rule: Arc<Rule>,
    /// Whom they trust.
    pub(super) tls: Arc<ClientConfig>,
    /// Through whom they go, and whom that trusts.
    pub(super) proxy: Option<(Proxy, Arc<ClientConfig>)>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum Unconnected {
    /// The egress rule has it so, or the name cannot be resolved.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// Nobody listens, or the network is not there.
    #[error("could not be connected to")]
    Tcp(#[source] io::Error),
    /// No agreement on TLS.
    #[error("could not agree on TLS")]
    Tls(#[source] io::Error),
    /// It took too long.
    #[error("no {0} within {limit}", limit = humantime::format_duration(LIMIT))]
    TooSlow(&'static str),
    /// The proxy made none.
    #[error("{0}")]
    Proxy(#[from] Refused),
    /// A URL that cannot be connected to.
    #[error("has no host that can be connected to")]
    Hostless,
}

impl Unconnected {
    /// What the attempt comes to.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Denied(denied) => outcome::of_denial(denied),
            Self::Tcp(_) | Self::Proxy(Refused::Receiver(_)) => Outcome::Connection,
            Self::Proxy(Refused::Proxy(_)) => Outcome::Proxy,
            Self::Tls(_) => Outcome::Tls,
            Self::TooSlow(_) => Outcome::Timeout,
            Self::Hostless => Outcome::Malformed,
        }
    }
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<Wire>, Unconnected> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().ok_or(Unconnected::Hostless)?;
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses = self.rule.addresses(host, port).await?;
        let mut stage = "connection";
        let made = timeout(LIMIT, async {
            let stream = self.reach(&addresses).await?;
            if !secure {
                return Ok(Wire::new(stream, false));
            }
            stage = "TLS handshake";
            self.agree(host, stream).await
        });
        match made.await {
            Ok(wire) => wire.map(TokioIo::new),
            Err(_) => Err(Unconnected::TooSlow(stage)),
        }
    }

    async fn reach(&self, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, Unconnected> {
        match &self.proxy {
            Some((proxy, tls)) => Ok(proxy.reach(addresses, tls).await?),
            None => Ok(Box::new(dial(addresses).await.map_err(Unconnected::Tcp)?)),
        }
    }

    async fn agree(&self, host: &str, stream: Box<dyn Stream>) -> Result<Wire, Unconnected> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| Unconnected::Hostless)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(Unconnected::Tls)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok(Wire::new(Box::new(stream), http2))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
