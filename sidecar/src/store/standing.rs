//! Decides where a delivery stands after a verdict. Pure, and the same for every store: each
//! reads the standing under its lock, hands it in, and writes back what came out.
//!
//! Invariant: a delivery that is not pending never moves again, and the count of its attempts
//! never falls.

use sidehook_event::UnixMicros;

use crate::model::{Cause, Outcome, State, Successor, Verdict};

/// Where a delivery stands, as far as a verdict can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub cause: Option<Cause>,
    /// When it left the pending ones.
    pub finished_at: Option<UnixMicros>,
}

impl Standing {
    /// The standing after `verdict`.
    ///
    /// Success counts from any attempt, for the receiver has the event. Failure counts only from
    /// an attempt later than all recorded ones: the verdict of a worker that was taken for dead,
    /// or one that is recorded again, must not disturb the attempt that is under way.
    #[must_use]
    pub fn after(self, verdict: &Verdict) -> Self {
        let attempt = verdict.attempt.as_ref();
        let is_latest = attempt.is_none_or(|attempt| attempt.number > self.attempts);
        let counted = Self {
            attempts: attempt.map_or(self.attempts, |attempt| self.attempts.max(attempt.number)),
            ..self
        };
        let judged = Self {
            last_outcome: attempt.map(|attempt| attempt.outcome).or(self.last_outcome),
            claimed: false,
            ..counted
        };
        match (self.state, verdict.successor) {
            (State::Delivered | State::Filtered | State::Dead, _) => counted,
            (State::Pending, Successor::Delivered) if attempt.is_some() => Self {
                state: State::Delivered,
                due_at: None,
                finished_at: Some(verdict.at),
                ..judged
            },
            (State::Pending, Successor::Retry(at)) if is_latest => {
                Self { due_at: Some(at), ..judged }
            }
            (State::Pending, Successor::Dead(cause)) if is_latest => Self {
                state: State::Dead,
                due_at: None,
                cause: Some(cause),
                finished_at: Some(verdict.at),
                ..judged
            },
            // A failure that comes too late, or a success without an attempt.
            (State::Pending, Successor::Delivered | Successor::Retry(_) | Successor::Dead(_)) => {
                counted
            }
        }
    }
}
