//! Figures of single subscriptions, where they are wanted.
//!
//! The [`MOST`] oldest subscriptions are told apart, in every process the same; what comes of all
//! others counts together, as `other`.
//!
//! Invariant: there are series of no more subscriptions than that, and none of one that was deleted.

mod series;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};
use sidehook_event::UnixMicros;

use self::series::{Gauges, Series, Whose};
use crate::{
    deliver::turns::Standing,
    model::{Attempt, SubscriptionId, Successor},
    route::Table,
    store::{Store, figures::Owed},
};

/// How many subscriptions are told apart: each has some 25 series.
const MOST: usize = 1_000;

/// What is counted of single subscriptions.
#[derive(Debug)]
pub struct PerSubscription {
    table: Arc<Table>,
    series: Series,
    seen: Mutex<Seen>,
}

/// What is known at the moment.
#[derive(Debug, Default)]
struct Seen {
    /// The change of the table that this is as of.
    change: Option<u64>,
    /// Those that are told apart.
    apart: BTreeSet<SubscriptionId>,
    /// How it stands in this process with those that have something to do.
    standing: HashMap<SubscriptionId, Standing>,
    /// What the store has for them, and when it was asked.
    owed: Option<(Vec<Owed>, UnixMicros)>,
}

/// Shows it.
#[derive(Debug)]
struct Shown(Arc<PerSubscription>);

impl PerSubscription {
    /// Tells the subscriptions of `table` apart, and registers what it counts under
    /// `sidehook_subscription_…`.
    pub fn register(table: Arc<Table>, registry: &mut Registry) -> Arc<Self> {
        let own = Arc::new(Self { table, series: Series::default(), seen: Mutex::default() });
        registry.register_collector(Box::new(Shown(Arc::clone(&own))));
        own
    }

    /// An attempt was made.
    pub fn attempted(&self, id: SubscriptionId, attempt: &Attempt) {
        let seen = self.seen();
        self.series.attempted(seen.whose(id), attempt);
    }

    /// This became of one of its deliveries.
    pub fn became(&self, id: SubscriptionId, successor: &Successor) {
        let seen = self.seen();
        self.series.became(seen.whose(id), successor);
    }

    /// It stands so with it, in this process.
    pub fn stands(&self, id: SubscriptionId, standing: Standing) {
        let mut seen = self.seen();
        if standing == Standing::default() {
            seen.standing.remove(&id);
        } else {
            seen.standing.insert(id, standing);
        }
    }

    /// Asks the store what those that are told apart wait for.
    pub(super) async fn count(&self, store: &dyn Store, now: UnixMicros) {
        let apart: Vec<_> = self.seen().apart.iter().copied().collect();
        // A store that is away is told of by those who have work for it.
        let owed = store.owed(&apart).await.ok();
        self.seen().owed = owed.map(|owed| (owed, now));
    }

    /// What is known, for the subscriptions that there are. While it is held none of them goes.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let change = self.table.changes();
        if seen.change != Some(change) {
            let mut ids: Vec<_> = self.table.subscriptions().iter().map(|known| known.id).collect();
            ids.sort_unstable();
            let apart: BTreeSet<_> = ids.into_iter().take(MOST).collect();
            for gone in seen.apart.difference(&apart) {
                self.series.remove(Whose::One(*gone));
            }
            for new in apart.difference(&seen.apart) {
                self.series.begin(Whose::One(*new));
            }
            seen.apart = apart;
            seen.change = Some(change);
        }
        seen
    }
}

impl Seen {
    fn whose(&self, id: SubscriptionId) -> Whose {
        if self.apart.contains(&id) { Whose::One(id) } else { Whose::Other }
    }

    fn gauges(&self) -> Gauges {
        let gauges = Gauges::default();
        for id in &self.apart {
            gauges.stands(Whose::One(*id), Standing::default());
        }
        for (id, standing) in &self.standing {
            gauges.stands(self.whose(*id), *standing);
        }
        let (owed, now) =
            self.owed.as_ref().map_or((&[][..], UnixMicros::EPOCH), |(owed, now)| (owed, *now));
        for owed in owed.iter().filter(|owed| self.apart.contains(&owed.subscription_id)) {
            gauges.owed(owed, now);
        }
        gauges
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.0.seen();
        self.0.series.encode(&mut encoder)?;
        seen.gauges().encode(&mut encoder)
    }
}

