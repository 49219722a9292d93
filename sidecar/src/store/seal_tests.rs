//! What is sealed opens with its key, at its place, unchanged; and in no other way.
//!
//! Invariant: the fixed vector never changes, for databases hold values like it.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::clock::SystemClock;

fn place(subscription: u128) -> Place {
    Place { subscription: SubscriptionId::from_bits(subscription), column: "secret" }
}

fn key(seed: u8) -> SealingKey {
    SealingKey::generate(|| u64::from_le_bytes([seed; 8]))
}

fn ring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| key(*seed)), Arc::new(SystemClock::start()))
}

/// Computed with libsodium (`crypto_aead_xchacha20poly1305_ietf_encrypt`).
#[test]
fn a_value_is_sealed_as_another_implementation_seals_it() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
    let nonce = std::array::from_fn(|n| 0x40 + u8::try_from(n).unwrap());
    let place = place(0x0102);
    let sealed = seal_with(&key, nonce, place, b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let hex: Vec<_> = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.concat(), VECTOR.concat());
    let keyring = Keyring::new([key], Arc::new(SystemClock::start()));
    let opened = keyring.open(place, &sealed).unwrap();
    assert_eq!(opened, b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
}

const VECTOR: [&str; 4] = [
    "017f01feeb2a7e81d5",
    "404142434445464748494a4b4c4d4e4f5051525354555657",
    "a3517615b3bf3470c4a5becc97db2ecbe3c8f9b3790c03de5278b115534d4ca25a984e0f",
    "06e50ff5804302d846aa65c26da75524e834",
];

#[test]
fn without_a_key_a_value_is_kept_in_clear() {
    let sealed = Keyring::default().seal(place(7), b"abc").unwrap();
    assert_eq!(sealed, b"\0abc");
    assert_eq!(Keyring::default().open(place(7), &sealed).unwrap(), b"abc");
    assert_eq!(Keyring::default().head(), None);
}

#[test]
fn what_is_in_clear_is_read_when_there_are_keys() {
    assert_eq!(ring(&[1]).open(place(7), b"\0abc").unwrap(), b"abc");
    assert_eq!(ring(&[1]).knows(b"\0abc"), Ok(()));
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let by_old = ring(&[1]).seal(place(7), b"abc").unwrap();
    let by_new = ring(&[2, 1]).seal(place(7), b"abc").unwrap();
    assert_eq!(by_new[..HEAD], ring(&[2]).head().unwrap());
    assert_eq!(ring(&[2, 1]).open(place(7), &by_old).unwrap(), b"abc");
    assert_eq!(ring(&[1, 2]).open(place(7), &by_new).unwrap(), b"abc");
}

#[test]
fn a_key_that_is_missing_is_named() {
    let sealed = ring(&[1]).seal(place(7), b"abc").unwrap();
    for keyring in [ring(&[2, 3]), Keyring::default()] {
        let missing = Error::UnknownKey(key(1).id());
        assert_eq!(keyring.open(place(7), &sealed), Err(missing));
        assert_eq!(keyring.knows(&sealed[..HEAD]), Err(missing));
    }
}

#[test]
fn the_same_value_is_never_sealed_alike() {
    let keyring = ring(&[1]);
    assert_ne!(keyring.seal(place(7), b"abc"), keyring.seal(place(7), b"abc"));
}

#[test]
fn a_value_opens_at_its_own_place_alone() {
    let keyring = ring(&[1]);
    let sealed = keyring.seal(place(7), b"abc").unwrap();
    let others = [place(8), Place { column: "custom_headers", ..place(7) }];
    for place in others {
        assert_eq!(keyring.open(place, &sealed), Err(Error::Broken), "{place:?}");
    }
}

#[test]
fn what_is_no_value_of_ours_is_refused() {
    for (value, error) in
        [(&b""[..], Error::Unknown), (b"\x02abc", Error::Unknown), (b"\x01abc", Error::Broken)]
    {
        assert_eq!(ring(&[1]).open(place(7), value), Err(error), "{value:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_again(clear in vec(any::<u8>(), 0..300), id: u128) {
        let place = place(id);
        for keyring in [ring(&[1, 2]), Keyring::default()] {
            let sealed = keyring.seal(place, &clear).unwrap();
            prop_assert_eq!(keyring.knows(&sealed[..HEAD.min(sealed.len())]), Ok(()));
            prop_assert_eq!(keyring.open(place, &sealed), Ok(clear.clone()));
        }
    }

    #[test]
    fn nothing_of_a_value_shows_in_what_is_sealed(clear in vec(any::<u8>(), 8..64)) {
        let sealed = ring(&[1]).seal(place(7), &clear).unwrap();
        prop_assert!(!sealed.windows(8).any(|piece| clear.windows(8).any(|c| c == piece)));
    }

    #[test]
    fn a_value_that_was_changed_does_not_open(
        clear in vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0..8_u32,
    ) {
        let keyring = ring(&[1]);
        let mut sealed = keyring.seal(place(7), &clear).unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        // Unless it now says of itself that it is in clear, which nobody can help.
        prop_assume!(sealed[0] != CLEAR);
        prop_assert!(keyring.open(place(7), &sealed).is_err());
    }

    #[test]
    fn a_value_that_was_cut_or_lengthened_does_not_open(clear in vec(any::<u8>(), 0..64)) {
        let keyring = ring(&[1]);
        let sealed = keyring.seal(place(7), &clear).unwrap();
        for length in 0..sealed.len() {
            prop_assert!(keyring.open(place(7), &sealed[..length]).is_err());
        }
        prop_assert!(keyring.open(place(7), &[&sealed[..], &[0]].concat()).is_err());
    }
}
