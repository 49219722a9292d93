//! Brings a delivery to its receiver: sign ▸ send ▸ judge ▸ record.
//!
//! Invariant: nothing is sent that is not leased, and what an attempt came to is stored before
//! the queue is told that it is done.

mod again;
pub mod attempt;
pub mod circuit;
pub mod client;
mod connect;
pub mod courier;
mod decide;
mod dial;
pub mod egress;
mod disabling;
pub mod holds;
mod line;
pub mod making;
mod metrics;
mod order;
pub mod outcome;
mod pace;
mod proxy;
mod ranges;
mod record;
pub mod resolve;
pub mod retry_after;
pub mod schedule;
pub mod sign;
mod settings;
mod slots;
pub mod streak;
pub mod trust;
pub mod turns;
mod wire;

use std::{error::Error, num::NonZeroU32, sync::Arc, time::Duration};

use futures::FutureExt as _;
use sidehook_event::UnixMicros;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use client::Client;
use courier::Courier;
use holds::Holds;
use making::Maker;
pub use metrics::Metrics;
use record::{Found, Recorder};
use streak::Streaks;
use turns::{Ended, Limits, PutOff, Reason, Turns, Wish};

use crate::{
    clock::Clock,
    live::{About, Happening, Live},
    model::{
        Attempt, Cause, Death, DueDelivery, Fault, MAX_TIMEOUT, Pacing, Subscription,
        SubscriptionId, Successor, Verdict,
    },
    queue::{Lane, Queue, Taken},
    route::Table,
    store::{self, Store, patience::until_stored},
    trace::Tracer,
};

/// How long a delivery may wait in the queue and be attempted before another worker takes it
/// over. An attempt begins only if it is sure to end within.
const LEASE: Duration = Duration::from_secs(55);
/// How often it is looked for receivers that nobody asks any more.
const LOOK: Duration = Duration::from_secs(5);
/// How long a delivery rests whose subscription is not enabled.
const PAUSE: Duration = Duration::from_secs(30);
/// The most deliveries that wait for their turn.
const HELD: usize = 700;
/// The most verdicts that wait to be recorded.
const VERDICTS: usize = 1024;

/// When a delivery that is claimed at `now` may be claimed again.
pub fn lease_from(now: UnixMicros) -> UnixMicros {
    now.after(LEASE)
}

/// Gives back to `store` the deliveries that `queue` holds at the moment: they are due at once,
/// for whoever sweeps next.
pub async fn put_back(queue: &dyn Queue, store: &dyn Store, clock: &dyn Clock) {
    while let Some(taken) = queue.take_deliveries(VERDICTS).now_or_never() {
        let now = clock.now();
        let due = taken.iter().map(|taken| &taken.work);
        let verdicts: Vec<_> = due.map(|due| Verdict::put_back(due.id, due.attempt, now)).collect();
        until_stored(clock, "put deliveries back", || store.record(&verdicts)).await;
    }
}

/// Attempts deliveries as they come.
#[derive(Debug, Clone)]
pub struct Deliverer {
    /// Where verdicts are stored.
    pub store: Arc<dyn Store>,
    /// Where deliveries come from.
    pub queue: Arc<dyn Queue>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The subscriptions, as they are now.
    pub table: Arc<Table>,
    /// What is put off together.
    pub holds: Arc<Holds>,
    /// Makes what scripts have not made yet.
    pub maker: Arc<Maker>,
    /// Sends.
    pub courier: Arc<dyn Courier>,
    /// What is counted.
    pub metrics: Metrics,
    /// Told of attempts.
    pub tracer: Tracer,
    /// Where it is told what attempts came to.
    pub live: Live,
}

/// A delivery that was taken from the queue.
type Work = Taken<DueDelivery>;

/// How an attempt ended, and with whom.
type End = (SubscriptionId, Ended);

/// Says so when it is dropped, even by an attempt that broke off: its place is free again.
struct Leaving {
    id: SubscriptionId,
    ended: Ended,
    ends: mpsc::Sender<End>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // There is room for as many as are under way, or nobody listens any more.
        let _ = self.ends.try_send((self.id, self.ended));
    }
}

