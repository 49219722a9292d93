//! Which happenings a listener asks for. Pure.
//!
//! Invariant: what says nothing of what is asked about is not wanted: a circuit has no event type,
//! an event no subscription, and attempts alone have an outcome.

use super::{Happening, Kind, What};
use crate::model::{Outcome, Pattern, SubscriptionId};

/// What is asked for; without a wish, everything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These kinds; all of them, if there are none.
    pub kinds: Vec<Kind>,
    /// Events of these types. Without it those that Sidehook tells of itself come too.
    pub event_type: Option<Pattern>,
    /// What concerns this subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Attempts that came to this.
    pub outcome: Option<OfOutcome>,
}

/// What an attempt is to have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfOutcome {
    /// This.
    This(Outcome),
    /// Anything but success.
    Failed,
}

impl OfOutcome {
    /// All of them, with the names by which they are asked for.
    pub const NAMES: [(&'static str, Self); 10] = [
        ("failed", Self::Failed),
        ("success", Self::This(Outcome::Success)),
        ("status", Self::This(Outcome::Status)),
        ("timeout", Self::This(Outcome::Timeout)),
        ("dns", Self::This(Outcome::Dns)),
        ("connection", Self::This(Outcome::Connection)),
        ("tls", Self::This(Outcome::Tls)),
        ("egress", Self::This(Outcome::Egress)),
        ("malformed", Self::This(Outcome::Malformed)),
        ("proxy", Self::This(Outcome::Proxy)),
    ];

    fn includes(self, outcome: Outcome) -> bool {
        match self {
            Self::This(wanted) => wanted == outcome,
            Self::Failed => outcome != Outcome::Success,
        }
    }
}

impl Wanted {
    /// Whether anything of this kind may be asked for.
    pub fn is_for(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether this is asked for.
    pub fn includes(&self, happening: &Happening) -> bool {
        let what = &happening.what;
        let (event_type, subscription_id, came_to) = match what {
            What::Event { event_type, .. } => (Some(event_type), None, None),
            What::Delivery { about, .. } | What::DeadLetter { about, .. } => {
                (Some(&about.event_type), Some(about.subscription_id), None)
            }
            What::Attempt { about, outcome, .. } => {
                (Some(&about.event_type), Some(about.subscription_id), Some(*outcome))
            }
            What::Circuit { subscription_id, .. } => (None, Some(*subscription_id), None),
        };
        self.is_for(what.kind())
            && self.event_type.as_ref().is_none_or(|wanted| {
                event_type.is_some_and(|event_type| wanted.matches(event_type))
            })
            && self.subscription_id.is_none_or(|wanted| subscription_id == Some(wanted))
            && self
                .outcome
                .is_none_or(|wanted| came_to.is_some_and(|outcome| wanted.includes(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use sidehook_event::{TypeId as _, UnixMicros};

    use super::{
        super::happening::testing::{about, attempt, event},
        *,
    };

    /// An event, an attempt that succeeded, one that failed, and a circuit: which are wanted.
    fn wanted(wanted: &Wanted) -> [bool; 4] {
        let at = UnixMicros::EPOCH;
        let of = |what| Happening { at, what };
        let all = [
            event(1),
            of(attempt(Outcome::Success)),
            of(attempt(Outcome::Timeout)),
            Happening::circuit(about().subscription_id, true, at),
        ];
        all.map(|happening| wanted.includes(&happening))
    }

    #[test]
    fn what_is_not_of_it_is_left_out() {
        let all = Wanted::default;
        let pattern = |text: &str| text.parse().ok();
        let outcome = |outcome| Some(outcome);
        for (asked, answer) in [
            (all(), [true; 4]),
            (
                Wanted { kinds: vec![Kind::Event, Kind::Circuit], ..all() },
                [true, false, false, true],
            ),
            (Wanted { event_type: pattern("created"), ..all() }, [true, true, true, false]),
            (Wanted { event_type: pattern("orders.*"), ..all() }, [false; 4]),
            (
                Wanted { subscription_id: Some(about().subscription_id), ..all() },
                [false, true, true, true],
            ),
            (Wanted { subscription_id: Some(SubscriptionId::from_bits(9)), ..all() }, [false; 4]),
            (Wanted { outcome: outcome(OfOutcome::Failed), ..all() }, [false, false, true, false]),
            (
                Wanted { outcome: outcome(OfOutcome::This(Outcome::Success)), ..all() },
                [false, true, false, false],
            ),
        ] {
            assert_eq!(wanted(&asked), answer, "{asked:?}");
        }
    }

    #[test]
    fn every_outcome_can_be_asked_for() {
        for (name, outcome) in Outcome::NAMES {
            assert!(OfOutcome::NAMES.contains(&(name, OfOutcome::This(outcome))), "{name}");
        }
    }
}
