//! How a subscription's receiver is known by TLS, as a request says it.
//!
//! Invariant: connections can be made with what is read; a private key is quoted by no flaw.

use serde_json::Value;

use super::super::{Flaws, form::Form, read::text_up_to};
use crate::{
    deliver::trust::{self, TlsFlaw},
    model::{ClientIdentity, Tls},
};

/// The longest text of certificates or of a key.
const LONGEST: usize = 32 * 1024;

/// Reads `{"ca", "client_certificate", "client_key"}`.
pub(super) fn tls(value: Value) -> Result<Tls, Flaws> {
    let mut form = Form::of(value)?;
    let ca = form.read("ca", text_up_to(LONGEST));
    let certificate = form.read("client_certificate", text_up_to(LONGEST));
    let key = form.read("client_key", text_up_to(LONGEST));
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
    form.finish()?;
    let tls = Tls { ca, client };
    trust::check(&tls).map_err(|TlsFlaw { field, reason }| Flaws::at(field, reason))?;
    Ok(tls)
}