impl Deliverer {
    /// Makes at most `concurrency` attempts at a time, until `stop`; then finishes those that
    /// are under way, gives back those that wait, and records it all.
    pub async fn run(self, concurrency: usize, stop: CancellationToken) {
        let concurrency = concurrency.max(1);
        let attempts = TaskTracker::new();
        let (verdicts, found) = mpsc::channel(VERDICTS);
        let (ends, mut ended) = mpsc::channel(concurrency);
        let recorder = Recorder {
            found,
            store: Arc::clone(&self.store),
            queue: Arc::clone(&self.queue),
            clock: Arc::clone(&self.clock),
            live: self.live.clone(),
        };
        let recording = tokio::spawn(recorder.run());
        let mut turns: Turns<Work> = Turns::new(limits(concurrency), Arc::clone(&self.holds));
        let streaks = Arc::new(Streaks::default());
        let mut under_way = 0;
        let mut reserving = JoinSet::new();
        loop {
            turns.wake(self.clock.now());
            self.forget(&mut turns);
            while under_way < concurrency {
                let Some(work) = turns.next(self.clock.now()) else { break };
                under_way += 1;
                self.tell(&turns, work.work.subscription_id);
                let (deliverer, verdicts, ends) = (self.clone(), verdicts.clone(), ends.clone());
                let streaks = Arc::clone(&streaks);
                attempts.spawn(async move {
                    let id = work.work.subscription_id;
                    let mut leaving = Leaving { id, ended: Ended::Untold, ends };
                    leaving.ended = deliverer.deliver(work, verdicts, &streaks).await;
                });
            }
            self.metrics.stand(under_way, turns.waiting(), turns.tripped());
            for wish in turns.wishes() {
                reserving.spawn(self.clone().reserve(wish));
            }
            let (room, wakes_at) = (turns.room(), self.wakes_at(&turns));
            let put_off = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                end = ended.recv() => {
                    under_way -= 1;
                    self.finish(&mut turns, end)
                }
                Some(reserved) = reserving.join_next() => {
                    self.place(&mut turns, reserved.ok())
                }
                () = self.until(wakes_at), if wakes_at.is_some() => Vec::new(),
                taken = self.queue.take_deliveries(room), if room > 0 => {
                    self.line_up(&mut turns, self.still_leased(taken).await)
                }
            };
            self.put_off(put_off, &verdicts).await;
        }
        drop(reserving);
        for work in turns.clear() {
            let now = self.clock.now();
            self.give_back(work, Successor::Retry(now), &verdicts).await;
        }
        drop(verdicts);
        attempts.close();
        attempts.wait().await;
        self.metrics.stand(0, 0, 0);
        if let Err(error) = recording.await {
            tracing::error!(%error, "recording ended early, unrecorded attempts will be repeated");
        }
    }

    fn finish(&self, turns: &mut Turns<Work>, end: Option<End>) -> Vec<PutOff<Work>> {
        let Some((id, ended)) = end else { return Vec::new() };
        let now = self.clock.now();
        let was_open = turns.standing(id).is_open;
        let put_off = turns.finished(id, ended, now, self.clock.dice());
        let is_open = turns.standing(id).is_open;
        if is_open != was_open {
            self.live.tell(|| [Happening::circuit(id, is_open, now)]);
        }
        self.tell(turns, id);
        put_off
    }

    /// How it stands with a subscription, for those who tell them apart.
    fn tell(&self, turns: &Turns<Work>, id: SubscriptionId) {
        self.metrics.stands(id, || turns.standing(id));
    }

    /// A receiver that is sent nothing any more is not one that fails.
    fn forget(&self, turns: &mut Turns<Work>) {
        let is_sent =
            |id| self.table.subscription(id).is_some_and(|subscription| subscription.enabled);
        for id in turns.forget(is_sent) {
            self.tell(turns, id);
            self.live.tell(|| [Happening::circuit(id, false, self.clock.now())]);
        }
    }

    /// When there is something to do though nothing comes and nothing ends.
    fn wakes_at(&self, turns: &Turns<Work>) -> Option<UnixMicros> {
        let look = (turns.tripped() > 0).then(|| self.clock.now().after(LOOK));
        turns.wakes_at().into_iter().chain(look).min()
    }

    fn line_up(&self, turns: &mut Turns<Work>, taken: Vec<Work>) -> Vec<PutOff<Work>> {
        let now = self.clock.now();
        let offers = taken.into_iter().filter_map(|work| {
            let id = work.work.subscription_id;
            // One that is not in the table yet is read when its turn comes.
            let known = self.table.subscription(id);
            let pacing = known.map(|subscription| subscription.pacing).unwrap_or_default();
            // What is still to be made takes its time, one after the other.
            let is_unmade = work.work.payload.is_unmade();
            let max_in_flight =
                if is_unmade { Some(NonZeroU32::MIN) } else { pacing.max_in_flight };
            let pacing = Pacing { max_in_flight, ..pacing };
            let put_off = turns.offer(id, pacing, work, now);
            self.tell(turns, id);
            put_off
        });
        offers.collect()
    }

    /// Reserves places in a subscription's pace; nobody else has them.
    async fn reserve(self, wish: Wish) -> (Wish, UnixMicros) {
        let span = wish.interval * wish.count;
        let reserve = || self.store.reserve_pace(wish.id, span, self.clock.now());
        let from = until_stored(&*self.clock, "reserve a pace", reserve).await;
        (wish, from)
    }

    fn place(
        &self,
        turns: &mut Turns<Work>,
        reserved: Option<(Wish, UnixMicros)>,
    ) -> Vec<PutOff<Work>> {
        let Some((Wish { id, count, .. }, from)) = reserved else { return Vec::new() };
        let put_off = turns.reserved(id, from, count, self.clock.now());
        self.tell(turns, id);
        put_off
    }

    /// Waits until then; for ever without a time.
    async fn until(&self, at: Option<UnixMicros>) {
        match at {
            Some(at) => self.clock.sleep(at.since(self.clock.now())).await,
            None => std::future::pending().await,
        }
    }

    async fn put_off(&self, put_off: Vec<PutOff<Work>>, verdicts: &mpsc::Sender<Found>) {
        for PutOff { piece, until, reason } in put_off {
            self.metrics.put_off(reason);
            let successor = match reason {
                Reason::Open if self.is_over(&piece.work, until) => {
                    let error = "its receiver failed all the time".to_owned();
                    Successor::Dead(Death { cause: Cause::Exhausted, error })
                }
                Reason::Open | Reason::Full | Reason::Paced | Reason::Disabled => {
                    Successor::Retry(until)
                }
            };
            self.metrics.became(piece.work.subscription_id, &successor);
            self.give_back(piece, successor, verdicts).await;
        }
    }

    fn is_over(&self, due: &DueDelivery, until: UnixMicros) -> bool {
        let subscription = self.table.subscription(due.subscription_id);
        subscription.is_some_and(|known| schedule::is_over(&known.retry, due.series, until))
    }

    /// Gives it back to the store without an attempt, unless its lease is over and the store may
    /// have handed it out again.
    async fn give_back(&self, work: Work, successor: Successor, verdicts: &mpsc::Sender<Found>) {
        let Taken { work: due, receipt, .. } = work;
        let at = self.clock.now();
        if due.lease_until <= at {
            self.queue.settle(Lane::Deliveries, vec![receipt]).await;
            return;
        }
        let (delivery_id, number) = (due.id, due.attempt);
        let verdict = Verdict { delivery_id, number, attempt: None, made: None, successor, at };
        // Whoever listens is there until the last sender is gone.
        let _ = verdicts.send(Found { verdict, about: About::from(&due), receipt }).await;
    }

    async fn deliver(&self, work: Work, verdicts: mpsc::Sender<Found>, streaks: &Streaks) -> Ended {
        let Taken { work: due, receipt, is_again } = work;
        let subscription = match self.subscription(&due).await {
            Ok(subscription) => subscription,
            Err(error) => {
                // Left to the sweep, which finds it when its lease ends.
                tracing::warn!(error = &error as &dyn Error, delivery = %due.id, "failed to read its subscription");
                self.queue.settle(Lane::Deliveries, vec![receipt]).await;
                return Ended::Untold;
            }
        };
        let now = self.clock.now();
        if due.lease_until < now.after(MAX_TIMEOUT) {
            // An attempt might not end in time.
            let again = Successor::Retry(now);
            self.give_back(Taken { work: due, receipt, is_again }, again, &verdicts).await;
            return Ended::Untold;
        }
        let verdict = self.judge(&due, subscription.as_ref()).await;
        if verdict.successor == Successor::Delivered && due.series.earlier == 0 {
            self.metrics.delivered(due.event_id, verdict.at);
        }
        let ended = ended(verdict.attempt.as_ref());
        self.metrics.became(due.subscription_id, &verdict.successor);
        self.note(due.subscription_id, ended, streaks).await;
        // Whoever listens is there until the last sender is gone.
        drop(verdicts.send(Found { verdict, about: About::from(&due), receipt }).await);
        ended
    }

    /// The subscription, read again if it is not in the table: another process may have made it
    /// a moment ago.
    async fn subscription(&self, due: &DueDelivery) -> store::Result<Option<Arc<Subscription>>> {
        if let Some(subscription) = self.table.subscription(due.subscription_id) {
            return Ok(Some(subscription));
        }
        self.table.reload(&*self.store, due.subscription_id).await?;
        Ok(self.table.subscription(due.subscription_id))
    }
}

/// What one subscription may have of so many attempts at a time, and how many deliveries are held
/// besides: fewer than a broker lets one process hold.
fn limits(concurrency: usize) -> Limits {
    let share = (concurrency / 8).max(1);
    let wide = |count| u32::try_from(count).unwrap_or(u32::MAX);
    // However much one asks for, as much is left for the others.
    let most = (concurrency / 2).max(1);
    Limits { in_flight: wide(share), most_in_flight: wide(most), all: HELD }
}

/// What an attempt tells of its receiver.
fn ended(attempt: Option<&Attempt>) -> Ended {
    let Some(attempt) = attempt else { return Ended::Untold };
    match outcome::fault_of(attempt.outcome) {
        None => Ended::Well,
        Some(Fault::Receiver) => Ended::Badly,
        Some(Fault::Pipeline) => Ended::Untold,
    }
}
