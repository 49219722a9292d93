//! A look at everything that counts by itself: what processes took, what the sidecar tells, what
//! Postgres counts. Two of them make the figures of a round.
//!
//! Invariant: looking at the sidecar and at Postgres takes time of their own processors; it happens
//! before the first look at the processors and after the last.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};

use super::{Roots, Stage, per};
use crate::{
    bench::pipeline::{exposition::Exposition, processes},
    services::postgres::Postgres,
};

/// The claim of deliveries among the statements that Postgres keeps account of.
const CLAIM: &str = "query LIKE 'WITH due AS MATERIALIZED%FROM pending_deliveries%SKIP LOCKED%'";

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Look {
    cpu: BTreeMap<&'static str, Duration>,
    told: Exposition,
    postgres: Option<Counted>,
}

/// What Postgres has counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counted {
    statements: f64,
    transactions: f64,
    claims: f64,
    /// Milliseconds that claims took.
    claiming: f64,
}

impl Look {
    /// Before a round.
    pub(super) async fn before(stage: &Stage, roots: &Roots) -> Result<Self> {
        let (told, postgres) = (stage.exposition().await?, stage.counted().await?);
        Ok(Self { cpu: times(roots)?, told, postgres })
    }

    /// After a round.
    pub(super) async fn after(stage: &Stage, roots: &Roots) -> Result<Self> {
        let cpu = times(roots)?;
        Ok(Self { cpu, told: stage.exposition().await?, postgres: stage.counted().await? })
    }

    /// Seconds that each of the processes took since an earlier look, for each of `parts`.
    pub(super) fn cpu(&self, earlier: &Self, parts: f64) -> BTreeMap<&'static str, f64> {
        let each = self.cpu.iter().map(|(name, time)| {
            let took = time.saturating_sub(earlier.cpu.get(name).copied().unwrap_or_default());
            (*name, took.as_secs_f64() / parts)
        });
        each.collect()
    }

    /// What else is known of what happened since an earlier look.
    pub(super) fn further(&self, earlier: &Self, deliveries: f64) -> BTreeMap<&'static str, f64> {
        let told = |histogram, labels| self.told.mean_ms(&earlier.told, histogram, labels);
        let commit = "sidehook_ingest_commit_seconds";
        let mut further = vec![
            ("commit_p50_ms", self.told.median_ms(&earlier.told, commit)),
            ("commit_mean_ms", told(commit, "")),
            ("claim_mean_ms", told("sidehook_store_call_seconds", "{operation=\"claim\"}")),
        ];
        if let Some((now, before)) = self.postgres.zip(earlier.postgres) {
            let claims = now.claims - before.claims;
            let claiming = (now.claiming - before.claiming) / claims;
            further.extend([
                (
                    "statements_per_delivery",
                    Some((now.statements - before.statements) / deliveries),
                ),
                (
                    "transactions_per_delivery",
                    Some((now.transactions - before.transactions) / deliveries),
                ),
                ("postgres_claim_mean_ms", (claims > 0.0).then_some(claiming)),
            ]);
        }
        further.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
    }
}

impl Stage {
    /// What the sidecar tells of itself.
    pub(super) async fn exposition(&self) -> Result<Exposition> {
        let url = self.stack.plan().sidecar_url("/metrics");
        Ok(Exposition::parse(&String::from_utf8_lossy(&self.http.get(&url).await?.body)))
    }

    async fn counted(&self) -> Result<Option<Counted>> {
        match &self.stack.servers_ref().postgres {
            Some(postgres) => counted(postgres).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn counted(postgres: &Postgres) -> Result<Counted> {
    let ask = format!(
        "SELECT sum(calls) FROM pg_stat_statements;
        SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database;
        SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE {CLAIM};
        SELECT coalesce(sum(total_exec_time), 0) FROM pg_stat_statements WHERE {CLAIM}"
    );
    read(&postgres.ask(&ask).await?)
}

/// Reads its answer, a number in a line.
fn read(said: &str) -> Result<Counted> {
    let mut numbers = said.lines().map(str::parse);
    let mut next = || anyhow::Ok(numbers.next().context("Postgres told too little")??);
    Ok(Counted { statements: next()?, transactions: next()?, claims: next()?, claiming: next()? })
}

fn times(roots: &Roots) -> Result<BTreeMap<&'static str, Duration>> {
    roots.iter().map(|(name, root)| Ok((*name, processes::time_of(*root)?))).collect()
}

/// The most memory that each of them had since that was last forgotten: MiB.
pub(super) fn peaks(roots: &Roots) -> Result<BTreeMap<&'static str, f64>> {
    let peak = |root| anyhow::Ok(per(usize::try_from(processes::peak_of(root)? >> 10)?) / 1024.0);
    roots.iter().map(|(name, root)| Ok((*name, peak(*root)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(cpu: u64, postgres: Option<Counted>) -> Look {
        let cpu = [("sidecar", Duration::from_millis(cpu))].into();
        Look { cpu, told: Exposition::default(), postgres }
    }

    #[test]
    fn figures_are_what_came_between_two_looks() {
        let earlier = look(1_500, Some(read("10\n20\n2\n7.5\n").unwrap()));
        let later = look(2_500, Some(read("40\n25\n6\n9.5\n").unwrap()));
        assert_eq!(later.cpu(&earlier, 2.0), [("sidecar", 0.5)].into());
        let figures = [
            ("postgres_claim_mean_ms", 0.5),
            ("statements_per_delivery", 3.0),
            ("transactions_per_delivery", 0.5),
        ];
        assert_eq!(later.further(&earlier, 10.0), figures.into());
    }

    #[test]
    fn what_is_not_counted_is_not_told() {
        assert_eq!(look(2, None).further(&look(1, None), 10.0), BTreeMap::new());
        let counted = Some(Counted { statements: 1.0, ..Counted::default() });
        let none = look(1, counted).further(&look(1, counted), 10.0);
        assert!(!none.contains_key("postgres_claim_mean_ms"), "{none:?}");
        assert!(read("1\n2\n3\n").is_err());
    }
}
