//! One thing that happened to an event, a delivery or a receiver.
//!
//! Invariant: it names what it is about and holds nothing of a body, a header or a secret.

use sidehook_event::{Event, EventId, EventType, UnixMicros};

use crate::model::{
    Attempt, Cause, Death, DeliveryId, DueDelivery, Outcome, State, SubscriptionId, Successor,
    Verdict,
};

/// What happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: UnixMicros,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An event was stored.
    Event {
        /// The event.
        id: EventId,
        /// Its type.
        event_type: EventType,
        /// The gateway that saw it, or what else told of it.
        source: String,
    },
    /// A delivery was made, delivered or filtered; one that dies is a dead letter.
    Delivery {
        /// Which.
        about: About,
        /// Where it stands now.
        state: State,
        /// Why it was filtered, in its script's words.
        reason: Option<String>,
    },
    /// An attempt was made and recorded.
    Attempt {
        /// At which delivery.
        about: About,
        /// From 1.
        number: u32,
        /// What it came to.
        outcome: Outcome,
        /// The receiver's answer, if there was one.
        status_code: Option<u16>,
        /// How long it took, in ms.
        duration_ms: u64,
        /// What went wrong, in words.
        error: Option<String>,
        /// When the next one is due, if one follows.
        next_attempt_at: Option<UnixMicros>,
    },
    /// A delivery was given up.
    DeadLetter {
        /// Which.
        about: About,
        /// Why.
        cause: Cause,
        /// The last thing that went wrong, in words.
        error: String,
    },
    /// A receiver failed all the time and is asked only now and then, or it is there again.
    Circuit {
        /// Whose receiver.
        subscription_id: SubscriptionId,
        /// Whether its circuit is open now.
        is_open: bool,
    },
}

/// A delivery, and what it carries to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The event.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// Who gets it.
    pub subscription_id: SubscriptionId,
}

/// A kind of happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// See [`What::Event`].
    Event,
    /// See [`What::Delivery`].
    Delivery,
    /// See [`What::Attempt`].
    Attempt,
    /// See [`What::DeadLetter`].
    DeadLetter,
    /// See [`What::Circuit`].
    Circuit,
}

impl Kind {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("event", Self::Event),
        ("delivery", Self::Delivery),
        ("attempt", Self::Attempt),
        ("dead_letter", Self::DeadLetter),
        ("circuit", Self::Circuit),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Delivery => "delivery",
            Self::Attempt => "attempt",
            Self::DeadLetter => "dead_letter",
            Self::Circuit => "circuit",
        }
    }
}

impl From<&DueDelivery> for About {
    fn from(due: &DueDelivery) -> Self {
        Self {
            delivery_id: due.id,
            event_id: due.event_id,
            event_type: due.event_type.clone(),
            subscription_id: due.subscription_id,
        }
    }
}

impl Happening {
    /// This event was stored at this time.
    pub fn stored(event: &Event, at: UnixMicros) -> Self {
        let (id, event_type) = (event.id, event.event_type.clone());
        Self { at, what: What::Event { id, event_type, source: event.source.clone() } }
    }

    /// This delivery was made at this time.
    pub fn made(about: About, at: UnixMicros) -> Self {
        Self { at, what: What::Delivery { about, state: State::Pending, reason: None } }
    }

    /// The circuit of this subscription is open from now on, or no longer.
    pub fn circuit(subscription_id: SubscriptionId, is_open: bool, at: UnixMicros) -> Self {
        Self { at, what: What::Circuit { subscription_id, is_open } }
    }
}

impl What {
    /// What kind it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Event { .. } => Kind::Event,
            Self::Delivery { .. } => Kind::Delivery,
            Self::Attempt { .. } => Kind::Attempt,
            Self::DeadLetter { .. } => Kind::DeadLetter,
            Self::Circuit { .. } => Kind::Circuit,
        }
    }
}

