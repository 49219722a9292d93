//! Reads texts that name something: ids, types, patterns, instants, secrets.
//!
//! Invariant: the pattern that is told of a text fits all that its parser takes.

use serde_json::{Value, json};
use sidehook_event::{EventType, TypeId, UnixMicros};

use super::{
    Flaws, Reader,
    read::{object, parsed, text},
};
use crate::model::{Filter, FilterFlaw, Pattern, RateLimit, Scope, Secret};

/// An id, `sub_…` or another: the prefix and 26 digits, of which the first holds three bits.
pub(crate) fn id<Id: TypeId + 'static>() -> Reader<Id> {
    let parsed = text().then(|text| Id::parse(&text));
    parsed.with(|| json!({"pattern": format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", Id::PREFIX)}))
}

/// The type of an event.
pub(crate) fn event_type() -> Reader<EventType> {
    parsed().with(|| {
        let part = "[a-z0-9_-]+";
        json!({"pattern": format!(r"^{part}(\.{part})+$"), "maxLength": EventType::MAX_LENGTH})
    })
}

/// What a subscription asks for.
pub(crate) fn pattern() -> Reader<Pattern> {
    parsed().with(|| {
        let part = "[a-z0-9_-]+";
        let pattern = format!(r"^(\*|(\*\.)?{part}|{part}(\.{part})*\.\*|{part}(\.{part})+)$");
        json!({"pattern": pattern, "maxLength": EventType::MAX_LENGTH})
    })
}

/// An instant of RFC 3339.
pub(crate) fn instant() -> Reader<UnixMicros> {
    let read = |value: Value| {
        let instant = value.as_str().and_then(UnixMicros::parse_rfc3339);
        let rule = "must be an instant such as 2026-11-23T09:30:00Z, with %2B for a plus sign";
        instant.ok_or_else(|| Flaws::here(rule))
    };
    Reader::new(read, || json!({"type": "string", "format": "date-time"}))
}

/// A secret that signs.
pub(crate) fn secret() -> Reader<Secret> {
    parsed().with(|| json!({"pattern": "^(whsec_|whsk_)[A-Za-z0-9+/]+={0,2}$"}))
}

/// So many in a time.
pub(crate) fn rate_limit() -> Reader<RateLimit> {
    parsed().with(|| json!({"pattern": "^[0-9]+/[smh]$"}))
}

/// What a token allows.
pub(crate) fn scope() -> Reader<Scope> {
    parsed().with(|| json!({"enum": Scope::NAMES.map(|(name, _)| name)}))
}

/// A filter.
pub(crate) fn filter() -> Reader<Filter> {
    let read = |value| {
        let written = object().read(value)?;
        Filter::parse(written).map_err(|FilterFlaw { place, message }| {
            if place.is_empty() { Flaws::here(message) } else { Flaws::at(&place, message) }
        })
    };
    Reader::new(read, || object().schema())
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;
    use proptest::prelude::*;
    use sidehook_event::EventId;

    use super::*;

    fn validator<T: 'static>(reader: &Reader<T>) -> Validator {
        jsonschema::options().should_validate_formats(true).build(&reader.schema()).unwrap()
    }

    /// Whatever is read must be valid.
    fn agrees<T: 'static>(reader: &Reader<T>, text: &str) {
        if reader.read(text.into()).is_ok() {
            assert!(validator(reader).is_valid(&text.into()), "{text}");
        }
    }

    #[test]
    fn what_is_valid_by_the_schema_of_a_name_is_read() {
        for (text, is_good) in [
            ("*", true),
            ("*.created", true),
            ("created", true),
            ("people.*", true),
            ("people.cards.created", true),
            ("*.people.created", false),
            ("people.*.created", false),
            ("", false),
        ] {
            assert_eq!(pattern().read(text.into()).is_ok(), is_good, "{text}");
            assert_eq!(validator(&pattern()).is_valid(&text.into()), is_good, "{text}");
        }
        let (first, last) = (EventId::from_bits(0), EventId::from_bits(u128::MAX));
        for good in [first, last] {
            assert!(validator(&id::<EventId>()).is_valid(&good.to_string().into()));
        }
        let beyond = "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz";
        assert!(id::<EventId>().read(beyond.into()).is_err());
        assert!(!validator(&id::<EventId>()).is_valid(&beyond.into()));
    }

    proptest! {
        #[test]
        fn no_schema_refuses_what_is_read(text in "[a-z0-9.*_/-]{0,12}") {
            agrees(&pattern(), &text);
            agrees(&event_type(), &text);
            agrees(&rate_limit(), &text);
            agrees(&scope(), &text);
        }
    }
}
