//! The seam to what survives: events, deliveries, attempts, subscriptions and tokens.
//!
//! Invariant: when a call returned `Ok`, what it wrote survives a power cut; when it returned an
//! error, it wrote nothing, or the caller may repeat it without harm.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use sidehook_event::{Event, EventId, TypeId as _, UnixMicros};

use crate::model::{
    AccessToken, Attempt, Delivery, DeliveryId, DueDelivery, Page, PageRequest, Pattern, Script,
    ScriptVersion, Series, State, Subscription, SubscriptionId, Target, TokenId, Verdict,
};

mod dispatched;
mod error;
pub mod figures;
pub mod form;
pub mod metered;
mod metrics;
pub mod patience;
pub mod postgres;
pub mod seal;
pub mod sqlite;
pub mod standing;
mod steps;

pub use dispatched::{Dispatched, NewDelivery, Router, numbered};
pub use error::{Error, Result, UpdateError};
use figures::{Backlog, Connections, Owed};

/// What is said of deliveries that die with their subscription.
pub(crate) const UNSUBSCRIBED: &str = "the subscription was deleted";

/// A pending delivery that nobody has in hand, and what its next time follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: DeliveryId,
    /// How many attempts were made.
    pub attempts: u32,
    /// Its current series.
    pub series: Series,
    /// When the last attempt ended, if it is known.
    pub ended_at: Option<UnixMicros>,
    /// When it is due now.
    pub due_at: UnixMicros,
}

/// When the sweep may hand something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At this time; nobody has it in hand.
    At(UnixMicros),
    /// Somebody has it in hand until this time; then it is taken for lost.
    Leased(UnixMicros),
}

impl Due {
    /// When something may be done about it, of what is made at `now`.
    fn earliest(self, now: UnixMicros) -> UnixMicros {
        match self {
            Self::At(at) => at,
            Self::Leased(_) => now,
        }
    }
}

/// Which events are listed.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// That happened at this time or later.
    pub since: Option<UnixMicros>,
}

/// Which deliveries are listed.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// In this state.
    pub state: Option<State>,
    /// To this subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Of this event.
    pub event_id: Option<EventId>,
}

/// Whether an upsert made something new.
#[derive(Debug, Clone, PartialEq)]
pub enum Upserted {
    /// It did.
    Created(Subscription),
    /// There was one, now changed; its id, secret and date of creation are those of old, unless
    /// a new secret was asked for.
    Updated(Subscription),
}

/// What became of events whose time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// How many were deleted.
    pub events: usize,
    /// From where to look on; `None` when none is left to look at.
    pub next: Option<EventId>,
}

/// A change of subscriptions, to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This one was made, changed or deleted.
    One(SubscriptionId),
    /// Any number of them were.
    Any,
}

