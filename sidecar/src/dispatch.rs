//! Turns events into deliveries: route ▸ transform ▸ store, many events in one transaction. Those for
//! which that takes hardly anything are dispatched by the commit that stores them ([`Brief`]), all
//! others come here through the queue.
//!
//! Invariant: an event is dispatched once, with one delivery for each subscription that asked
//! for it at that moment; its deliveries are published only after they are stored.

mod brief;

use std::{collections::HashMap, future::ready, sync::Arc};

use futures::FutureExt as _;
use sidehook_event::{Event, UnixMicros};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, mint},
    deliver::{lease_from, schedule},
    live::{About, Happening, Live, of_verdicts},
    measure::PerSubscription,
    model::{
        DeliveryId, DueDelivery, Made, Order, ScriptVersion, Series, Subscription, SubscriptionId,
        Successor, Verdict, operational,
    },
    queue::{Lane, Queue, Taken},
    route::Table,
    store::{Dispatched, Due, NewDelivery, Store, patience::until_stored},
    trace::Tracer,
    transform::{Haste, Rendered, Renderer, Scripts},
};

pub use brief::Brief;

/// The most events of one transaction.
const EVENTS_PER_COMMIT: usize = 256;

/// The most ends of deliveries that are recorded in one transaction.
const ENDS: usize = 256;

/// Dispatches events as they come.
#[derive(Debug)]
pub struct Dispatcher {
    /// Where deliveries are stored.
    pub store: Arc<dyn Store>,
    /// Where events come from and deliveries go.
    pub queue: Arc<dyn Queue>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Who gets what.
    pub table: Arc<Table>,
    /// Runs subscriptions' scripts.
    pub scripts: Arc<Scripts>,
    /// Told of what was dispatched.
    pub tracer: Tracer,
    /// Where it is told what was made.
    pub live: Live,
    /// What is counted of single subscriptions, if anything is.
    pub per_subscription: Option<Arc<PerSubscription>>,
}

/// A delivery that its script ended.
type Ended = (Verdict, About);

impl Dispatcher {
    /// Dispatches until `stop`.
    pub async fn run(&self, stop: &CancellationToken) {
        let take = || stop.run_until_cancelled(self.queue.take_events(EVENTS_PER_COMMIT));
        self.dispatch_all(take).await;
    }

    /// Dispatches what the queue holds at the moment.
    pub async fn finish(&self) {
        let take = || ready(self.queue.take_events(EVENTS_PER_COMMIT).now_or_never());
        self.dispatch_all(take).await;
    }

    /// Dispatches until there is no more to take, and records beside it what scripts ended.
    async fn dispatch_all<F>(&self, take: impl Fn() -> F)
    where
        F: Future<Output = Option<Vec<Taken<Arc<Event>>>>>,
    {
        let (ends, ended) = mpsc::channel(ENDS);
        let dispatching = async move {
            while let Some(taken) = take().await {
                self.dispatch(taken, &ends).await;
            }
        };
        tokio::join!(dispatching, self.record(ended));
    }

