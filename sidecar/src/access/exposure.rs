//! Which faces others than this machine can reach.
//!
//! Invariant: a face that they can reach is never served without a token.

use std::net::SocketAddr;

use thiserror::Error;

use crate::{config::Listen, model::Face};

/// Where the faces listen.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// The API; its metrics may have a place of their own.
    pub api: Vec<Listen>,
    /// `/ingest`, if it is served.
    pub ingest: Option<Listen>,
}

/// A face would be open to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "configuration key {key}: must be set, or a token with {scope} be stored, to listen on \
     {listen}, which is not a loopback address"
)]
pub struct Open {
    key: &'static str,
    scope: &'static str,
    listen: SocketAddr,
}

impl Exposure {
    /// Whether others than this machine can reach it. A Unix socket is the machine's own.
    pub fn is_exposed(&self, face: Face) -> bool {
        self.address(face).is_some()
    }

    pub(super) fn check(&self, has_token: impl Fn(Face) -> bool) -> Result<(), Open> {
        let api = (Face::Api, "api_token", "admin");
        let ingest = (Face::Ingest, "ingest_token", "events:write");
        for (face, key, scope) in [api, ingest] {
            if let Some(listen) = self.address(face).filter(|_| !has_token(face)) {
                return Err(Open { key, scope, listen });
            }
        }
        Ok(())
    }

    /// The address at which others can reach it.
    fn address(&self, face: Face) -> Option<SocketAddr> {
        let places = match face {
            Face::Api => self.api.as_slice(),
            Face::Ingest => self.ingest.as_slice(),
        };
        places.iter().find_map(|listen| match listen {
            Listen::Tcp(address) => Some(*address).filter(|address| !address.ip().is_loopback()),
            Listen::Unix(_) => None,
        })
    }
}
