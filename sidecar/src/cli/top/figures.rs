//! What two readings tell: how fast things go, how long they take, what waits and what went wrong.
//! Pure.
//!
//! Invariant: what a reading lacks is missing here too, and its reason is among the notes.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    ask::{Delivery, Reading},
    exposition::{Buckets, Exposition, quantile, since},
};

const STORED: &str = "sidehook_ingest_events_total";
const FINISHED: &str = "sidehook_deliveries_finished_total";
const ATTEMPTS: &str = "sidehook_delivery_attempts_total";
const END_TO_END: &str = "sidehook_delivery_end_to_end_seconds_bucket";

/// All that is shown.
#[derive(Debug)]
pub(super) struct Figures {
    /// How many sidecars answered, of how many.
    pub(super) sidecars: (usize, usize),
    pub(super) queue: Option<&'static str>,
    pub(super) stored: Pace,
    pub(super) delivered: Pace,
    pub(super) failed: Pace,
    pub(super) given_up: Pace,
    /// Seconds from event to delivery, half of them and 99 of 100: lately, and in all.
    pub(super) latency: [[Option<f64>; 2]; 2],
    /// What waits, with the names of the figures.
    pub(super) standing: [(&'static str, Option<f64>); 6],
    pub(super) lag_seconds: Option<f64>,
    pub(super) dead: Option<BTreeMap<String, f64>>,
    /// The worst first.
    pub(super) subscriptions: Option<Vec<Trouble>>,
    pub(super) letters: Option<Vec<Letter>>,
    /// Why something is missing.
    pub(super) notes: Vec<String>,
}

/// How much of something there was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) per_second: Option<f64>,
    /// Since the sidecars started.
    pub(super) total: Option<f64>,
}

/// A subscription that something is the matter with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) name: String,
    /// Deliveries that are pending.
    pub(super) waiting: usize,
    /// Those of them that failed before.
    pub(super) failing: usize,
    /// Dead letters.
    pub(super) dead: usize,
    pub(super) last_error: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Letter {
    pub(super) at: String,
    pub(super) cause: String,
    pub(super) event_type: String,
    pub(super) name: String,
    pub(super) error: String,
}

impl Figures {
    /// Of `now`, with what changed after `before`.
    pub(super) fn of(now: &Reading, before: &Reading) -> Self {
        let here: Vec<_> = now.counted.iter().flatten().collect();
        let seconds = now.at.saturating_sub(before.at).as_secs_f64();
        let pace = |name, passes: &dyn Fn(&str, &str) -> bool| {
            let pairs = now.counted.iter().zip(&before.counted);
            let gains = pairs.filter_map(|(now, before)| {
                let now = now.as_ref().ok()?.sum(name, passes)?;
                let before = before.as_ref().ok()?.sum(name, passes)?;
                // One that began anew counts from zero.
                Some(if now < before { now } else { now - before })
            });
            let gain = sum(gains).filter(|_| seconds > 0.0);
            let total = sum(here.iter().filter_map(|shown| shown.sum(name, passes)));
            Pace { per_second: gain.map(|gain| gain / seconds), total }
        };
        let sum_of = |name| sum(here.iter().filter_map(|shown| shown.value(name)));
        // Each counts the whole store.
        let most_of = |name| here.iter().filter_map(|shown| shown.value(name)).reduce(f64::max);
        let failed = |label: &str, value: &str| label != "outcome" || value != "success";
        Self {
            sidecars: (here.len(), now.counted.len()),
            queue: queue(&here),
            stored: pace(STORED, &|_, result| result == "stored"),
            delivered: pace(FINISHED, &|_, state| state == "delivered"),
            failed: pace(ATTEMPTS, &failed),
            given_up: pace(FINISHED, &|_, state| state == "dead"),
            latency: latency(now, before),
            standing: [
                ("undispatched", most_of("sidehook_backlog_undispatched_events")),
                ("pending", most_of("sidehook_backlog_pending_deliveries")),
                ("due", most_of("sidehook_backlog_due_deliveries")),
                ("in flight", sum_of("sidehook_delivery_in_flight")),
                ("in line", sum_of("sidehook_delivery_waiting_turn")),
                ("circuits open", sum_of("sidehook_delivery_circuits_open")),
            ],
            lag_seconds: most_of("sidehook_backlog_lag_seconds"),
            dead: dead_by_cause(&here),
            subscriptions: subscriptions(now),
            letters: now
                .dead
                .as_ref()
                .ok()
                .map(|dead| dead.iter().map(|letter| Letter::of(letter, now)).collect()),
            notes: notes(now),
        }
    }
}

fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(|sum, value| sum + value)
}

