//! Leaves through the operator's own proxy, if there is one.
//!
//! It is asked to connect to an address (`CONNECT`, RFC 9110, section 9.3.6), never to a name: who
//! resolves a name decides where it leads, and that is judged here.
//!
//! Invariant: its password is in no text but the one that is sent to it.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use secrecy::ExposeSecret as _;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::lookup_host,
};
use tokio_rustls::TlsConnector;

use super::{dial::dial, wire::Stream};
use crate::model::Proxy;

/// The longest head of an answer, in bytes.
const HEAD: usize = 8 * 1024;

/// Why the proxy made no connection.
#[derive(Debug, Error)]
pub(super) enum Refused {
    /// It is not there, or does not do what it is for.
    #[error("the egress proxy {0}")]
    Proxy(String),
    /// It says that it could not reach the receiver.
    #[error("the egress proxy answered {0}")]
    Receiver(u16),
}

impl Proxy {
    /// A connection to one of `addresses`, the first that the proxy can reach.
    pub(super) async fn reach(
        &self,
        addresses: &[SocketAddr],
        tls: &Arc<ClientConfig>,
    ) -> Result<Box<dyn Stream>, Refused> {
        let mut refused = Refused::Proxy("was asked for nothing".to_owned());
        for address in addresses {
            let mut stream = self
                .connect(tls)
                .await
                .map_err(|error| Refused::Proxy(format!("could not be connected to: {error}")))?;
            match self.ask(&mut stream, *address).await {
                Ok(200..=299) => return Ok(stream),
                // It tried, and could not.
                Ok(status @ (502..=504)) => refused = Refused::Receiver(status),
                Ok(status) => return Err(Refused::Proxy(format!("answered {status}"))),
                Err(error) => return Err(Refused::Proxy(format!("broke off: {error}"))),
            }
        }
        Err(refused)
    }

    async fn connect(&self, tls: &Arc<ClientConfig>) -> io::Result<Box<dyn Stream>> {
        let found = lookup_host((self.host.as_str(), self.port)).await?;
        let stream = dial(&found.collect::<Vec<_>>()).await?;
        if !self.is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        // Its own HTTP is 1.1.
        let mut tls = ClientConfig::clone(tls);
        tls.alpn_protocols.clear();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
        Ok(Box::new(stream))
    }

    /// Asks for a connection to `address`, and says what is answered.
    async fn ask(&self, stream: &mut dyn Stream, address: SocketAddr) -> io::Result<u16> {
        let mut request = format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n");
        if let Some(authorization) = &self.authorization {
            request.extend(["proxy-authorization: ", authorization.expose_secret(), "\r\n"]);
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head is the receiver's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == HEAD {
                return Err(io::Error::other("its answer has no end"));
            }
            head.push(stream.read_u8().await?);
        }
        status(&head).ok_or_else(|| io::Error::other("its answer is not HTTP/1"))
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok().filter(|status| (100..=999).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_http_1_alone() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 \r\n\r\n"), Some(407));
        for head in [&b"HTTP/2 200\r\n\r\n"[..], b"200 OK\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 x\r\n"]
        {
            assert_eq!(status(head), None);
        }
    }
}
