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
    shape,
};
use crate::model::{Secret, Subscription};

/// The subscription after `patch`. Null takes a member back to its default; that of `secret` is
/// `fresh`.
pub(super) fn patched(
    earlier: &Subscription,
    patch: Value,
    fresh: Secret,
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
    let owner_decided = patch.contains_key("enabled");
    let requested = Requested::try_from(whole(earlier, patch))?;
    let made = requested.into_subscription(earlier.id, fresh, defaults, now);
    let reason = earlier.disabled_reason.clone();
    let same_secret = made.signing.current == earlier.signing.current;
    Ok(Subscription {
        disabled_reason: reason.filter(|_| !owner_decided),
        signing: if same_secret { earlier.signing.clone() } else { made.signing },
        created_at: earlier.created_at,
        ..made
    })
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
