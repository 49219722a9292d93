//! The seam to what spreads work among workers: events to dispatch, deliveries to attempt.
//!
//! Invariant: the queue is a hint. Losing all of it loses nothing, since the store hands out
//! again whatever was not finished when its lease ended.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use sidehook_event::Event;
use thiserror::Error;

use crate::model::DueDelivery;

pub mod inbound;
pub mod local;
pub mod metrics;
pub mod rabbitmq;

/// Something taken from the queue, to be [settled](Queue::settle) when its result is stored.
#[derive(Debug)]
pub struct Taken<T> {
    /// What is to be worked on.
    pub work: T,
    /// Says which it was.
    pub receipt: Receipt,
    /// Whether it may have been handed out before, and finished.
    pub is_again: bool,
}

/// How many times its capacity a lane takes. Who publishes has looked at the room before, and so may
/// others have done meanwhile: what both of them leased is taken, for it would wait out its lease
/// otherwise.
const SLACK: usize = 2;

/// Names something taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// The two kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Events that are stored and wait for their deliveries.
    Events,
    /// Deliveries that are due.
    Deliveries,
}

impl Lane {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
        }
    }
}

/// The lanes that this process takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Whether it dispatches events.
    pub events: bool,
    /// Whether it attempts deliveries.
    pub deliveries: bool,
}

impl Lanes {
    /// Both.
    pub const ALL: Self = Self { events: true, deliveries: true };

    /// Whether `lane` is one of them.
    pub fn include(self, lane: Lane) -> bool {
        match lane {
            Lane::Events => self.events,
            Lane::Deliveries => self.deliveries,
        }
    }
}

/// What tells of deaths may not be kept where people look for dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the dead letters may not be kept")]
pub struct Unburied;

/// Spreads work among workers, each piece to one of them, oldest first. Made for some [`Lanes`];
/// whoever takes from another one waits for ever.
#[async_trait]
pub trait Queue: Send + Sync + Debug + 'static {
    /// What is wrong with it, in words for a person, if anything is. Work goes on all the same.
    fn trouble(&self) -> Option<String>;

    /// How many more pieces the lane is to hold at the moment. Those who publish lease only so
    /// many, so that nothing waits out its lease in a full queue; it takes some more, for others may
    /// have looked at the same room.
    fn room(&self, lane: Lane) -> usize;

    /// Waits until the lane has room.
    async fn has_room(&self, lane: Lane);

    /// Tells others of events that are stored, if they want to be told.
    fn announce(&self, events: &[Arc<Event>]);

    /// Offers events. Never waits; what does not fit is left to the sweep.
    async fn publish_events(&self, events: Vec<Arc<Event>>);

    /// Offers deliveries. Never waits; what does not fit is left to the sweep.
    async fn publish_deliveries(&self, deliveries: Vec<DueDelivery>);

    /// Keeps what tells of deaths where people look for dead letters, if there is such a place
    /// beside the store. May be repeated.
    async fn bury(&self, letters: Vec<Arc<Event>>) -> Result<(), Unburied>;

    /// Takes one event or more, at most `limit`; waits for the first. May be cancelled without
    /// loss.
    async fn take_events(&self, limit: usize) -> Vec<Taken<Arc<Event>>>;

    /// Takes one delivery or more, at most `limit`; waits for the first. May be cancelled
    /// without loss.
    async fn take_deliveries(&self, limit: usize) -> Vec<Taken<DueDelivery>>;

    /// Says that the results of these are stored. Whatever is never settled may be handed out
    /// again.
    async fn settle(&self, lane: Lane, receipts: Vec<Receipt>);
}
