//! What requests have in common that ask for one and the same write (the header field
//! `Idempotency-Key` of the IETF's draft of that name). Pure.
//!
//! A key alone is the client's to choose, and another client may choose the same. So a mark covers
//! all that makes a write that write: who asks, for what, and what came of it. An API that honours
//! the key gives the first answer again; one that did the write once more gives another answer, and
//! that is another event.
//!
//! Invariant: two writes have the same mark only if a client could not tell one from the other.

use sha2::{Digest as _, Sha256};
use sidehook_event::Body;

/// The mark of an exchange, as long as it is not known whose event has it.
#[derive(Debug, Clone)]
pub(super) struct Mark(Sha256);

impl Mark {
    /// The mark of an exchange: of the gateway that saw it, of the request's method and path, its
    /// key and who sent it, and of both bodies.
    pub(super) fn of(asked: [&str; 5], bodies: [&Body; 2]) -> Self {
        let mut hash = Sha256::new();
        for text in asked {
            add(&mut hash, text.as_bytes());
        }
        for body in bodies {
            add(&mut hash, &body.content);
            add(&mut hash, &body.size.to_le_bytes());
        }
        Self(hash)
    }

    /// The mark of the exchange's event of this name, about this subject, with this number.
    pub(super) fn of_event(&self, name: &str, subject: Option<&str>, number: usize) -> [u8; 16] {
        let mut hash = self.0.clone();
        add(&mut hash, name.as_bytes());
        add(&mut hash, subject.unwrap_or_default().as_bytes());
        add(&mut hash, &number.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let (mark, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        *mark
    }
}

/// With its length, so that where one text ends makes a difference.
fn add(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}
