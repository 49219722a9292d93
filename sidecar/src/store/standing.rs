//! Decides where a delivery stands after a verdict. Pure, and the same for every store: each
//! reads the standing under its lock, hands it in, and writes back what came out.
//!
//! Invariant: a delivery that is not pending never moves again, and the count of its attempts
//! never falls.

use sidehook_event::UnixMicros;

use crate::model::{Death, Outcome, ScriptVersion, State, Successor, Verdict};

/// Where a delivery stands, as far as a verdict can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// The highest number of an attempt that was recorded.
    pub attempts: u32,
    /// When it is due, or its lease ends; `Some` while it is pending, and then always.
    pub due_at: Option<UnixMicros>,
    /// Whether somebody has it in hand until `due_at`.
    pub claimed: bool,
    /// What the last attempt came to that counted.
    pub last_outcome: Option<Outcome>,
    /// Why it is dead.
    pub death: Option<Death>,
    /// Why it was filtered.
    pub reason: Option<String>,
    /// The version of the script that was run last.
    pub script: Option<ScriptVersion>,
    /// When it left the pending ones.
    pub finished_at: Option<UnixMicros>,
}

impl Standing {
    /// The standing after `verdict`.
    ///
    /// Success counts from any attempt, for the receiver has the event. Failure counts only from
    /// an attempt later than all recorded ones, and so does that it was put off: the verdict of a
    /// worker that was taken for dead, or of a second copy of a message, or one that is recorded
    /// again, must not disturb what follows by now.
    #[must_use]
    pub fn after(&self, verdict: &Verdict) -> Self {
        let attempt = verdict.attempt.as_ref();
        let is_latest = verdict.number > self.attempts;
        let counted = Self {
            attempts: attempt.map_or(self.attempts, |attempt| self.attempts.max(attempt.number)),
            ..self.clone()
        };
        let judged = Self {
            last_outcome: attempt.map(|attempt| attempt.outcome).or(self.last_outcome),
            claimed: false,
            script: verdict.made.as_ref().and_then(|made| made.script).or(self.script),
            ..counted.clone()
        };
        match (self.state, &verdict.successor) {
            (State::Pending, Successor::Delivered) if attempt.is_some() => Self {
                state: State::Delivered,
                due_at: None,
                finished_at: Some(verdict.at),
                ..judged
            },
            (State::Pending, Successor::Retry(at)) if is_latest => {
                Self { due_at: Some(*at), ..judged }
            }
            (State::Pending, Successor::Filtered(reason)) if is_latest => Self {
                state: State::Filtered,
                due_at: None,
                reason: Some(reason.clone()),
                finished_at: Some(verdict.at),
                ..judged
            },
            (State::Pending, Successor::Dead(death)) if is_latest => Self {
                state: State::Dead,
                due_at: None,
                death: Some(death.clone()),
                finished_at: Some(verdict.at),
                ..judged
            },
            // A failure that comes too late, or a success without an attempt; and whatever comes
            // when all is over.
            (
                State::Pending,
                Successor::Delivered
                | Successor::Retry(_)
                | Successor::Dead(_)
                | Successor::Filtered(_),
            )
            | (State::Delivered | State::Filtered | State::Dead, _) => counted,
        }
    }

    /// What went wrong, or why it was filtered.
    pub fn error(&self) -> Option<&str> {
        self.death.as_ref().map(|death| death.error.as_str()).or(self.reason.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};
    use sidehook_event::TypeId;

    use super::*;
    use crate::model::{Attempt, Cause, DeliveryId};

    fn pending() -> Standing {
        Standing {
            state: State::Pending,
            attempts: 0,
            due_at: Some(UnixMicros::new(60)),
            claimed: true,
            last_outcome: None,
            death: None,
            reason: None,
            script: None,
            finished_at: None,
        }
    }

    fn verdict(number: Option<u32>, successor: Successor) -> Verdict {
        of_attempt(number.unwrap_or(1), number, successor)
    }

    fn of_attempt(handed_out: u32, number: Option<u32>, successor: Successor) -> Verdict {
        let outcome = match successor {
            Successor::Delivered => Outcome::Success,
            Successor::Retry(_) | Successor::Dead(_) | Successor::Filtered(_) => Outcome::Timeout,
        };
        Verdict {
            delivery_id: DeliveryId::from_bits(1),
            number: handed_out,
            attempt: number.map(|number| Attempt {
                number,
                started_at: UnixMicros::EPOCH,
                duration: Duration::ZERO,
                outcome,
                status_code: None,
                response_excerpt: None,
                error: None,
            }),
            made: None,
            successor,
            at: UnixMicros::new(7),
        }
    }

    #[test]
    fn a_failure_lets_go_of_the_delivery_until_its_time() {
        let at = UnixMicros::new(9);
        let after = pending().after(&verdict(Some(1), Successor::Retry(at)));
        let expected = Standing {
            attempts: 1,
            due_at: Some(at),
            claimed: false,
            last_outcome: Some(Outcome::Timeout),
            ..pending()
        };
        assert_eq!(after, expected);
    }

    #[test]
    fn a_failure_recorded_again_does_not_disturb_the_attempt_under_way() {
        let failure = verdict(Some(1), Successor::Retry(UnixMicros::new(9)));
        let under_way = Standing {
            due_at: Some(UnixMicros::new(60)),
            claimed: true,
            ..pending().after(&failure)
        };
        assert_eq!(under_way.after(&failure), under_way);
    }

    #[test]
    fn what_is_put_off_late_does_not_disturb_the_retry_that_waits() {
        let waits = pending().after(&verdict(Some(1), Successor::Retry(UnixMicros::new(900))));
        let put_off = of_attempt(1, None, Successor::Retry(UnixMicros::new(9)));
        assert_eq!(waits.after(&put_off), waits);
        let own = of_attempt(2, None, Successor::Retry(UnixMicros::new(9)));
        assert_eq!(waits.after(&own).due_at, Some(UnixMicros::new(9)));
    }

    #[test]
    fn a_success_without_an_attempt_is_not_believed() {
        let after = pending().after(&verdict(None, Successor::Delivered));
        assert_eq!(after, pending());
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        let successor = prop_oneof![
            Just(Successor::Delivered),
            (0..99_i64).prop_map(|at| Successor::Retry(UnixMicros::new(at))),
            Just(Successor::Dead(Death {
                cause: Cause::Exhausted,
                error: "answered 500".to_owned()
            })),
            Just(Successor::Filtered("no need".to_owned())),
        ];
        (1..6_u32, any::<bool>(), successor).prop_map(|(number, is_made, successor)| {
            of_attempt(number, is_made.then_some(number), successor)
        })
    }

    proptest! {
        #[test]
        fn no_verdict_moves_a_delivery_back(verdicts in vec(any_verdict(), 1..12)) {
            let mut standing = pending();
            for verdict in &verdicts {
                let before = standing.clone();
                standing = before.after(verdict);
                prop_assert!(standing.attempts >= before.attempts);
                prop_assert_eq!(standing.state == State::Pending, standing.due_at.is_some());
                prop_assert_eq!(standing.state == State::Pending, standing.finished_at.is_none());
                prop_assert_eq!(standing.state == State::Dead, standing.death.is_some());
                prop_assert_eq!(standing.state == State::Filtered, standing.reason.is_some());
                prop_assert_eq!(&standing.after(verdict), &standing, "recorded again");
                if before.state != State::Pending {
                    prop_assert_eq!(&standing, &Standing { attempts: standing.attempts, ..before });
                }
            }
        }
    }
}