/// What verdicts on these deliveries tell: of each the attempt, if one was made, and what became of
/// the delivery, if that is its end.
pub fn of_verdicts(verdicts: &[Verdict], about: &[About]) -> impl Iterator<Item = Happening> {
    verdicts.iter().zip(about).flat_map(|(verdict, about)| of_verdict(verdict, about))
}

fn of_verdict(verdict: &Verdict, about: &About) -> impl Iterator<Item = Happening> + use<> {
    let Verdict { attempt, successor, at, .. } = verdict;
    let attempt = attempt.as_ref().map(|attempt| attempted(attempt, successor, about));
    let about = about.clone();
    let end = match successor {
        Successor::Retry(_) => None,
        Successor::Delivered => {
            Some(What::Delivery { about, state: State::Delivered, reason: None })
        }
        Successor::Filtered(reason) => {
            let reason = Some(reason.clone());
            Some(What::Delivery { about, state: State::Filtered, reason })
        }
        Successor::Dead(Death { cause, error }) => {
            Some(What::DeadLetter { about, cause: *cause, error: error.clone() })
        }
    };
    let at = *at;
    attempt.into_iter().chain(end).map(move |what| Happening { at, what })
}

fn attempted(attempt: &Attempt, successor: &Successor, about: &About) -> What {
    What::Attempt {
        about: about.clone(),
        number: attempt.number,
        outcome: attempt.outcome,
        status_code: attempt.status_code,
        duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        error: attempt.error.clone(),
        next_attempt_at: match successor {
            Successor::Retry(at) => Some(*at),
            Successor::Delivered | Successor::Dead(_) | Successor::Filtered(_) => None,
        },
    }
}

#[cfg(test)]
pub(super) mod testing {
    use sidehook_event::TypeId as _;

    use super::*;

    pub(crate) fn event(number: u128) -> Happening {
        let what = What::Event {
            id: EventId::from_bits(number),
            event_type: "people.created".parse().unwrap(),
            source: "edge".to_owned(),
        };
        Happening { at: UnixMicros::EPOCH, what }
    }

    pub(crate) fn about() -> About {
        About {
            delivery_id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(2),
            event_type: "people.created".parse().unwrap(),
            subscription_id: SubscriptionId::from_bits(3),
        }
    }

    pub(crate) fn attempt(outcome: Outcome) -> What {
        What::Attempt {
            about: about(),
            number: 1,
            outcome,
            status_code: None,
            duration_ms: 7,
            error: None,
            next_attempt_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{testing::about, *};

    fn told(attempted: bool, successor: Successor) -> Vec<&'static str> {
        let attempt = Attempt {
            number: 1,
            started_at: UnixMicros::EPOCH,
            duration: Duration::from_millis(7),
            outcome: Outcome::Success,
            status_code: Some(204),
            response_excerpt: Some("what nobody is told".to_owned()),
            error: None,
        };
        let about = about();
        let verdict = Verdict {
            delivery_id: about.delivery_id,
            number: 1,
            attempt: attempted.then_some(attempt),
            made: None,
            successor,
            at: UnixMicros::EPOCH,
        };
        let told: Vec<_> = of_verdicts(&[verdict], &[about]).collect();
        assert!(!format!("{told:?}").contains("nobody"));
        told.iter().map(|happening| happening.what.kind().name()).collect()
    }

    #[test]
    fn a_verdict_tells_of_the_attempt_and_then_of_the_end() {
        let later = || Successor::Retry(UnixMicros::MAX);
        let dead =
            || Successor::Dead(Death { cause: Cause::Exhausted, error: "answered 500".to_owned() });
        assert_eq!(told(true, Successor::Delivered), ["attempt", "delivery"]);
        assert_eq!(told(true, later()), ["attempt"]);
        assert_eq!(told(true, dead()), ["attempt", "dead_letter"]);
        assert_eq!(told(false, dead()), ["dead_letter"]);
        assert_eq!(told(false, Successor::Filtered("no name".to_owned())), ["delivery"]);
        // Put off: nothing happened.
        assert!(told(false, later()).is_empty());
    }
}
