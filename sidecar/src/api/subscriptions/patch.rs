//! Changes parts of a subscription: JSON Merge Patch (RFC 7396).
//!
//! Invariant: a patched subscription is checked as a whole like a new one; what the patch does
//! not name stays as it was.

use serde_json::{Map, Value};
use sidehook_event::UnixMicros;

use super::{
    super::{Defaults, Flaws},
    headers::in_lower_case,
    request::Requested,
    rotate::OVERLAP,
    shape,
};
use crate::model::{Scheme, Secret, Subscription};

/// The subscription after `patch`. Null takes a member back to its default; that of `secret` is
/// made by `fresh`, and so is one of the other kind if only `signature` is named.
pub(super) fn patched(
    earlier: &Subscription,
    patch: Value,
    fresh: impl FnOnce(Scheme) -> Secret,
    defaults: &Defaults,
    now: UnixMicros,
) -> Result<Subscription, Flaws> {
    let Value::Object(mut patch) = patch else {
        return Err(Flaws::here("must be a JSON object"));
    };
    if let Some(Value::Object(headers)) = patch.get_mut("custom_headers") {
        *headers = in_lower_case(std::mem::take(headers))
            .map_err(|flaws| flaws.within("custom_headers"))?;
    }
    if let Some(Value::Object(retry)) = patch.get_mut("retry") {
        // Waits that grow take the place of a list.
        if retry.contains_key("exponential") {
            retry.entry("schedule").or_insert(Value::Null);
        }
    }
    let is_exchanged = exchanges_secret(&mut patch, earlier.signing.current.scheme());
    let owner_decided = patch.contains_key("enabled");
    let requested = Requested::try_from(whole(earlier, patch))?;
    let made = requested.into_subscription(earlier.id, fresh, defaults, now);
    let reason = earlier.disabled_reason.clone();
    let signing = if made.signing.current == earlier.signing.current {
        earlier.signing.clone()
    } else if is_exchanged {
        earlier.signing.rotated(made.signing.current, now, now.after(OVERLAP))
    } else {
        made.signing
    };
    Ok(Subscription {
        disabled_reason: reason.filter(|_| !owner_decided),
        signing,
        created_at: earlier.created_at,
        ..made
    })
}

/// Says whether the secret is exchanged for one that signs in another way, as if it were rotated,
/// because that way alone is named.
fn exchanges_secret(patch: &mut Map<String, Value>, earlier: Scheme) -> bool {
    let names_secret = patch.contains_key("secret");
    let Some(named) = patch.get_mut("signature") else {
        if patch.get("secret").is_some_and(|secret| !secret.is_null()) {
            // It says by itself how it signs.
            patch.insert("signature".to_owned(), Value::Null);
        }
        return false;
    };
    if named.is_null() {
        *named = Scheme::default().name().into();
    }
    let is_exchanged = !names_secret && *named != earlier.name();
    if is_exchanged {
        patch.insert("secret".to_owned(), Value::Null);
    }
    is_exchanged
}

/// What would have to be asked for to get the patched subscription from nothing. A member that
/// subscriptions do not have is kept even if it is null, so that it is noticed.
fn whole(earlier: &Subscription, patch: Map<String, Value>) -> Value {
    let mut whole = shape::writable(earlier);
    let unknown = patch.keys().filter(|name| !whole.contains_key(*name));
    let unknown: Vec<_> = unknown.cloned().collect();
    merge(&mut whole, patch);
    for name in unknown {
        whole.entry(name).or_insert(Value::Null);
    }
    Value::Object(whole)
}

/// RFC 7396, section 2. As deep as the body may be nested.
fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(members) => {
                let inner = target.entry(name).or_insert(Value::Null);
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                if let Value::Object(inner) = inner {
                    merge(inner, members);
                }
            }
            other => {
                target.insert(name, other);
            }
        }
    }
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
