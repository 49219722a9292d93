//! Exchanges the secret of a subscription: `POST /subscriptions/{id}/rotate-secret`.
//!
//! Invariant: unless its owner says otherwise the old secret signs on for a day, so that no
//! receiver gets a delivery that it cannot verify.

use std::time::Duration;

use serde_json::{Value, json};
use sidehook_event::UnixMicros;

use super::super::{
    Flaws,
    form::Form,
    named::secret,
    read::{duration, written},
};
use crate::model::{Scheme, Secret, Subscription};

/// For how long the old secret signs on unless something is said.
pub(super) const OVERLAP: Duration = Duration::from_hours(24);
const LONGEST_OVERLAP: Duration = Duration::from_hours(7 * 24);

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Rotation {
    /// The new secret, if its owner chose one.
    secret: Option<Secret>,
    /// For how long the old one signs on.
    overlap: Duration,
}

impl TryFrom<Option<Value>> for Rotation {
    type Error = Flaws;

    fn try_from(body: Option<Value>) -> Result<Self, Flaws> {
        Form::whole(body.unwrap_or_else(|| json!({})), Self::read)
    }
}

impl Rotation {
    /// Reads `{"secret", "overlap"}`.
    #[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
    pub(super) fn read(form: &mut Form) -> Option<Self> {
        let chosen = secret().about("The new secret; one is made if none is given.");
        let overlap = duration(Duration::ZERO, LONGEST_OVERLAP)
            .about("For how long the old secret signs on.")
            .or(written(OVERLAP));
        Some(Self {
            secret: form.read("secret", chosen),
            overlap: form.read("overlap", overlap).unwrap_or(OVERLAP),
        })
    }

    /// The subscription after it. `fresh` makes the new secret if its owner chose none.
    pub(super) fn of(
        self,
        earlier: &Subscription,
        fresh: impl FnOnce(Scheme) -> Secret,
        now: UnixMicros,
    ) -> Subscription {
        let fresh = self.secret.unwrap_or_else(|| fresh(earlier.signing.current.scheme()));
        let signing = earlier.signing.rotated(fresh, now, now.after(self.overlap));
        Subscription { signing, updated_at: now, ..earlier.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::subscription;

    const NOW: UnixMicros = UnixMicros::new(1_763_890_200_000_000);

    fn secret(letter: &str) -> Secret {
        format!("whsec_{}", letter.repeat(32)).parse().unwrap()
    }

    fn rotated(earlier: &Subscription, body: Option<Value>, fresh: &str) -> Subscription {
        Rotation::try_from(body).unwrap().of(earlier, |_| secret(fresh), NOW)
    }

    fn signing(subscription: &Subscription, after: Duration) -> Vec<Secret> {
        subscription.signing.at(NOW.after(after)).cloned().collect()
    }

    #[test]
    fn the_old_secret_signs_on_for_a_day() {
        let earlier = Subscription { signing: secret("A").into(), ..subscription(1, "*") };
        let later = rotated(&earlier, None, "B");
        let (within, beyond) = (Duration::from_secs(86_399), Duration::from_hours(24));
        assert_eq!(signing(&later, within), [secret("B"), secret("A")]);
        assert_eq!(signing(&later, beyond), [secret("B")]);
    }

    #[test]
    fn its_owner_may_choose_the_secret_and_the_overlap() {
        let earlier = Subscription { signing: secret("A").into(), ..subscription(1, "*") };
        let body = json!({"secret": secret("C").reveal(), "overlap": "0s"});
        let later = rotated(&earlier, Some(body), "B");
        assert_eq!(signing(&later, Duration::ZERO), [secret("C")]);
        let flaws = Rotation::try_from(Some(json!({"overlap": "8d", "secret": 1}))).unwrap_err();
        let fields: Vec<_> = flaws.into_list().into_iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, ["secret", "overlap"]);
    }

    #[test]
    fn of_many_that_were_replaced_the_youngest_sign() {
        let mut last = Subscription { signing: secret("A").into(), ..subscription(1, "*") };
        for letter in ["B", "C", "D", "E", "F"] {
            last = rotated(&last, None, letter);
        }
        let expected = ["F", "E", "D", "C", "B"].map(secret);
        assert_eq!(signing(&last, Duration::ZERO), expected);
    }
}
