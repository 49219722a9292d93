//! What another script or another filter would have made of an event, compared with what the
//! present one makes of it.
//!
//! Invariant: both are asked in the same way of the same event, so that whatever differs comes
//! from them.

use serde::Serialize;
use serde_json::{Value, json};
use sidehook_event::Event;
use utoipa::ToSchema;

use super::{Output, Renderer, Scripts, sandbox::Unavailable};
use crate::model::{Death, Payload, Subscription, Successor};

/// The most differences of one event that are shown.
const MOST_SHOWN: usize = 50;
/// Why what a filter holds back is filtered.
const BY_FILTER: &str = "its filter does not let it through";

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Sent(Payload),
    Filtered(String),
    Failed(String),
}

/// How what becomes of an event differs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Compared {
    /// What the new one comes to.
    pub outcome: Change,
    /// What the present one comes to: `sent`, `filtered` or `failed`.
    pub was: &'static str,
    /// A JSON Patch (RFC 6902) over content type, headers and body, with the `old` values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Value>,
    /// How many operations of it are not shown.
    #[serde(skip_serializing_if = "is_none")]
    pub omitted: usize,
    /// Why it is filtered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the new one comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The same bytes are sent.
    Same,
    /// Others are, or something at all.
    Changed,
    /// Nothing is.
    Filtered,
    /// It fails.
    Failed,
}

impl Compared {
    /// Compares what `later` is sent of the event with what `earlier` is.
    pub fn of(
        event: &Event,
        earlier: &Subscription,
        later: &Subscription,
        scripts: &Scripts,
    ) -> Result<Self, Unavailable> {
        let mut renderer = Renderer::new(event);
        let mut fate = |of| Fate::of(&mut renderer, of, scripts);
        let (earlier, later) = (fate(earlier)?, fate(later)?);
        Ok(Self::between(&earlier, later))
    }

    fn between(earlier: &Fate, later: Fate) -> Self {
        let told = |outcome| Self {
            outcome,
            was: earlier.name(),
            diff: Vec::new(),
            omitted: 0,
            reason: None,
            error: None,
        };
        match (earlier, later) {
            (Fate::Sent(earlier), Fate::Sent(later)) if *earlier == later => told(Change::Same),
            (Fate::Sent(earlier), Fate::Sent(later)) => {
                let mut diff = differences(&shown(earlier), &shown(&later));
                if diff.is_empty() {
                    // The same values in other bytes: in another order, or otherwise spaced.
                    diff.push(json!({"op": "bytes", "path": "/body"}));
                }
                let omitted = diff.len().saturating_sub(MOST_SHOWN);
                diff.truncate(MOST_SHOWN);
                Self { diff, omitted, ..told(Change::Changed) }
            }
            (_, Fate::Sent(_)) => told(Change::Changed),
            (_, Fate::Filtered(reason)) => Self { reason: Some(reason), ..told(Change::Filtered) },
            (_, Fate::Failed(error)) => Self { error: Some(error), ..told(Change::Failed) },
        }
    }

    /// Whether somebody who looks at the differences wants to see it.
    pub fn is_telling(&self) -> bool {
        match self.outcome {
            Change::Same => false,
            Change::Changed | Change::Failed => true,
            Change::Filtered => self.was != "filtered",
        }
    }
}

impl Fate {
    fn of(
        renderer: &mut Renderer<'_>,
        subscription: &Subscription,
        scripts: &Scripts,
    ) -> Result<Self, Unavailable> {
        if !renderer.is_wanted(subscription) {
            return Ok(Self::Filtered(BY_FILTER.to_owned()));
        }
        let (made, _) = renderer.make(subscription, scripts)?;
        Ok(match made.end {
            Some(Successor::Filtered(reason)) => Self::Filtered(reason),
            Some(Successor::Dead(Death { error, .. })) => Self::Failed(error),
            Some(Successor::Delivered | Successor::Retry(_)) | None => Self::Sent(made.payload),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Filtered(_) => "filtered",
            Self::Failed(_) => "failed",
        }
    }
}

fn shown(payload: &Payload) -> Value {
    serde_json::to_value(Output::of(payload)).unwrap_or_default()
}

/// The operations that make `later` of `earlier` (JSON Patch, RFC 6902), each with what was there
/// before.
pub fn differences(earlier: &Value, later: &Value) -> Vec<Value> {
    let operations = json_patch::diff(earlier, later).0;
    let with_old = |operation| {
        let mut operation = json!(operation);
        let path = operation.get("path").and_then(Value::as_str);
        let old = path.and_then(|path| earlier.pointer(path)).cloned();
        if let (Some(old), Some(members)) = (old, operation.as_object_mut())
            && members.get("op").is_some_and(|op| op != "add")
        {
            members.insert("old".to_owned(), old);
        }
        operation
    };
    operations.into_iter().map(with_old).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> Fate {
        let content_type = "application/json".into();
        Fate::Sent(Payload {
            content_type,
            headers: [].into(),
            body: body.as_bytes().to_vec().into(),
        })
    }

    fn compared(earlier: &Fate, later: Fate) -> Value {
        serde_json::to_value(Compared::between(earlier, later)).unwrap()
    }

    #[test]
    fn what_is_sent_is_compared_value_by_value() {
        let earlier = sent(r#"{"text": "a", "list": [1, 2], "gone": null}"#);
        assert_eq!(
            compared(&earlier, sent(r#"{"text": "b", "list": [1, 2], "new": {"x": 1}}"#)),
            json!({"outcome": "changed", "was": "sent", "diff": [
                {"op": "add", "path": "/body/new", "value": {"x": 1}},
                {"op": "replace", "path": "/body/text", "value": "b", "old": "a"},
                {"op": "remove", "path": "/body/gone", "old": null},
            ]})
        );
        let same = compared(&earlier, earlier.clone());
        assert_eq!(same, json!({"outcome": "same", "was": "sent"}));
    }

    #[test]
    fn other_bytes_for_the_same_values_are_a_change() {
        let changed = compared(&sent(r#"{"a": 1}"#), sent(r#"{"a":1}"#));
        assert_eq!(changed["diff"], json!([{"op": "bytes", "path": "/body"}]));
    }

    #[test]
    fn what_is_not_sent_says_why_and_what_was_before() {
        let failed = || Fate::Failed("line 1: broken".to_owned());
        let filtered = || Fate::Filtered("too young".to_owned());
        assert_eq!(
            compared(&failed(), filtered()),
            json!({"outcome": "filtered", "was": "failed", "reason": "too young"})
        );
        assert_eq!(
            compared(&sent("1"), failed()),
            json!({"outcome": "failed", "was": "sent", "error": "line 1: broken"})
        );
        assert_eq!(
            compared(&filtered(), sent("1")),
            json!({"outcome": "changed", "was": "filtered"})
        );
        assert!(!Compared::between(&filtered(), filtered()).is_telling());
        assert!(Compared::between(&failed(), failed()).is_telling());
    }

    #[test]
    fn of_many_differences_the_first_are_shown() {
        let long = (0..200).map(|n| format!("\"k{n}\": {n}")).collect::<Vec<_>>().join(",");
        let changed = compared(&sent("{}"), sent(&format!("{{{long}}}")));
        assert_eq!(changed["diff"].as_array().unwrap().len(), MOST_SHOWN);
        assert_eq!(changed["omitted"], 200 - MOST_SHOWN);
    }
}
