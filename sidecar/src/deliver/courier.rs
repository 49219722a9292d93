//! The seam to receivers: whatever can bring a request to one and say what it answered.
//!
//! Invariant: it ends within the time limit that it is given.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::client::{Answer, Client, Failure};
use crate::model::{Target, Tls};

/// Brings requests to receivers.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync {
    /// Sends `request` to `target`, and says what came back within `limit`.
    async fn send(
        &self,
        target: &Target,
        tls: &Tls,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Failure>;
}

#[async_trait]
impl Courier for Client {
    async fn send(
        &self,
        target: &Target,
        tls: &Tls,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        Self::send(self, target, tls, request, limit).await
    }
}
