//! What a token lets its bearer do.
//!
//! Invariant: whoever may change something may look at it too, `admin` may do everything, and
//! nobody may do nothing.

use std::{collections::BTreeSet, fmt, str::FromStr};

use thiserror::Error;

/// One thing that a bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Hand in events, as gateways do.
    EventsWrite,
    /// Look at events, and so at what passed through the API.
    EventsRead,
    /// Look at subscriptions, but not at their secrets.
    SubscriptionsRead,
    /// Make, change and delete subscriptions, and look at their secrets.
    SubscriptionsWrite,
    /// Look at deliveries and dead letters.
    DeliveriesRead,
    /// Have dead letters delivered again.
    DeliveriesRedrive,
    /// Look at what was counted.
    MetricsRead,
    /// Everything, and the tokens themselves.
    Admin,
}

/// Where a scope is asked for. Each face asks for a token, or is open, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The REST API.
    Api,
    /// Where gateways hand in events.
    Ingest,
}

/// Text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub struct InvalidScope;

/// All that a bearer may do; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scope {
    /// All of them, with the names by which they are asked for.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("events:write", Self::EventsWrite),
        ("events:read", Self::EventsRead),
        ("subscriptions:read", Self::SubscriptionsRead),
        ("subscriptions:write", Self::SubscriptionsWrite),
        ("deliveries:read", Self::DeliveriesRead),
        ("deliveries:redrive", Self::DeliveriesRedrive),
        ("metrics:read", Self::MetricsRead),
        ("admin", Self::Admin),
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::EventsRead => "events:read",
            Self::SubscriptionsRead => "subscriptions:read",
            Self::SubscriptionsWrite => "subscriptions:write",
            Self::DeliveriesRead => "deliveries:read",
            Self::DeliveriesRedrive => "deliveries:redrive",
            Self::MetricsRead => "metrics:read",
            Self::Admin => "admin",
        }
    }

    /// Where it is asked for.
    pub fn face(self) -> Face {
        match self {
            Self::EventsWrite => Face::Ingest,
            Self::EventsRead
            | Self::SubscriptionsRead
            | Self::SubscriptionsWrite
            | Self::DeliveriesRead
            | Self::DeliveriesRedrive
            | Self::MetricsRead
            | Self::Admin => Face::Api,
        }
    }

    fn implies(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::SubscriptionsWrite => matches!(other, Self::SubscriptionsRead) || self == other,
            Self::DeliveriesRedrive => matches!(other, Self::DeliveriesRead) || self == other,
            Self::EventsWrite
            | Self::EventsRead
            | Self::SubscriptionsRead
            | Self::DeliveriesRead
            | Self::MetricsRead => self == other,
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, scope)| *scope).ok_or(InvalidScope)
    }
}

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::NAMES.map(|(name, _)| name);
        write!(f, "must be one of {}", names.join(", "))
    }
}

impl Scopes {
    /// These; `None` if there are none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        let scopes: BTreeSet<_> = scopes.into_iter().collect();
        (!scopes.is_empty()).then_some(Self(scopes))
    }

    /// One alone.
    pub fn only(scope: Scope) -> Self {
        Self(BTreeSet::from([scope]))
    }

    /// Whether the bearer may do what `scope` names.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.iter().any(|held| held.implies(scope))
    }

    /// Whether they were given out for this face. `admin` opens both, but is about the API:
    /// having made such a token says nothing about the gateways.
    pub fn concern(&self, face: Face) -> bool {
        self.0.iter().any(|scope| scope.face() == face)
    }

    /// Each, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

/// As they are stored: their names with spaces between (RFC 6749, section 3.3).
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scopes: Vec<_> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        Self::new(scopes).ok_or(InvalidScope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(scope: Scope) -> Vec<&'static str> {
        let scopes = Scopes::only(scope);
        let allowed = Scope::NAMES.iter().filter(|(_, other)| scopes.allow(*other));
        allowed.map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_scope_allows_what_it_names_and_what_that_needs() {
        assert_eq!(allowed(Scope::EventsWrite), ["events:write"]);
        assert_eq!(allowed(Scope::EventsRead), ["events:read"]);
        assert_eq!(allowed(Scope::SubscriptionsRead), ["subscriptions:read"]);
        let write = ["subscriptions:read", "subscriptions:write"];
        assert_eq!(allowed(Scope::SubscriptionsWrite), write);
        assert_eq!(allowed(Scope::DeliveriesRead), ["deliveries:read"]);
        let redrive = ["deliveries:read", "deliveries:redrive"];
        assert_eq!(allowed(Scope::DeliveriesRedrive), redrive);
        assert_eq!(allowed(Scope::MetricsRead), ["metrics:read"]);
        assert_eq!(allowed(Scope::Admin), Scope::NAMES.map(|(name, _)| name));
    }

    #[test]
    fn names_are_read_and_written_alike() {
        for (name, scope) in Scope::NAMES {
            assert_eq!((scope.name(), name.parse()), (name, Ok(scope)));
        }
        let both = Scopes::new([Scope::Admin, Scope::EventsWrite, Scope::Admin]).unwrap();
        assert_eq!(both.to_string(), "events:write admin");
        assert_eq!("events:write admin".parse(), Ok(both));
        for wrong in ["", "Admin", "events:*", "admin ", "events:write,admin"] {
            assert_eq!(wrong.parse::<Scopes>(), Err(InvalidScope), "{wrong:?}");
        }
        assert_eq!(Scopes::new([]), None);
    }

    #[test]
    fn only_a_token_for_gateways_concerns_the_gateways() {
        assert!(Scopes::only(Scope::EventsWrite).concern(Face::Ingest));
        assert!(!Scopes::only(Scope::EventsWrite).concern(Face::Api));
        assert!(!Scopes::only(Scope::Admin).concern(Face::Ingest));
        assert!(Scopes::only(Scope::MetricsRead).concern(Face::Api));
    }
}