fn queue(here: &[&Exposition]) -> Option<&'static str> {
    if here.is_empty() {
        return None;
    }
    let mut connected =
        here.iter().filter_map(|shown| shown.value("sidehook_rabbitmq_connected")).peekable();
    Some(if connected.peek().is_none() {
        "in process"
    } else if connected.all(|connected| connected > 0.0) {
        "RabbitMQ"
    } else {
        "RabbitMQ is away"
    })
}

fn latency(now: &Reading, before: &Reading) -> [[Option<f64>; 2]; 2] {
    let (mut lately, mut in_all): (Buckets, Buckets) = (Vec::new(), Vec::new());
    for (now, before) in now.counted.iter().zip(&before.counted) {
        let Ok(now) = now else { continue };
        let now = now.buckets(END_TO_END);
        let before = before.as_ref().map(|before| before.buckets(END_TO_END)).unwrap_or_default();
        add(&mut lately, since(&now, &before));
        add(&mut in_all, now);
    }
    [0.5, 0.99].map(|share| [quantile(share, &lately), quantile(share, &in_all)])
}

/// Adds buckets of the same bounds.
fn add(sum: &mut Buckets, more: Buckets) {
    if sum.is_empty() {
        *sum = more;
        return;
    }
    for ((_, count), (_, more)) in sum.iter_mut().zip(more) {
        *count += more;
    }
}

fn dead_by_cause(here: &[&Exposition]) -> Option<BTreeMap<String, f64>> {
    let mut most: Option<BTreeMap<String, f64>> = None;
    for shown in here {
        for (cause, count) in shown.by_label("sidehook_backlog_dead_letters", "cause") {
            let known = most.get_or_insert_default().entry(cause.to_owned()).or_default();
            *known = known.max(count);
        }
    }
    most
}

