//! With what the deliveries of a subscription are signed: its secret, and for a while those that
//! went before.
//!
//! Invariant: there is always a secret to sign with; at most [`Signing::MOST_PREVIOUS`] earlier
//! ones sign too, each until its time is up.

use sidehook_event::UnixMicros;

use super::Secret;

/// The secrets of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// Signs first.
    pub current: Secret,
    /// Sign too, the youngest first.
    pub previous: Vec<Outgoing>,
}

/// A secret that was replaced, and signs on for those who do not know the new one yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The secret.
    pub secret: Secret,
    /// Until when it signs.
    pub until: UnixMicros,
}

impl Signing {
    /// The most earlier secrets that sign too.
    pub const MOST_PREVIOUS: usize = 4;

    /// After the exchange of the secret for `fresh` at `now`: the old one signs on until `until`.
    #[must_use]
    pub fn rotated(&self, fresh: Secret, now: UnixMicros, until: UnixMicros) -> Self {
        let old = Outgoing { secret: self.current.clone(), until };
        let older = self.previous.iter().cloned();
        let still = |outgoing: &Outgoing| now < outgoing.until && outgoing.secret != fresh;
        let previous = std::iter::once(old).chain(older).filter(still);
        let previous = previous.take(Self::MOST_PREVIOUS).collect();
        Self { current: fresh, previous }
    }

    /// The secrets that sign at `now`, the current one first.
    pub fn at(&self, now: UnixMicros) -> impl Iterator<Item = &Secret> {
        let outgoing = self.previous.iter().filter(move |outgoing| now < outgoing.until);
        std::iter::once(&self.current).chain(outgoing.map(|outgoing| &outgoing.secret))
    }
}

impl From<Secret> for Signing {
    fn from(current: Secret) -> Self {
        Self { current, previous: Vec::new() }
    }
}
