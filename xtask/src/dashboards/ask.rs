//! Asks Prometheus what a panel shows, as Grafana would.
//!
//! Invariant: a variable that is not known stays in the query, which is then none.

use anyhow::{Context, Result};

use super::board::{Board, Query};
use crate::services::prometheus::{PERIOD, Prometheus, Series, Stretch};

/// The shortest interval of a rate, in seconds: Envoy tells of its histograms every five.
const SHORTEST: f64 = 12.0;

/// What the reader of a dashboard has chosen.
#[derive(Debug)]
pub struct Reader<'a> {
    prometheus: &'a Prometheus,
    stretch: Stretch,
    chosen: Vec<(String, String)>,
}

impl<'a> Reader<'a> {
    /// One who looks at the last so many seconds of `board` and chooses what `choose` picks among
    /// the values of each of its variables.
    pub async fn of(
        board: &Board,
        prometheus: &'a Prometheus,
        seconds: f64,
        steps: u32,
        choose: impl Fn(&[String]) -> Option<String>,
    ) -> Result<Self> {
        let stretch = prometheus.last(seconds, steps).await?;
        let mut chosen = Vec::new();
        for variable in &board.variables {
            let values = prometheus.label_values(&variable.metric, &variable.label).await?;
            let value = choose(&values);
            let value = value.with_context(|| format!("{} has no values", variable.name))?;
            chosen.push((variable.name.clone(), value));
        }
        Ok(Self { prometheus, stretch, chosen })
    }

    /// What is looked at.
    pub fn stretch(&self) -> Stretch {
        self.stretch
    }

    /// What was chosen, in words.
    pub fn choice(&self) -> String {
        let chosen = self.chosen.iter().map(|(name, value)| format!("{name}: {value}"));
        chosen.collect::<Vec<_>>().join(", ")
    }

    /// What a query comes to.
    pub async fn ask(&self, query: &Query) -> Result<Vec<Series>> {
        let expr = self.filled(&query.expr);
        let found = if query.instant {
            self.prometheus.now(&expr).await
        } else {
            self.prometheus.over(&expr, self.stretch).await
        };
        found.with_context(|| format!("failed to ask {expr}"))
    }

    /// The query with its variables filled in. The interval of rates is a step and a scrape, as
    /// Grafana has it, but never so short that a histogram of Envoy's falls between two.
    pub fn filled(&self, expr: &str) -> String {
        let Stretch { from, to, step } = self.stretch;
        let interval = (step + PERIOD.as_secs_f64()).max(SHORTEST);
        let filled = expr.replace("$__rate_interval", &format!("{interval}s"));
        let filled = filled.replace("$__range", &format!("{}s", to - from));
        self.chosen
            .iter()
            .fold(filled, |filled, (name, value)| filled.replace(&format!("${name}"), value))
    }
}
