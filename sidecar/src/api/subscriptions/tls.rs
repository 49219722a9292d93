//! How a subscription's receiver is known by TLS, as a request says it.
//!
//! Invariant: connections can be made with what is read; a private key is quoted by no flaw.

use super::super::{
    Flaws,
    form::{Reader, nested},
    read::text_up_to,
};
use crate::{
    deliver::trust::{self, TlsFlaw},
    model::{ClientIdentity, Tls},
};

/// The longest text of certificates or of a key.
const LONGEST: usize = 32 * 1024;

/// Reads `{"ca", "client_certificate", "client_key"}`.
pub(super) fn tls() -> Reader<Tls> {
    let fields = nested(|form| {
        let pem = |about| text_up_to(LONGEST).about(about);
        let ca =
            pem("Certificates of authorities that are trusted besides the platform's, as PEM.");
        let ca = form.read("ca", ca);
        let certificate = pem("A certificate with its chain, as PEM.");
        let certificate = form.read("client_certificate", certificate);
        let key = form.read("client_key", pem("Its private key, as PEM; it is never shown."));
        let client = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key: key.into() }),
            (Some(_), None) => {
                form.note(Flaws::at("client_key", "must stand beside client_certificate"));
                None
            }
            (None, Some(_)) => {
                form.note(Flaws::at("client_certificate", "must stand beside client_key"));
                None
            }
        };
        Some(Tls { ca, client })
    });
    fields.and_then(|tls| match trust::check(&tls) {
        Ok(()) => Ok(tls),
        Err(TlsFlaw { field, reason }) => Err(Flaws::at(field, reason)),
    })
}
