//! A bearer token: what its bearer carries, and what is kept of it.
//!
//! A token is `shk_`, its id, 256 random bits and a checksum, each in Crockford's base32: 4 + 26 +
//! 52 + 7 characters. Whoever finds a text of this form in a place where it does not belong can
//! tell by the checksum, without asking anybody, that it is one.
//!
//! Invariant: the token itself is kept nowhere. What is kept is its SHA-256, from which 256
//! random bits cannot be found again, so that no slow hash is needed.

use std::fmt;

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use sidehook_event::{TypeId, UnixMicros};
use subtle::{Choice, ConstantTimeEq};

use super::{Scopes, TokenId};

/// A token, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its name for good; part of the token.
    pub id: TokenId,
    /// Whose it is, in its maker's words.
    pub name: String,
    /// What its bearer may do.
    pub scopes: Scopes,
    /// What the token is recognised by.
    pub digest: TokenDigest,
    /// When it was made.
    pub created_at: UnixMicros,
    /// From when on it is refused, if ever.
    pub expires_at: Option<UnixMicros>,
    /// Since when it is refused, if it was revoked.
    pub revoked_at: Option<UnixMicros>,
}

impl AccessToken {
    /// The longest name, in characters.
    pub const LONGEST_NAME: usize = 100;
}

/// The SHA-256 of a token. Compared in constant time; all are of one length.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of what a bearer carries, whatever that is.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// As it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is stored.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for TokenDigest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// What every token begins with.
const PREFIX: &str = "shk_";
/// Digits of an id, and of half of the random bits.
const WIDE: usize = 26;
/// Digits of the checksum, which has 35 bits.
const NARROW: usize = 7;

/// Makes the token `id` from four throws of `dice`, which must be a cryptographic generator.
pub fn make_token(id: TokenId, mut dice: impl FnMut() -> u64) -> SecretString {
    let mut half = || u128::from(dice()) << 64 | u128::from(dice());
    let mut token = format!("{PREFIX}{}", digits(id.bits(), WIDE));
    token.push_str(&digits(half(), WIDE));
    token.push_str(&digits(half(), WIDE));
    token.push_str(&checksum(&token));
    token.into()
}

/// The id in a token that is one by its form. Says nothing about whether it was ever made.
pub fn token_id(token: &str) -> Option<TokenId> {
    let (rest, check) = token.split_at_checked(token.len().checked_sub(NARROW)?)?;
    let (id, random) = rest.strip_prefix(PREFIX)?.split_at_checked(WIDE)?;
    if random.len() != 2 * WIDE || check != checksum(rest) {
        return None;
    }
    TokenId::parse(&format!("{}_{id}", TokenId::PREFIX)).ok()
}

/// The first 35 bits of the SHA-256 of what stands before it.
fn checksum(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let first = hash.iter().take(5).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    digits(first >> 5, NARROW)
}

/// `bits` in so many digits, as ids are written.
fn digits(bits: u128, count: usize) -> String {
    const ALPHABET: [char; 32] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h',
        'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
    ];
    let digit = |place: usize| {
        let value = usize::try_from(bits >> (5 * place) & 31).unwrap_or(0);
        ALPHABET.get(value).copied().unwrap_or('0')
    };
    (0..count).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn token(id: u128, throws: [u64; 4]) -> String {
        let mut throws = throws.into_iter();
        let made = make_token(TokenId::from_bits(id), || throws.next().unwrap());
        assert_eq!(throws.next(), None, "256 bits are drawn");
        made.expose_secret().to_owned()
    }

    #[test]
    fn begins_as_every_token_does_and_can_be_selected_as_one_word() {
        let token = token(7, [1, 2, 3, u64::MAX]);
        assert_eq!(
            token,
            "shk_000000000000000000000000070000000000000g0000000000020000000000001zzzzzzzzzzzz\
             zgytd9y1"
        );
    }

    #[test]
    fn what_is_kept_is_not_shown() {
        let digest = TokenDigest::of("shk_0");
        assert_eq!(format!("{digest:?}"), "TokenDigest(…)");
        assert_eq!(digest, TokenDigest::from_bytes(*digest.bytes()));
        assert_ne!(digest, TokenDigest::of("shk_1"));
    }

    #[test]
    fn what_only_looks_like_a_token_has_no_id() {
        let good = token(u128::MAX, [u64::MAX; 4]);
        for text in ["", "shk_", "é", &good.to_uppercase(), &good[1..], &good[..88]] {
            assert_eq!(token_id(text), None, "{text}");
        }
        assert_eq!(token_id(&format!("{good}0")), None);
        // Its 130 bits are two more than an id has.
        let forged = format!("shk_{}{}", "z".repeat(26), "0".repeat(52));
        assert_eq!(token_id(&format!("{forged}{}", checksum(&forged))), None);
    }

    proptest! {
        #[test]
        fn a_token_tells_its_id(id: u128, throws: [u64; 4]) {
            prop_assert_eq!(token_id(&token(id, throws)), Some(TokenId::from_bits(id)));
        }

        #[test]
        fn a_slip_of_the_pen_is_seen(id: u128, throws: [u64; 4], place in 4_usize..89) {
            let mut token = token(id, throws);
            let other = if &token[place..=place] == "0" { "1" } else { "0" };
            token.replace_range(place..=place, other);
            prop_assert_eq!(token_id(&token), None);
        }

        #[test]
        fn any_text_is_a_token_or_not(text: String) {
            prop_assert_eq!(token_id(&text), None);
        }
    }
}
