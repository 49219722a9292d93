//! Sends a batch to the sidecar and judges the answer.
//!
//! Invariant: only a 2xx counts as committed, and only a status that says the batch itself is at
//! fault counts as refused; all else is an outage.

use sidehook_event::wire;

use crate::{
    config::Sidecar,
    host::{Call, Host, Refusal, Token},
    outbox::Batch,
};

/// What the sidecar made of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every event of it is stored.
    Committed,
    /// It will never be taken as it is.
    Refused(u16),
    /// It has to be sent again.
    Failed(Failure),
}

/// Why a batch has to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The sidecar does not accept our token.
    Unauthorized,
    /// It answered with this status, or the gateway did in its place.
    Status(u16),
    /// There was no answer.
    Silence,
    /// The gateway could not send it.
    Unsent(u32),
}

/// Sends a batch.
pub fn send(
    host: &dyn Host,
    sidecar: &Sidecar,
    prologue: &[u8],
    batch: &Batch,
) -> Result<Token, Refusal> {
    call(host, sidecar, "POST", &batch.body(prologue))
}

/// Asks whether a batch would be stored. The answer is one like that to a batch.
pub fn ask(host: &dyn Host, sidecar: &Sidecar) -> Result<Token, Refusal> {
    call(host, sidecar, "GET", &[])
}

fn call(host: &dyn Host, sidecar: &Sidecar, method: &str, body: &[u8]) -> Result<Token, Refusal> {
    let mut headers = vec![
        (":method", method),
        (":path", sidecar.path.as_str()),
        (":authority", sidecar.cluster.as_str()),
    ];
    if !body.is_empty() {
        headers.push(("content-type", wire::CONTENT_TYPE));
    }
    if let Some(authorization) = &sidecar.authorization {
        headers.push(("authorization", authorization.reveal()));
    }
    host.call(&Call {
        cluster: &sidecar.cluster,
        headers: &headers,
        body,
        timeout: sidecar.timeout,
    })
}

/// What the `:status` of an answer means.
pub fn judge(status: Option<&[u8]>) -> Verdict {
    let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    match status {
        None => Verdict::Failed(Failure::Silence),
        Some(200..=299) => Verdict::Committed,
        Some(401 | 403) => Verdict::Failed(Failure::Unauthorized),
        Some(status @ (400 | 413 | 415 | 422)) => Verdict::Refused(status),
        Some(status) => Verdict::Failed(Failure::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_judged_by_what_to_do_about_it() {
        for (status, verdict) in [
            (Some(&b"200"[..]), Verdict::Committed),
            (Some(b"204"), Verdict::Committed),
            (Some(b"400"), Verdict::Refused(400)),
            (Some(b"413"), Verdict::Refused(413)),
            (Some(b"415"), Verdict::Refused(415)),
            (Some(b"422"), Verdict::Refused(422)),
            (Some(b"401"), Verdict::Failed(Failure::Unauthorized)),
            (Some(b"403"), Verdict::Failed(Failure::Unauthorized)),
            (Some(b"302"), Verdict::Failed(Failure::Status(302))),
            (Some(b"404"), Verdict::Failed(Failure::Status(404))),
            (Some(b"429"), Verdict::Failed(Failure::Status(429))),
            (Some(b"503"), Verdict::Failed(Failure::Status(503))),
            (Some(b"\xff"), Verdict::Failed(Failure::Silence)),
            (None, Verdict::Failed(Failure::Silence)),
        ] {
            assert_eq!(judge(status), verdict);
        }
    }
}
