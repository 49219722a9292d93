//! The name of what happened: a resource and an action, `people.created`.
//!
//! Invariant: a value always holds a valid name; it is parsed once and never checked again.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// A resource and the action on it, joined by a dot. The resource may itself have dots
/// (`sidehook.subscription.disabled` is `disabled` of `sidehook.subscription`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType {
    name: Arc<str>,
    dot: usize,
}

/// Why a name is not an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidEventType {
    /// There is no action, or no resource.
    #[error("must be a resource and an action joined by a dot, such as people.created")]
    Incomplete,
    /// A part between dots is empty, or has other characters than these.
    #[error("may have lower-case letters, digits, '_' and '-' between its dots, nothing else")]
    Character,
    /// Longer than [`EventType::MAX_LENGTH`].
    #[error("must not be longer than 128 characters")]
    TooLong,
}

impl EventType {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 128;
    /// The resource of which Sidehook tells of itself; those below it (`sidehook.delivery`) too.
    pub const OPERATIONAL: &str = "sidehook";

    /// The type of `action` on `resource`.
    pub fn of(resource: &str, action: &str) -> Result<Self, InvalidEventType> {
        check_name(resource)?;
        check_part(action)?;
        Self::from_checked(&format!("{resource}.{action}"), resource.len())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// What it happened to: `people`.
    pub fn resource(&self) -> &str {
        self.name.get(..self.dot).unwrap_or_default()
    }

    /// What happened: `created`.
    pub fn action(&self) -> &str {
        self.name.get(self.dot + 1..).unwrap_or_default()
    }

    /// Whether Sidehook tells this of itself. No gateway sees such a thing happen.
    pub fn is_operational(&self) -> bool {
        is_reserved(self.resource())
    }

    fn from_checked(name: &str, dot: usize) -> Result<Self, InvalidEventType> {
        if name.len() > Self::MAX_LENGTH {
            return Err(InvalidEventType::TooLong);
        }
        Ok(Self { name: name.into(), dot })
    }
}

/// Whether `name` can be a resource: parts joined by dots.
pub fn check_name(name: &str) -> Result<(), InvalidEventType> {
    name.split('.').try_for_each(check_part)
}

/// Whether a resource of this name is Sidehook's own.
pub fn is_reserved(resource: &str) -> bool {
    let below = resource.strip_prefix(EventType::OPERATIONAL);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether `part` can stand between dots, as an action does.
pub fn check_part(part: &str) -> Result<(), InvalidEventType> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if part.is_empty() || !part.bytes().all(allowed) {
        return Err(InvalidEventType::Character);
    }
    Ok(())
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let dot = name.rfind('.').ok_or(InvalidEventType::Incomplete)?;
        check_name(name)?;
        Self::from_checked(name, dot)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn has_a_resource_and_an_action() {
        let event_type: EventType = "sidehook.subscription.disabled".parse().unwrap();
        assert_eq!(event_type.resource(), "sidehook.subscription");
        assert_eq!(event_type.action(), "disabled");
        assert_eq!(EventType::of("people", "created").unwrap().as_str(), "people.created");
    }

    #[test]
    fn what_sidehook_tells_of_itself_is_told_from_all_else() {
        let is_operational = |name: &str| name.parse::<EventType>().unwrap().is_operational();
        assert!(is_operational("sidehook.subscription.disabled"));
        assert!(is_operational("sidehook.started"));
        assert!(!is_operational("sidehooks.created"));
        assert!(!is_operational("people.sidehook"));
    }

    #[test]
    fn refuses_what_is_not_one_and_says_why() {
        use InvalidEventType::{Character, Incomplete, TooLong};
        let long = format!("{}.created", "p".repeat(EventType::MAX_LENGTH));
        for (name, reason) in [
            ("", Incomplete),
            ("created", Incomplete),
            (".created", Character),
            ("people.", Character),
            ("people..created", Character),
            ("People.created", Character),
            ("people.*", Character),
            ("people.créé", Character),
            (&long, TooLong),
        ] {
            assert_eq!(name.parse::<EventType>(), Err(reason), "{name}");
        }
        assert_eq!(EventType::of("people", "a.b"), Err(Character));
    }

    proptest! {
        #[test]
        fn parts_and_name_agree(resource in "[a-z0-9_-]{1,9}(\\.[a-z0-9_-]{1,9}){0,3}", action in "[a-z0-9_-]{1,9}") {
            let made = EventType::of(&resource, &action).unwrap();
            let parsed: EventType = made.as_str().parse().unwrap();
            prop_assert_eq!(parsed.resource(), resource);
            prop_assert_eq!(parsed.action(), action);
            prop_assert_eq!(parsed, made);
        }

        #[test]
        fn any_text_gives_an_answer(name: String) {
            let _ = name.parse::<EventType>();
        }
    }
}
