//! The figures of a measurement as a table and as JSON.
//!
//! Invariant: both say the same, and with what it was measured.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    cases::Case,
    figures::{Figures, Row},
};

/// What was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// Requests of a case in a round.
    pub(super) requests: u32,
    /// Requests at a time.
    pub(super) streams: u32,
    /// Each case with its rounds, in order.
    pub(super) rounds: Vec<(Case, Vec<Figures>)>,
}

impl Report {
    /// Each case with what its rounds come to.
    fn rows(&self) -> impl Iterator<Item = (Case, &[Figures], Row)> {
        self.rounds.iter().map(|(case, rounds)| {
            let reference = self.rounds.iter().find(|(other, _)| *other == case.reference());
            let reference = reference.map_or(rounds, |(_, rounds)| rounds);
            (*case, rounds.as_slice(), Row::of(rounds, reference))
        })
    }

    /// A table in Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = String::from(
            "| request, filter            | requests/s | ratio | Envoy CPU µs | more | at best | p50 ms | \
             p99 ms |\n|---|---|---|---|---|---|---|---|\n",
        );
        for (case, _, Row { middle, ratio, more, more_at_best }) in self.rows() {
            let Figures { per_second, cpu, p50, p99 } = middle;
            // Writing to a string never fails.
            let _ = writeln!(
                table,
                "| {:<26} | {per_second:.0} | {ratio:.2} | {cpu:.1} | {more:+.1} | {more_at_best:+.1} | \
                 {p50:.2} | {p99:.2} |",
                case.name()
            );
        }
        table
    }

    /// The same for programs, with each round.
    pub(super) fn json(&self) -> Value {
        let figures = |figures: &Figures| {
            json!({
                "requests_per_second": figures.per_second,
                "envoy_cpu_micros": figures.cpu,
                "p50_millis": figures.p50,
                "p99_millis": figures.p99,
            })
        };
        let cases = self.rows().map(|(case, rounds, row)| {
            json!({
                "case": case.name(),
                "median": figures(&row.middle),
                "ratio": row.ratio,
                "more_cpu_micros": row.more,
                "more_cpu_micros_at_best": row.more_at_best,
                "rounds": rounds.iter().map(figures).collect::<Vec<_>>(),
            })
        });
        json!({
            "requests": self.requests,
            "streams": self.streams,
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}