/// What survives. Every method is one transaction.
#[async_trait]
pub trait Store: Send + Sync + Debug + 'static {
    /// Says that the store can be written to.
    async fn ping(&self) -> Result<()>;

    /// Makes due at `now` whatever a process that is certainly dead had in hand. Returns how
    /// many events and deliveries that were. A store that several processes share knows of none:
    /// there it returns 0, and what a dead one had in hand is due when its lease ends.
    async fn recover(&self, now: UnixMicros) -> Result<u64>;

    /// Stores events, each once however often it comes. `due` says when those that are not
    /// dispatched by then are handed out by [`Store::claim_events`]. Returns the ids that were
    /// not there before, each with its sequence: greater than that of every event that was stored
    /// before this was called, and of those before it in `events`.
    async fn append(
        &self,
        events: &[Arc<Event>],
        stored_at: UnixMicros,
        due: Due,
    ) -> Result<HashMap<EventId, u64>>;

    /// Stores events as [`Store::append`] does, and with them the deliveries that `router` makes: they
    /// never wait to be dispatched. `router` is shown them with their sequence; what it made of those that
    /// were there before is left out. None may be ordered. Returns the others.
    async fn append_dispatched(
        &self,
        events: Vec<Arc<Event>>,
        now: UnixMicros,
        router: Router<'_>,
    ) -> Result<Vec<Dispatched>>;

    /// Hands out events that are due and not dispatched, oldest first, and leases them. One that
    /// cannot be read is leased too, said in the log and left out: it stands in nobody's way.
    async fn claim_events(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>>;

    /// Stores the deliveries of events and marks these as dispatched. An event that was
    /// dispatched before, or is not stored, is left out with all its deliveries. Returns the
    /// events that were not left out.
    async fn dispatch(
        &self,
        dispatched: &[Dispatched],
        now: UnixMicros,
    ) -> Result<HashSet<EventId>>;

    /// Hands out pending deliveries that are due, the longest due first, and leases them. One that
    /// cannot be read is treated as such an event is.
    async fn claim_deliveries(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<DueDelivery>>;

    /// Until when each of these is leased, of those that are pending and in somebody's hands.
    async fn leases(&self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, UnixMicros>>;

    /// For how many others a delivery waits that is ordered: those to the same subscription about
    /// the same subject whose events were stored earlier and that are pending, and such events that
    /// are not dispatched. It counts to a hundred. 0 for one that is not ordered.
    async fn ahead(&self, id: DeliveryId) -> Result<u32>;

    /// Records attempts and what follows them. When one that is ordered is no longer pending, the
    /// next one, if nothing was attempted of it, is due, as early as it was at first. A verdict on a delivery that is no longer
    /// pending changes nothing about its state; a retry, a death or that it was filtered is only accepted
    /// from the latest attempt. Each attempt is recorded once however often it comes. A payload that
    /// was still to be made is the one that was made of it first.
    async fn record(&self, verdicts: &[Verdict]) -> Result<()>;

    /// Brings dead deliveries back among what is pending, due at `now`: a new series of attempts
    /// begins. Says how many; those that are not dead, or whose subscription is gone, stay as they
    /// are.
    async fn redrive(&self, ids: &[DeliveryId], now: UnixMicros) -> Result<u64>;

    /// Deliveries to this subscription that are pending and in nobody's hands, the oldest first,
    /// after `after` or from the beginning.
    async fn waiting(
        &self,
        id: SubscriptionId,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Waiting>>;

    /// Makes deliveries due at another time, each unless it was moved or taken in hand since it was
    /// read. Says how many.
    async fn reschedule(&self, moved: &[(Waiting, UnixMicros)]) -> Result<u64>;

    /// Adds deliveries to events that were dispatched before, and says how many. An event that
    /// waits to be dispatched or is not stored is left out; so is, if `missing_only`, a delivery to
    /// a subscription that has one of the same event, whatever became of it.
    async fn replay(
        &self,
        replayed: Vec<Dispatched>,
        missing_only: bool,
        now: UnixMicros,
    ) -> Result<u64>;

    /// Deletes dead deliveries with their attempts. Says how many; others stay.
    async fn discard(&self, ids: &[DeliveryId]) -> Result<u64>;

    /// Looks at `limit` events at most, the oldest first, after `from` or from the beginning, and
    /// deletes those of them that happened and were stored before `before` and are finished:
    /// dispatched, with no delivery pending. With them go their deliveries, payloads and attempts.
    /// An event whose id says that it happened later than it was stored waits for that time too.
    async fn expire(
        &self,
        before: UnixMicros,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<Expired>;

    /// What waits, each counted to a limit; what is due is so at `now`.
    async fn backlog(&self, now: UnixMicros) -> Result<Backlog>;

    /// What waits for each of these subscriptions, counted to a limit.
    async fn owed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<Owed>>;

    /// The connections to the database at the moment.
    fn connections(&self) -> Connections;

    /// Makes the subscription, or changes the one with the same pattern and URL: then
    /// everything but `id` and `created_at` is taken from `subscription`, and of its secret
    /// only if `new_secret`.
    async fn upsert_subscription(
        &self,
        subscription: Subscription,
        new_secret: bool,
    ) -> Result<Upserted>;

    /// Disables an enabled subscription, for this reason. `Ok(false)`: there is none, or it was not
    /// enabled.
    async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<bool>;

    /// Notes that a subscription's receiver fails, and says since when it does nothing else:
    /// `now`, if it worked until then, its owner changed the subscription, or there is none.
    async fn receiver_fails(&self, id: SubscriptionId, now: UnixMicros) -> Result<UnixMicros>;

    /// Notes that a subscription's receiver works.
    async fn receiver_works(&self, id: SubscriptionId) -> Result<()>;

    /// Gives away so much of a subscription's pace, and says from when on, which is `now` at the
    /// earliest: nobody else is given the same. Its owner's changes begin it anew.
    async fn reserve_pace(
        &self,
        id: SubscriptionId,
        span: Duration,
        now: UnixMicros,
    ) -> Result<UnixMicros>;

    /// Replaces the subscription of the same id. `Ok(false)`: there is none. An error of kind
    /// [`UpdateError::Taken`] if another one has its pattern and URL.
    async fn update_subscription(
        &self,
        subscription: &Subscription,
    ) -> std::result::Result<bool, UpdateError>;

    /// Deletes a subscription; its pending deliveries die of [`crate::model::Cause::Unsubscribed`].
    /// `Ok(false)`: there is none.
    async fn delete_subscription(&self, id: SubscriptionId, now: UnixMicros) -> Result<bool>;

    /// All subscriptions, for the routing table.
    async fn all_subscriptions(&self) -> Result<Vec<Subscription>>;

    /// Those of these subscriptions that there are.
    async fn subscriptions_of(&self, ids: &[SubscriptionId]) -> Result<Vec<Subscription>>;

    /// One subscription.
    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>> {
        Ok(self.subscriptions_of(&[id]).await?.pop())
    }

    /// The subscription with this pattern and URL.
    async fn subscription_by_target(
        &self,
        pattern: &Pattern,
        url: &Target,
    ) -> Result<Option<Subscription>>;

    /// Tells of every subscription that another process may have made, changed or deleted, within
    /// seconds; it may tell of this process' own changes too. Where there are other processes the
    /// first that it tells is a [`Change::Any`], for what was changed before it was asked. It never
    /// ends, and outlasts the store being away.
    fn subscription_changes(&self) -> BoxStream<'static, Change>;

    /// Subscriptions, newest first.
    async fn subscriptions(
        &self,
        page: PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription, SubscriptionId>>;

    /// Seals with the first key whatever secrets are not, and says of how many subscriptions
    /// those were. What somebody else changes meanwhile is not overwritten. Without a key nothing
    /// is done.
    async fn reseal(&self) -> Result<u64>;

    /// Events, newest first.
    async fn events(
        &self,
        filter: &EventFilter,
        page: PageRequest<EventId>,
    ) -> Result<Page<Event, EventId>>;

    /// One event.
    async fn event(&self, id: EventId) -> Result<Option<Event>>;

    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>>;

    /// One delivery with its attempts, the first one first.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>>;

    /// Keeps the text of a script, if it is not there yet.
    async fn keep_script(&self, script: &Script, now: UnixMicros) -> Result<()>;

    /// The script of this version.
    async fn script(&self, version: ScriptVersion) -> Result<Option<Script>>;

    /// Keeps a token. One whose id is there already changes nothing.
    async fn add_token(&self, token: &AccessToken) -> Result<()>;

    /// Marks a token as revoked at `now`; one that was revoked before stays as it is. It is kept,
    /// so that whoever asked for a token once never stops asking. `Ok(false)`: there is none.
    async fn revoke_token(&self, id: TokenId, now: UnixMicros) -> Result<bool>;

    /// All tokens, those that have ended too.
    async fn all_tokens(&self) -> Result<Vec<AccessToken>>;

    /// Tokens, newest first.
    async fn tokens(&self, page: PageRequest<TokenId>) -> Result<Page<AccessToken, TokenId>>;
}

/// The smallest id of what happened at `time` or later.
fn earliest(time: UnixMicros) -> EventId {
    let millis = u128::try_from(time.micros() / 1_000).unwrap_or(0);
    EventId::from_bits(millis << 80)
}
