//! Makes what is personal unreadable.
//!
//! Invariant: of what is masked only so much is left as is said, and its length is not told.

use rhai::{Array, Dynamic, Engine, INT};

use super::{Fallible, objects::paths, wrong};
use crate::path::change;

const GONE: &str = "[redacted]";
const MASK: &str = "***";

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("mask_email", mask_email)
        .register_fn("mask_card", |text: &str| masked_digits(text, 4))
        .register_fn("mask_phone", |text: &str| masked_digits(text, 2))
        .register_fn("mask", |text: &str| mask(text, 0))
        .register_fn("mask", |text: &str, shown: INT| -> Fallible<String> {
            let shown = usize::try_from(shown);
            let shown = shown.map_err(|_| wrong("mask: must show no fewer than 0 characters"))?;
            Ok(mask(text, shown))
        })
        .register_fn("redact", |value: Dynamic, at: Array| redact(value, at, &GONE.into()))
        .register_fn("redact", |value: Dynamic, at: Array, with: Dynamic| redact(value, at, &with));
}

/// `a***@example.com`.
fn mask_email(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((name, host)) if !name.is_empty() => {
            let first: String = name.chars().take(1).collect();
            format!("{first}{MASK}@{host}")
        }
        _ => MASK.to_owned(),
    }
}

/// The last digits, of those of at least twice as many.
fn masked_digits(text: &str, shown: usize) -> String {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    let left = digits.len().saturating_sub(shown);
    let last = digits.get(left..).filter(|last| digits.len() >= 2 * last.len());
    format!("{MASK}{}", last.unwrap_or_default().iter().collect::<String>())
}

/// The last characters, if they are fewer than half.
fn mask(text: &str, shown: usize) -> String {
    let length = text.chars().count();
    let shown = if shown < length.div_ceil(2) { shown } else { 0 };
    let last: String = text.chars().skip(length - shown).collect();
    format!("{MASK}{last}")
}

/// The value with something else at these paths, where there is anything.
fn redact(mut value: Dynamic, at: Array, with: &Dynamic) -> Fallible<Dynamic> {
    for steps in paths("redact", at)? {
        change(&mut value, &steps, &|_| Ok(Some(with.clone())))?;
    }
    Ok(value)
}
