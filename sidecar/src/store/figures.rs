//! What a store tells of itself, for those who watch it.
//!
//! Invariant: whatever is counted is counted to a limit, so that to look costs the same however
//! much waits.

use std::collections::HashMap;

use sidehook_event::UnixMicros;

use crate::model::{Cause, SubscriptionId};

/// What waits is counted to this number.
pub const MOST: usize = 100_000;
/// What waits for one subscription is counted to this number.
pub const MOST_OWED: usize = 1_000;
/// Of dead letters, so many of the newest are counted.
pub const MOST_DEAD: usize = 10_000;

/// What waits in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that are not dispatched.
    pub undispatched: u64,
    /// When the oldest of them was stored.
    pub undispatched_since: Option<UnixMicros>,
    /// Deliveries that are pending, due or not.
    pub pending: u64,
    /// Those of them that are due, and that nobody has in hand.
    pub due: u64,
    /// Since when the one is due that is due the longest.
    pub due_since: Option<UnixMicros>,
    /// Dead letters that were neither redriven nor discarded, by their causes: each of the causes
    /// is there.
    pub dead: HashMap<Cause, u64>,
}

/// What a subscription is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Whose.
    pub subscription_id: SubscriptionId,
    /// Its deliveries that are pending, due or not.
    pub pending: u64,
    /// When the oldest of them was made.
    pub since: Option<UnixMicros>,
}

/// The connections of a store to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Those with a call under way.
    pub used: usize,
    /// Those that are open, and idle.
    pub idle: usize,
    /// How many calls may be under way at a time; more wait.
    pub most: usize,
}