    /// Dispatches these; what tells of a death when it is among the dead letters too. If it cannot
    /// be put there it is left to the sweep, which finds it when its lease ends.
    async fn dispatch(&self, taken: Vec<Taken<Arc<Event>>>, ends: &mpsc::Sender<Ended>) {
        let (letters, others): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|taken| operational::is_death(&taken.work));
        self.store(others, ends).await;
        if letters.is_empty() {
            return;
        }
        let events = letters.iter().map(|letter| Arc::clone(&letter.work)).collect();
        match self.queue.bury(events).await {
            Ok(()) => self.store(letters, ends).await,
            Err(reason) => {
                tracing::warn!(count = letters.len(), %reason, "what tells of deaths waits");
                let receipts = letters.into_iter().map(|letter| letter.receipt).collect();
                self.queue.settle(Lane::Events, receipts).await;
            }
        }
    }

    async fn store(&self, taken: Vec<Taken<Arc<Event>>>, ends: &mpsc::Sender<Ended>) {
        if taken.is_empty() {
            return;
        }
        let now = self.clock.now();
        let (events, receipts): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|Taken { work, receipt, .. }| (work, receipt)).unzip();
        // What does not fit into the queue is due at once, for the sweep.
        let mut room = self.queue.room(Lane::Deliveries);
        let mut haste = Haste::new(&self.scripts, &*self.clock, &self.tracer);
        let (mut dispatched, mut ended) = (Vec::with_capacity(events.len()), HashMap::new());
        for event in events {
            let listeners = self.table.listeners(&event.event_type);
            let routed = self.route(event, &listeners, now, &mut room, &mut haste, &mut ended);
            dispatched.push(routed);
        }
        let mut stored = until_stored(&*self.clock, "store deliveries", || {
            self.store.dispatch(&dispatched, now)
        })
        .await;
        // Of one that came twice, since its message did, the first was stored.
        dispatched.retain(|dispatched| stored.remove(&dispatched.event.id));
        self.tell(&dispatched, now);
        let ready: Vec<_> = dispatched
            .into_iter()
            .flat_map(|dispatched| leased(dispatched, now))
            .filter(|delivery| !ended.contains_key(&delivery.id))
            .collect();
        self.queue.publish_deliveries(ready).await;
        for end in ended.into_values() {
            // Whoever records is there until the last sender is gone.
            let _ = ends.send(end).await;
        }
        self.queue.settle(Lane::Events, receipts).await;
    }

    /// Records what scripts ended, while the next events are dispatched. A delivery that is not
    /// recorded so, since the process ended, is still to be made when its lease is over.
    async fn record(&self, mut ended: mpsc::Receiver<Ended>) {
        let (mut some, mut verdicts, mut about) = (Vec::new(), Vec::new(), Vec::new());
        while ended.recv_many(&mut some, ENDS).await > 0 {
            for (verdict, its) in some.drain(..) {
                verdicts.push(verdict);
                about.push(its);
            }
            until_stored(&*self.clock, "record what scripts ended", || {
                self.store.record(&verdicts)
            })
            .await;
            self.live.tell(|| of_verdicts(&verdicts, &about));
            verdicts.clear();
            about.clear();
        }
    }

    /// Tells of deliveries that were stored.
    fn tell(&self, dispatched: &[Dispatched], now: UnixMicros) {
        for Dispatched { event, deliveries } in dispatched {
            self.tracer.dispatched(event, deliveries.len(), now, &*self.clock);
        }
        self.live.tell(|| {
            let about = dispatched.iter().flat_map(about_each);
            about.map(|about| Happening::made(about, now))
        });
    }

    fn route(
        &self,
        event: Arc<Event>,
        listeners: &[Arc<Subscription>],
        now: UnixMicros,
        room: &mut usize,
        haste: &mut Haste<'_>,
        ended: &mut HashMap<DeliveryId, Ended>,
    ) -> Dispatched {
        let mut renderer = Renderer::new(&event);
        let deliveries = listeners
            .iter()
            .filter_map(|subscription| {
                if !renderer.is_wanted(subscription) {
                    return None;
                }
                let id = mint(&*self.clock);
                let Rendered { payload, script, end } = renderer.render(subscription, haste);
                let is_ended = end.is_some();
                if let Some(successor) = end {
                    if let Some(apart) = &self.per_subscription {
                        apart.became(subscription.id, &successor);
                    }
                    let about = about(&event, id, subscription.id);
                    ended.insert(id, (verdict(id, script, successor, now), about));
                }
                let first = schedule::first(&subscription.retry, now, self.clock.dice());
                let at_once = first <= now && *room > 0 && !is_ended;
                if at_once {
                    *room -= 1;
                }
                Some(NewDelivery {
                    id,
                    subscription_id: subscription.id,
                    payload,
                    script,
                    is_ordered: subscription.ordering == Order::Subject,
                    due: if at_once || is_ended {
                        Due::Leased(lease_from(now))
                    } else {
                        Due::At(first)
                    },
                })
            })
            .collect();
        Dispatched { event, deliveries }
    }
}

/// The deliveries that were made of an event.
fn about_each(dispatched: &Dispatched) -> impl Iterator<Item = About> {
    let Dispatched { event, deliveries } = dispatched;
    deliveries.iter().map(|made| about(event, made.id, made.subscription_id))
}

fn about(event: &Event, delivery_id: DeliveryId, subscription_id: SubscriptionId) -> About {
    let (event_id, event_type) = (event.id, event.event_type.clone());
    About { delivery_id, event_id, event_type, subscription_id }
}

/// What is recorded of a delivery that its script ended.
fn verdict(
    delivery_id: DeliveryId,
    script: Option<ScriptVersion>,
    successor: Successor,
    at: UnixMicros,
) -> Verdict {
    let made = Some(Made { payload: None, script });
    Verdict { delivery_id, number: 1, attempt: None, made, successor, at }
}

/// The deliveries that are leased to whoever takes them from the queue.
fn leased(dispatched: Dispatched, made_at: UnixMicros) -> impl Iterator<Item = DueDelivery> {
    let (event_id, event_type) = (dispatched.event.id, dispatched.event.event_type.clone());
    dispatched.deliveries.into_iter().filter_map(move |delivery| match delivery.due {
        Due::At(_) => None,
        Due::Leased(lease_until) => Some(DueDelivery {
            id: delivery.id,
            event_id,
            event_type: event_type.clone(),
            subscription_id: delivery.subscription_id,
            attempt: 1,
            series: Series { began_at: made_at, earlier: 0 },
            payload: delivery.payload,
            lease_until,
        }),
    })
}
