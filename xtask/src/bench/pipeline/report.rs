//! The figures of the pipeline as a table and as JSON.
//!
//! Invariant: both say the same.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

use super::{
    cases::{Case, Way},
    figures::Figures,
};

/// What was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// Each case with its rounds, in order.
    pub(super) rounds: Vec<(Case, Vec<Figures>)>,
    /// The rounds of the raw limit.
    pub(super) raw: Vec<Figures>,
}

impl Report {
    /// A table in Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = String::from(
            "| case | deliveries/s | CPU-s per 1,000 | of it | × raw | p50 ms | p99 ms | p99.9 ms | \
             sidecar MiB | statements | transactions |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let raw = Figures::middle(&self.raw);
        let mut line = |name: &str, figures: &Figures| {
            let Figures { per_second, cpu, latency: [p50, p99, p999], memory, store, .. } = figures;
            let parts: Vec<_> = cpu.iter().map(|(name, cpu)| format!("{name} {cpu:.4}")).collect();
            let memory = memory.get("sidecar").map(|memory| format!("{memory:.0}"));
            let [statements, transactions] =
                store.map(|store| store.map(|count| format!("{count:.4}"))).unwrap_or_default();
            // Writing to a string never fails.
            let _ = writeln!(
                table,
                "| {name} | {per_second:.0} | {:.4} | {} | {:.1} | {p50:.2} | {p99:.2} | {p999:.2} | {} | \
                 {statements} | {transactions} |",
                figures.all_cpu(),
                parts.join(", "),
                figures.all_cpu() / raw.all_cpu(),
                memory.unwrap_or_default(),
            );
        };
        line("raw limit", &raw);
        for (case, rounds) in &self.rounds {
            line(&case.name(), &Figures::middle(rounds));
        }
        table
    }

    /// The same for programs, with each round.
    pub(super) fn json(&self) -> Value {
        let raw = Figures::middle(&self.raw);
        let figures = |figures: &Figures| {
            let Figures { per_second, cpu, latency: [p50, p99, p999], memory, store, repeated } =
                figures;
            let mib = |memory: &BTreeMap<&'static str, f64>| json!(memory);
            json!({
                "deliveries_per_s": per_second,
                "cpu_s_per_1000": figures.all_cpu(),
                "cpu_s_per_1000_by_process": cpu,
                "ratio_to_raw": figures.all_cpu() / raw.all_cpu(),
                "latency_ms": {"p50": p50, "p99": p99, "p999": p999},
                "peak_memory_mib": mib(memory),
                "statements_per_delivery": store.map(|[statements, _]| statements),
                "transactions_per_delivery": store.map(|[_, transactions]| transactions),
                "repeated_per_1000": repeated,
            })
        };
        let cases = self.rounds.iter().map(|(case, rounds)| {
            let mut told = json!({
                "name": case.name(),
                "backend": case.backend(),
                "fan_out": case.fan_out,
                "script": case.script,
                "way": match case.way {
                    Way::Ingest => "ingest",
                    Way::Gateway => "gateway",
                    Way::Light => "gateway, 50/s",
                },
                "other_subscriptions": case.others,
                "pending": case.pending,
                "events": case.events,
                "rounds": rounds.iter().map(figures).collect::<Vec<_>>(),
            });
            if let (Some(told), Value::Object(middle)) =
                (told.as_object_mut(), figures(&Figures::middle(rounds)))
            {
                told.extend(middle);
            }
            told
        });
        json!({"raw": figures(&raw), "cases": cases.collect::<Vec<_>>()})
    }
}