#[cfg(test)]
mod tests {
    use sidehook_event::TypeId as _;

    use super::*;
    use crate::{
        model::{Cause, Death, Subscription, testing::subscription},
        observe::Metrics,
    };

    fn id(number: u128) -> SubscriptionId {
        SubscriptionId::from_bits(number)
    }

    struct Watched {
        table: Arc<Table>,
        figures: Arc<PerSubscription>,
        exposition: crate::observe::Exposition,
    }

    fn watched(subscriptions: impl IntoIterator<Item = u128>) -> Watched {
        let table = Arc::new(Table::default());
        for number in subscriptions {
            table.put(subscription(number, "*"));
        }
        let mut metrics = Metrics::new();
        let figures = PerSubscription::register(Arc::clone(&table), metrics.registry());
        Watched { table, figures, exposition: metrics.expose() }
    }

    impl Watched {
        /// The lines that tell of `whose`, without what is nought.
        fn lines(&self, whose: &str) -> Vec<String> {
            let text = self.exposition.text().unwrap();
            let label = format!("subscription=\"{whose}\"");
            let lines = text.lines().filter(|line| line.contains(&label));
            let lines = lines.filter(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0"));
            lines.map(|line| line.replace(&label, "")).collect()
        }
    }

    fn dead() -> Successor {
        Successor::Dead(Death { cause: Cause::Exhausted, error: String::new() })
    }

    #[test]
    fn one_is_there_from_the_beginning_and_gone_when_it_is_deleted() {
        let watched = watched([1, 2]);
        let open = Standing { waiting: 3, in_flight: 1, is_open: true };
        watched.figures.became(id(1), &Successor::Delivered);
        watched.figures.became(id(2), &dead());
        watched.figures.stands(id(2), open);
        let text = watched.exposition.text().unwrap();
        let first = format!("subscription=\"{}\"", id(1));
        assert!(
            text.contains(&format!(
                "sidehook_subscription_finished_total{{{first},state=\"dead\"}} 0"
            )),
            "{text}"
        );
        assert_eq!(
            watched.lines(&id(2).to_string()),
            [
                "sidehook_subscription_finished_total{,state=\"dead\"} 1",
                "sidehook_subscription_waiting_turn{} 3",
                "sidehook_subscription_in_flight{} 1",
                "sidehook_subscription_circuit_open{} 1",
            ]
        );
        watched.table.take_out(id(2));
        watched.figures.stands(id(2), Standing { waiting: 0, ..open });
        watched.figures.became(id(2), &dead());
        let text = watched.exposition.text().unwrap();
        assert!(!text.contains(&id(2).to_string()), "{text}");
        assert!(text.contains(&first), "{text}");
    }

    #[test]
    fn the_oldest_are_told_apart_and_the_others_count_together() {
        let most = u128::try_from(MOST).unwrap();
        let watched = watched((1..=most + 2).rev());
        for number in [1, most, most + 1, most + 2] {
            watched.figures.became(id(number), &Successor::Delivered);
            let standing = Standing { waiting: 2, in_flight: 1, is_open: true };
            watched.figures.stands(id(number), standing);
        }
        assert_eq!(watched.lines(&id(most).to_string()).len(), 4);
        assert_eq!(watched.lines(&id(most + 1).to_string()), [""; 0]);
        assert_eq!(
            watched.lines("other"),
            [
                "sidehook_subscription_finished_total{,state=\"delivered\"} 2",
                "sidehook_subscription_waiting_turn{} 4",
                "sidehook_subscription_in_flight{} 2",
                "sidehook_subscription_circuit_open{} 2",
            ]
        );
    }

    #[test]
    fn a_retry_ends_nothing() {
        let watched = watched([1]);
        watched.table.put(Subscription { enabled: false, ..subscription(1, "*") });
        watched.figures.became(id(1), &Successor::Retry(UnixMicros::EPOCH));
        assert_eq!(watched.lines(&id(1).to_string()), [""; 0]);
    }
}
