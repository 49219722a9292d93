//! Figures: one round's, and what many rounds come to. Pure.
//!
//! Invariant: a comparison is made within a round and the middle of all rounds is told, so that
//! neither a slow minute nor a hiccup decides.

use std::time::Duration;

use super::load::Run;

/// What one case showed in one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// Requests in a second.
    pub(super) per_second: f64,
    /// What a request took of Envoy's processor, in µs.
    pub(super) cpu: f64,
    /// Half of the requests took no longer, in ms.
    pub(super) p50: f64,
    /// All but one of a hundred took no longer, in ms.
    pub(super) p99: f64,
}

/// What a case came to, beside its reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// The middle of each of its figures.
    pub(super) middle: Figures,
    /// Its requests in a second as a part of the reference's.
    pub(super) ratio: f64,
    /// What a request took of Envoy's processor beyond the reference's, in µs.
    pub(super) more: f64,
    /// The same between the best round of each, which others on this machine disturbed least.
    pub(super) more_at_best: f64,
}

impl Figures {
    /// Of a load, and of what Envoy took meanwhile.
    pub(super) fn of(run: Run, cpu: Duration) -> Self {
        let mut latencies = run.latencies;
        latencies.sort_unstable();
        let requests = f64::from(u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1));
        let rank = |hundredths: usize| {
            let latency = latencies.get(latencies.len() * hundredths / 100).copied();
            latency.unwrap_or_default().as_secs_f64() * 1e3
        };
        Self {
            per_second: requests / run.took.as_secs_f64(),
            cpu: cpu.as_secs_f64() * 1e6 / requests,
            p50: rank(50),
            p99: rank(99),
        }
    }
}

impl Row {
    /// Of the rounds of a case and those of its reference, in the same order.
    pub(super) fn of(rounds: &[Figures], reference: &[Figures]) -> Self {
        let each = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
        let pairs = || rounds.iter().zip(reference);
        Self {
            middle: Figures {
                per_second: each(|round| round.per_second),
                cpu: each(|round| round.cpu),
                p50: each(|round| round.p50),
                p99: each(|round| round.p99),
            },
            ratio: median(pairs().map(|(own, other)| own.per_second / other.per_second)),
            more: median(pairs().map(|(own, other)| own.cpu - other.cpu)),
            more_at_best: least_cpu(rounds) - least_cpu(reference),
        }
    }
}

fn least_cpu(rounds: &[Figures]) -> f64 {
    rounds.iter().map(|round| round.cpu).min_by(f64::total_cmp).unwrap_or_default()
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(per_second: f64, cpu: f64) -> Figures {
        Figures { per_second, cpu, p50: 1.0, p99: 2.0 }
    }

    #[test]
    fn a_row_compares_within_rounds() {
        // The machine was half as fast in the second round, and something hiccuped in the third.
        let reference = [figures(100.0, 10.0), figures(50.0, 20.0), figures(100.0, 10.0)];
        let rounds = [figures(90.0, 13.0), figures(45.0, 23.0), figures(1.0, 99.0)];
        let row = Row::of(&rounds, &reference);
        assert!((row.ratio - 0.9).abs() < 1e-9 && (row.more - 3.0).abs() < 1e-9, "{row:?}");
        assert!((row.middle.cpu - 23.0).abs() < 1e-9, "{row:?}");
        assert!((row.more_at_best - 3.0).abs() < 1e-9, "{row:?}");
    }

    #[test]
    fn the_ranks_are_those_of_the_latencies() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();
        let run = Run { took: Duration::from_secs(2), latencies };
        let figures = Figures::of(run, Duration::from_millis(1));
        assert_eq!(figures, Figures { per_second: 50.0, cpu: 10.0, p50: 51.0, p99: 100.0 });
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert!((median([4.0, 1.0, 2.0, 100.0].into_iter()) - 3.0).abs() < 1e-9);
        assert!(median([].into_iter()).abs() < 1e-9);
    }
}
