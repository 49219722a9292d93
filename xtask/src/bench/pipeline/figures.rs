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
    /// milliseconds. None where nothing is delivered.
    pub(super) latency: Option<[f64; 3]>,
    /// The same of what a client waited for the answer to its write, where one client waits.
    pub(super) answer: Option<[f64; 3]>,
    /// The most memory, by process: MiB.
    pub(super) memory: BTreeMap<&'static str, f64>,
    /// What else is known, by name: that of Postgres only where there is one.
    pub(super) further: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// All that is on a processor for 1,000 deliveries.
    pub(super) fn all_cpu(&self) -> f64 {
        self.cpu.values().sum()
    }

    /// The middle of each figure.
    pub(super) fn middle(rounds: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| median(rounds.iter().map(figure));
        // What one round does not know, all rounds together don't know either.
        let by_name = |figures: fn(&Self) -> &BTreeMap<&'static str, f64>| {
            let names = rounds.first().map(figures).into_iter().flat_map(BTreeMap::keys).copied();
            let known = |name: &&str| rounds.iter().all(|round| figures(round).contains_key(name));
            let middle = |name| of(&|round| figures(round).get(name).copied().unwrap_or_default());
            names.filter(known).map(|name| (name, middle(name))).collect()
        };
        let ranks = |figures: fn(&Self) -> Option<[f64; 3]>| {
            let all: Option<Vec<_>> = rounds.iter().map(figures).collect();
            let all = all.filter(|all| !all.is_empty())?;
            let at = |place: usize| all.iter().filter_map(move |ranks| ranks.get(place).copied());
            Some(std::array::from_fn(|place| median(at(place))))
        };
        Self {
            per_second: of(&|round| round.per_second),
            cpu: by_name(|round| &round.cpu),
            latency: ranks(|round| round.latency),
            answer: ranks(|round| round.answer),
            memory: by_name(|round| &round.memory),
            further: by_name(|round| &round.further),
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
            latency: Some([sidecar, 2.0, 3.0]),
            ..Figures::default()
        };
        let middle = Figures::middle(&[round(1.0, 30.0), round(3.0, 10.0), round(2.0, 20.0)]);
        assert_eq!(middle, round(2.0, 20.0));
        assert!((middle.all_cpu() - 21.0).abs() < 1e-9);
        assert_eq!(Figures::middle(&[]), Figures::default());
    }

    #[test]
    fn what_a_round_does_not_know_is_not_told() {
        let knows = Figures { further: [("a", 1.0)].into(), ..Figures::default() };
        let middle = Figures::middle(&[knows, Figures::default()]);
        assert_eq!((middle.further.len(), middle.latency), (0, None));
    }

    #[test]
    fn the_ranks_are_those_of_the_latencies() {
        let latencies = (1..=1000).rev().map(Duration::from_millis).collect();
        assert_eq!(
            ranks(latencies).map(|ms| format!("{ms:.3}")),
            ["501.000", "991.000", "1000.000"]
        );
    }
}