/// Those that something waits for or has failed at; of what is looked at, which is the newest.
fn subscriptions(now: &Reading) -> Option<Vec<Trouble>> {
    let (Ok(dead), Ok(pending)) = (&now.dead, &now.pending) else { return None };
    let mut all: BTreeMap<&str, Trouble> = BTreeMap::new();
    for letter in dead {
        let trouble =
            all.entry(&letter.subscription_id).or_insert_with(|| Trouble::of(letter, now));
        trouble.dead += 1;
        trouble.learn(letter.error.as_deref());
    }
    for delivery in pending {
        let id = &delivery.subscription_id;
        let trouble = all.entry(id).or_insert_with(|| Trouble::of(delivery, now));
        trouble.waiting += 1;
        if delivery.attempts > 0 {
            trouble.failing += 1;
            trouble.learn(delivery.last_outcome.as_deref());
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|trouble| Reverse((trouble.failing + trouble.dead, trouble.waiting)));
    Some(all)
}

fn notes(now: &Reading) -> Vec<String> {
    let of_metrics = now.counted.iter().filter_map(|counted| counted.as_ref().err());
    let of_lists = now.dead.as_ref().err().into_iter().chain(now.pending.as_ref().err());
    let mut notes: Vec<_> = of_metrics.chain(of_lists).cloned().collect();
    notes.dedup();
    notes
}

impl Trouble {
    fn of(delivery: &Delivery, now: &Reading) -> Self {
        let name = now.name(&delivery.subscription_id);
        Self { name, waiting: 0, failing: 0, dead: 0, last_error: String::new() }
    }

    /// Takes the newest error that is told.
    fn learn(&mut self, error: Option<&str>) {
        if self.last_error.is_empty() {
            error.unwrap_or_default().clone_into(&mut self.last_error);
        }
    }
}

impl Letter {
    fn of(letter: &Delivery, now: &Reading) -> Self {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        Self {
            at: word(&letter.finished_at),
            cause: word(&letter.cause),
            event_type: letter.event_type.clone(),
            name: now.name(&letter.subscription_id),
            error: word(&letter.error),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::time::Duration;

    use super::*;

    pub(crate) fn exposition(delivered: u64, failed: u64) -> Exposition {
        Exposition::parse(&format!(
            "sidehook_ingest_events_total{{result=\"stored\"}} {delivered}\n\
             sidehook_ingest_events_total{{result=\"known\"}} 7\n\
             sidehook_deliveries_finished_total{{state=\"delivered\"}} {delivered}\n\
             sidehook_deliveries_finished_total{{state=\"dead\"}} 1\n\
             sidehook_delivery_attempts_total{{outcome=\"success\",status=\"2xx\"}} {delivered}\n\
             sidehook_delivery_attempts_total{{outcome=\"status\",status=\"5xx\"}} {failed}\n\
             sidehook_delivery_end_to_end_seconds_bucket{{le=\"0.01\"}} {delivered}\n\
             sidehook_delivery_end_to_end_seconds_bucket{{le=\"+Inf\"}} {delivered}\n\
             sidehook_delivery_in_flight 3\n\
             sidehook_backlog_pending_deliveries 4\n\
             sidehook_backlog_lag_seconds 1.25\n\
             sidehook_backlog_dead_letters{{cause=\"exhausted\",fault=\"receiver\"}} 1\n\
             sidehook_backlog_dead_letters{{cause=\"egress\",fault=\"pipeline\"}} 0\n"
        ))
    }

    /// Of one sidecar, so many seconds after its start.
    pub(crate) fn reading(seconds: u64, delivered: u64, failed: u64) -> Reading {
        let delivery = |subscription: &str| Delivery {
            subscription_id: subscription.to_owned(),
            event_type: "people.created".to_owned(),
            attempts: 1,
            last_outcome: Some("timeout".to_owned()),
            ..Delivery::default()
        };
        let letter = Delivery {
            cause: Some("exhausted".to_owned()),
            error: Some("answered 503".to_owned()),
            finished_at: Some("2025-11-23T09:30:05.124000Z".to_owned()),
            ..delivery("sub_1")
        };
        let untried = Delivery { attempts: 0, last_outcome: None, ..delivery("sub_3") };
        let name = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        Reading {
            at: Duration::from_secs(seconds),
            counted: vec![Ok(exposition(delivered, failed))],
            dead: Ok(vec![letter]),
            pending: Ok(vec![untried, delivery("sub_2"), delivery("sub_1")]),
            names: [name("sub_1", "example.com"), name("sub_2", "127.0.0.1:5001 orders")].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::reading, *};

    #[test]
    fn what_came_between_two_readings_is_a_pace() {
        let figures = Figures::of(&reading(12, 110, 6), &reading(10, 100, 4));
        let pace = |per_second, total| Pace { per_second: Some(per_second), total: Some(total) };
        assert_eq!(figures.stored, pace(5.0, 110.0));
        assert_eq!(figures.delivered, pace(5.0, 110.0));
        assert_eq!(figures.failed, pace(1.0, 6.0));
        assert_eq!(figures.given_up, pace(0.0, 1.0));
        assert_eq!(figures.latency[0], [Some(0.005), Some(0.005)]);
        assert_eq!((figures.sidecars, figures.queue), ((1, 1), Some("in process")));
        assert!(figures.notes.is_empty());
    }

    #[test]
    fn the_worst_subscription_stands_first_with_its_newest_error() {
        let figures = Figures::of(&reading(1, 0, 0), &reading(0, 0, 0));
        let all = figures.subscriptions.unwrap();
        let shown: Vec<_> = all
            .iter()
            .map(|one| (&*one.name, one.waiting, one.failing, one.dead, &*one.last_error))
            .collect();
        assert_eq!(
            shown,
            [
                ("example.com", 1, 1, 1, "answered 503"),
                ("127.0.0.1:5001 orders", 1, 1, 0, "timeout"),
                ("sub_3", 1, 0, 0, ""),
            ]
        );
    }

    #[test]
    fn several_sidecars_are_added_up_but_what_each_counts_of_the_store_is_not() {
        let twice = |mut reading: Reading| {
            reading.counted.extend(reading.counted.clone());
            reading
        };
        let figures = Figures::of(&twice(reading(12, 110, 6)), &twice(reading(10, 100, 4)));
        assert_eq!(figures.stored.per_second, Some(10.0));
        assert_eq!(figures.sidecars, (2, 2));
        let standing: BTreeMap<_, _> = figures.standing.into();
        assert_eq!((standing["pending"], standing["in flight"]), (Some(4.0), Some(6.0)));
        assert_eq!(figures.dead.unwrap().get("exhausted"), Some(&1.0));
    }

    #[test]
    fn what_cannot_be_had_is_missing_with_its_reason() {
        let none = || Reading {
            counted: vec![Err("no metrics".to_owned())],
            dead: Err("no lists".to_owned()),
            pending: Err("no lists".to_owned()),
            ..reading(1, 0, 0)
        };
        let figures = Figures::of(&none(), &none());
        assert_eq!(figures.stored, Pace::default());
        assert_eq!((figures.sidecars, figures.queue), ((0, 1), None));
        assert!(figures.subscriptions.is_none() && figures.letters.is_none());
        assert!(figures.dead.is_none());
        assert_eq!(figures.notes, ["no metrics", "no lists"]);
    }

    #[test]
    fn one_that_began_anew_counts_from_zero() {
        let figures = Figures::of(&reading(12, 4, 0), &reading(10, 100, 4));
        assert_eq!(figures.delivered.per_second, Some(2.0));
    }
}
