//! Whether the sidecar stores events, as far as is known, and when it has to be asked. Pure: the
//! caller supplies the clock and the calls.
//!
//! Whatever the sidecar answered a moment ago tells it. A gateway with many writes hears that all
//! the time; one with few asks before a write on a strict route goes on to the API.
//!
//! Invariant: `Good` is said only if the sidecar stored something, or said that it could, within
//! [`FRESH`].

use std::time::Duration;

use crate::host::{Moment, Token};

/// So long a good word counts.
pub const FRESH: Duration = Duration::from_millis(500);

/// So long a bad word counts. Within it nobody waits for another answer.
const STALE: Duration = Duration::from_secs(2);

/// So long after a bad word the sidecar is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It stores events.
    Good,
    /// It does not.
    Bad,
    /// It has not been heard of for too long.
    Unknown,
}

/// The last word of the sidecar, and the question that is under way.
#[derive(Debug, Default)]
pub struct Health {
    last: Option<(Moment, bool)>,
    question: Option<(Token, Moment)>,
}

impl Health {
    /// What is known at `now`.
    pub fn outlook(&self, now: Moment) -> Outlook {
        match self.last {
            Some((when, true)) if now.since(when) <= FRESH => Outlook::Good,
            Some((when, false)) if now.since(when) <= STALE => Outlook::Bad,
            _ => Outlook::Unknown,
        }
    }

    /// The sidecar showed that it stores events, or that it does not.
    pub fn heard(&mut self, now: Moment, is_good: bool) {
        self.last = Some((now, is_good));
    }

    /// Whether it is time to ask. There is one question at a time.
    pub fn is_worth_asking(&self, now: Moment) -> bool {
        let just_failed = self.last.is_some_and(|(when, good)| !good && now.since(when) < PAUSE);
        self.question.is_none() && !just_failed
    }

    /// Whether a question is under way.
    pub fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// A question is under way from `now` on.
    pub fn asked(&mut self, token: Token, now: Moment) {
        self.question = Some((token, now));
    }

    /// Whether the call `token` was our question, which is over then.
    pub fn is_answer(&mut self, token: Token) -> bool {
        let ours = self.question.is_some_and(|(asked, _)| asked == token);
        if ours {
            self.question = None;
        }
        ours
    }

    /// Gives up a question that should have been answered `patience` after it was asked. Whether
    /// there was one.
    pub fn is_overdue(&mut self, now: Moment, patience: Duration) -> bool {
        let late = self.question.is_some_and(|(_, since)| now.since(since) > patience);
        if late {
            self.question = None;
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(1_000_000_000);

    fn after(millis: u64) -> Moment {
        START.after(Duration::from_millis(millis))
    }

    #[test]
    fn a_word_counts_for_a_while_a_bad_one_for_longer() {
        let mut health = Health::default();
        assert_eq!(health.outlook(START), Outlook::Unknown);
        health.heard(START, true);
        assert_eq!(health.outlook(after(500)), Outlook::Good);
        assert_eq!(health.outlook(after(501)), Outlook::Unknown);
        health.heard(START, false);
        assert_eq!(health.outlook(after(2000)), Outlook::Bad);
        assert_eq!(health.outlook(after(2001)), Outlook::Unknown);
    }

    #[test]
    fn one_question_is_asked_at_a_time_and_not_at_once_after_a_failure() {
        let mut health = Health::default();
        assert!(health.is_worth_asking(START));
        health.asked(Token(7), START);
        assert!(!health.is_worth_asking(after(50)));
        assert!(!health.is_answer(Token(8)));
        assert!(health.is_answer(Token(7)) && !health.is_asking());
        health.heard(after(50), false);
        assert!(!health.is_worth_asking(after(149)));
        assert!(health.is_worth_asking(after(150)));
    }

    #[test]
    fn a_question_without_an_answer_is_given_up() {
        let mut health = Health::default();
        health.asked(Token(7), START);
        assert!(!health.is_overdue(after(2000), Duration::from_secs(2)));
        assert!(health.is_overdue(after(2001), Duration::from_secs(2)));
        assert!(!health.is_answer(Token(7)) && !health.is_asking());
    }
}
