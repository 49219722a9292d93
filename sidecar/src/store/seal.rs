//! Seals what must not be read from a copy of the database, and opens it again. Pure but for the
//! nonces, which are drawn by the dice it was given.
//!
//! A sealed value is `01`, the id of its key (8 bytes), a nonce (24), and what XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03) makes of the value. All that stands before the nonce, and the
//! value's place, are authenticated with it. Without a key a value is `00` and its bytes.
//!
//! Invariant: a sealed value opens at the place it was sealed for alone, and unchanged or not at
//! all. No text of an error holds any of it.

use std::sync::Arc;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use sidehook_event::TypeId as _;
use thiserror::Error;

use crate::{
    clock::Clock,
    model::{KeyId, SealingKey, SubscriptionId},
};

/// With how many bytes at most a value says how it is to be opened.
pub const HEAD: usize = 1 + KeyId::LENGTH;

const CLEAR: u8 = 0;
const SEALED: u8 = 1;
const NONCE: usize = 24;

/// The keys of this process: the first one seals, all of them open. Without any, values are kept
/// in clear.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Option<Keys>);

#[derive(Debug, Clone)]
struct Keys {
    first: SealingKey,
    others: Arc<[SealingKey]>,
    dice: Arc<dyn Clock>,
}

/// Where a value stands. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// What it is to it.
    pub column: &'static str,
}

/// Why a value cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// Its key is not known here.
    #[error("is sealed with the key {0}, which is not among secret_keys")]
    UnknownKey(KeyId),
    /// It was damaged, or comes from elsewhere.
    #[error("does not open: it was changed, or belongs to another place")]
    Broken,
    /// Nothing of ours wrote it, or a later build did.
    #[error("is neither clear nor sealed in a way that this build knows")]
    Unknown,
    /// It is too long for the cipher.
    #[error("is too long to be sealed")]
    TooLong,
}

impl Keyring {
    /// The keys, that which seals first. `dice` must be a cryptographic generator.
    pub fn new(keys: impl IntoIterator<Item = SealingKey>, dice: Arc<dyn Clock>) -> Self {
        let mut keys = keys.into_iter();
        Self(keys.next().map(|first| Keys { first, others: keys.collect(), dice }))
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What every value begins with that is sealed with the first key.
    pub fn head(&self) -> Option<[u8; HEAD]> {
        self.0.as_ref().map(|keys| head(keys.first.id()))
    }

    /// Seals a value, if there is a key.
    pub fn seal(&self, place: Place, clear: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(keys) = &self.0 else { return Ok([&[CLEAR], clear].concat()) };
        let [a, b, c] = [keys.dice.dice(), keys.dice.dice(), keys.dice.dice()];
        let mut nonce = [0; NONCE];
        for (piece, drawn) in nonce.chunks_exact_mut(8).zip([a, b, c]) {
            piece.copy_from_slice(&drawn.to_le_bytes());
        }
        seal_with(&keys.first, nonce, place, clear)
    }

    /// Opens a value, or takes it as it is if it is in clear.
    pub fn open(&self, place: Place, value: &[u8]) -> Result<Vec<u8>, Error> {
        match Head::read(value)? {
            Head::Clear(clear) => Ok(clear.to_vec()),
            Head::Sealed(id, rest) => {
                let key = self.key(id)?;
                let (nonce, text) = rest.split_first_chunk::<NONCE>().ok_or(Error::Broken)?;
                let payload = Payload { msg: text, aad: &associated(id, place) };
                let opened = XChaCha20Poly1305::new(key.bytes().into())
                    .decrypt(&XNonce::from(*nonce), payload);
                opened.map_err(|_| Error::Broken)
            }
        }
    }

    /// Seals a value anew, with the first key.
    pub fn exchange(&self, place: Place, value: &[u8]) -> Result<Vec<u8>, Error> {
        self.seal(place, &self.open(place, value)?)
    }

    /// Whether a value that begins so can be opened, as far as its beginning says.
    pub fn knows(&self, beginning: &[u8]) -> Result<(), Error> {
        match Head::read(beginning)? {
            Head::Clear(_) => Ok(()),
            Head::Sealed(id, _) => self.key(id).map(|_| ()),
        }
    }

    fn key(&self, id: KeyId) -> Result<&SealingKey, Error> {
        let keys = self.0.iter().flat_map(|keys| [&keys.first].into_iter().chain(&*keys.others));
        keys.into_iter().find(|key| key.id() == id).ok_or(Error::UnknownKey(id))
    }
}

/// How a value says that it is to be opened, and what follows.
enum Head<'a> {
    Clear(&'a [u8]),
    Sealed(KeyId, &'a [u8]),
}

impl<'a> Head<'a> {
    fn read(value: &'a [u8]) -> Result<Self, Error> {
        match value.split_first() {
            Some((&CLEAR, clear)) => Ok(Self::Clear(clear)),
            Some((&SEALED, rest)) => {
                let (id, rest) = rest.split_first_chunk().ok_or(Error::Broken)?;
                Ok(Self::Sealed(KeyId::from_bytes(*id), rest))
            }
            Some(_) | None => Err(Error::Unknown),
        }
    }
}

fn seal_with(
    key: &SealingKey,
    nonce: [u8; NONCE],
    place: Place,
    clear: &[u8],
) -> Result<Vec<u8>, Error> {
    let payload = Payload { msg: clear, aad: &associated(key.id(), place) };
    let text = XChaCha20Poly1305::new(key.bytes().into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Error::TooLong)?;
    Ok([&head(key.id())[..], &nonce, &text].concat())
}

fn head(id: KeyId) -> [u8; HEAD] {
    let mut head = [SEALED; HEAD];
    if let Some(place) = head.last_chunk_mut() {
        *place = id.bytes();
    }
    head
}

/// What is authenticated with a value though it is not part of it.
fn associated(id: KeyId, place: Place) -> Vec<u8> {
    let subscription = place.subscription.bits().to_be_bytes();
    [&head(id)[..], &subscription, place.column.as_bytes()].concat()
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
