//! What a round showed, and what many rounds come to. Pure.
//!
//! Invariant: each figure of a case is the middle one of its rounds.

use std::{collections::BTreeMap, time::Duration};

use crate::bench::figures::median;

/// What one case showed in one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// Deliveries in a second.
    pub(super) per_second: f64,
    /// Seconds on a processor for 1,000 deliveries, by process.
    pub(super) cpu: BTreeMap<&'static str, f64>,
    /// Half of the deliveries took no longer, all but one of a hundred, all but one of a thousand:
    /// milliseconds.
    pub(super) latency: [f64; 3],
    /// The most memory, by process: MiB.
    pub(super) memory: BTreeMap<&'static str, f64>,
    /// Statements and transactions of the store for a delivery, where they are counted.
    pub(super) store: Option<[f64; 2]>,
    /// Deliveries that came again, of 1,000.
    pub(super) repeated: f64,
}

impl Figures {
    /// All that is on a processor for 1,000 deliveries.
    pub(super) fn all_cpu(&self) -> f64 {
        self.cpu.values().sum()
    }

    /// The middle of each figure.
    pub(super) fn middle(rounds: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| median(rounds.iter().map(figure));
        let by_name = |figures: fn(&Self) -> &BTreeMap<&'static str, f64>| {
            let names = rounds.first().map(figures).into_iter().flat_map(BTreeMap::keys).copied();
            let middle = |name| of(&|round| figures(round).get(name).copied().unwrap_or_default());
            names.map(|name| (name, middle(name))).collect()
        };
        let counted = rounds.iter().all(|round| round.store.is_some()) && !rounds.is_empty();
        Self {
            per_second: of(&|round| round.per_second),
            cpu: by_name(|round| &round.cpu),
            latency: std::array::from_fn(|place| {
                of(&|round| round.latency.get(place).copied().unwrap_or_default())
            }),
            memory: by_name(|round| &round.memory),
            store: counted.then(|| {
                std::array::from_fn(|place| {
                    of(&|round| {
                        round.store.and_then(|store| store.get(place).copied()).unwrap_or(0.0)
                    })
                })
            }),
            repeated: of(&|round| round.repeated),
        }
    }
}

/// Milliseconds that half, all but one of a hundred, and all but one of a thousand do not exceed.
pub(super) fn ranks(mut latencies: Vec<Duration>) -> [f64; 3] {
    latencies.sort_unstable();
    [500, 990, 999].map(|thousandths| {
        let latency = latencies.get(latencies.len() * thousandths / 1000).copied();
        latency.unwrap_or_default().as_secs_f64() * 1e3
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_taken_of_each_figure_by_itself() {
        let round = |per_second, sidecar| Figures {
            per_second,
            cpu: [("sidecar", sidecar), ("postgres", 1.0)].into(),
            store: Some([sidecar, 2.0]),
            ..Figures::default()
        };
        let middle = Figures::middle(&[round(1.0, 30.0), round(3.0, 10.0), round(2.0, 20.0)]);
        assert_eq!(middle, round(2.0, 20.0));
        assert!((middle.all_cpu() - 21.0).abs() < 1e-9);
        assert_eq!(Figures::middle(&[]).store, None);
    }

    #[test]
    fn the_ranks_are_those_of_the_latencies() {
        let latencies = (1..=1000).rev().map(Duration::from_millis).collect();
        assert_eq!(ranks(latencies), [501.0, 991.0, 1000.0]);
    }
}
