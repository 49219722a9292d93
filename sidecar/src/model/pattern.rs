//! What a subscription asks for: an action (`created`), a type (`people.created`) or a pattern
//! (`people.*`, `*.created`, `*`).
//!
//! Invariant: what was parsed is written back letter by letter; every pattern can match some
//! type.

use std::{fmt, str::FromStr};

use sidehook_event::{EventType, InvalidEventType, event_type};
use thiserror::Error;

/// What a subscription asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// This action on any resource: `created`.
    Action(String),
    /// This very type: `people.created`.
    Type(EventType),
    /// Any action on this resource and on those below it: `people.*`.
    Resource(String),
    /// This action on any resource, said in full: `*.created`.
    AnyResource(String),
    /// Everything: `*`.
    Everything,
}

/// Text that is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    /// A star in a place where it means nothing.
    #[error(
        "may have '*' only as the whole, as the last part (people.*) or as the first of two \
         (*.created)"
    )]
    Star,
    /// A name between the dots is not one.
    #[error(transparent)]
    Name(#[from] InvalidEventType),
}

impl Pattern {
    /// Whether an event of this type is asked for. What Sidehook tells of itself is only asked for
    /// by its resource: whoever wants everything wants what happens to the API.
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::Action(action) | Self::AnyResource(action) => {
                event_type.action() == action && !event_type.is_operational()
            }
            Self::Type(wanted) => wanted == event_type,
            Self::Resource(resource) => event_type
                .as_str()
                .strip_prefix(resource.as_str())
                .is_some_and(|rest| rest.starts_with('.')),
            Self::Everything => !event_type.is_operational(),
        }
    }
}

impl Pattern {
    /// A type that is asked for, to show what comes.
    pub fn example(&self) -> Result<EventType, InvalidEventType> {
        match self {
            Self::Action(action) | Self::AnyResource(action) => format!("example.{action}").parse(),
            Self::Type(event_type) => Ok(event_type.clone()),
            Self::Resource(resource) => format!("{resource}.created").parse(),
            Self::Everything => "example.created".parse(),
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > EventType::MAX_LENGTH {
            return Err(InvalidEventType::TooLong.into());
        }
        let part = |part: &str| match event_type::check_part(part) {
            Err(_) if part.contains('*') => Err(InvalidPattern::Star),
            Err(flaw) => Err(flaw.into()),
            Ok(()) => Ok(()),
        };
        match (text, text.strip_suffix(".*"), text.strip_prefix("*.")) {
            ("*", _, _) => Ok(Self::Everything),
            (_, Some(resource), _) => {
                resource.split('.').try_for_each(part)?;
                Ok(Self::Resource(resource.to_owned()))
            }
            (_, None, Some(action)) => {
                part(action)?;
                Ok(Self::AnyResource(action.to_owned()))
            }
            (name, None, None) if name.contains('.') => {
                name.split('.').try_for_each(part)?;
                Ok(Self::Type(name.parse()?))
            }
            (action, None, None) => {
                part(action)?;
                Ok(Self::Action(action.to_owned()))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(action) => f.write_str(action),
            Self::Type(event_type) => write!(f, "{event_type}"),
            Self::Resource(resource) => write!(f, "{resource}.*"),
            Self::AnyResource(action) => write!(f, "*.{action}"),
            Self::Everything => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asks_for(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(&name.parse().unwrap())
    }

    #[test]
    fn an_action_is_asked_of_any_resource() {
        assert!(asks_for("created", "people.created"));
        assert!(asks_for("*.created", "orders.created"));
        assert!(!asks_for("created", "people.updated"));
        assert!(!asks_for("people", "people.created"));
    }

    #[test]
    fn a_type_is_asked_for_as_it_is() {
        assert!(asks_for("people.created", "people.created"));
        assert!(!asks_for("people.created", "people.updated"));
        assert!(!asks_for("people.created", "old.people.created"));
    }

    #[test]
    fn a_resource_is_asked_for_with_those_below_it() {
        assert!(asks_for("people.*", "people.created"));
        assert!(asks_for("sidehook.*", "sidehook.subscription.disabled"));
        assert!(!asks_for("people.*", "peoples.created"));
        assert!(asks_for("*", "people.created"));
    }

    #[test]
    fn what_sidehook_tells_of_itself_is_asked_for_by_name_alone() {
        let name = "sidehook.delivery.dead";
        for pattern in [name, "sidehook.*", "sidehook.delivery.*"] {
            assert!(asks_for(pattern, name), "{pattern}");
        }
        for pattern in ["*", "*.dead", "dead"] {
            assert!(!asks_for(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn refuses_what_could_never_match() {
        use InvalidPattern::{Name, Star};
        for (text, reason) in [
            ("", Name(InvalidEventType::Character)),
            ("People.created", Name(InvalidEventType::Character)),
            ("people..created", Name(InvalidEventType::Character)),
            ("people.created ", Name(InvalidEventType::Character)),
            ("peo*.created", Star),
            ("people.*.created", Star),
            ("*.*", Star),
            ("**", Star),
            ("*.people.created", Name(InvalidEventType::Character)),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(reason), "{text}");
        }
        assert!("a".repeat(129).parse::<Pattern>().is_err());
    }

    proptest! {
        #[test]
        fn what_was_parsed_is_written_back(text in "\\*|(\\*\\.)?[a-z]{1,5}|[a-z]{1,5}(\\.[a-z]{1,5}){1,3}(\\.\\*)?") {
            prop_assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_gives_an_answer(text: String) {
            let _ = text.parse::<Pattern>();
        }
    }
}
