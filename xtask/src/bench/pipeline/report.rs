//! The figures of the pipeline as tables and as JSON.
//!
//! Invariant: both say the same.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    cases::{Act, Case, Way},
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
    /// Tables in Markdown: one of all that is delivered, then one for each question of its own
    /// that something was measured for.
    pub(super) fn tables(&self) -> String {
        [Some(self.deliveries()), self.answers(), self.claims()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn middles(&self, wanted: impl Fn(Case) -> bool) -> Vec<(Case, Figures)> {
        let wanted = self.rounds.iter().filter(|(case, _)| wanted(*case));
        wanted.map(|(case, rounds)| (*case, Figures::middle(rounds))).collect()
    }

    fn deliveries(&self) -> String {
        let mut table = String::from(
            "| case | deliveries/s | CPU-s per 1,000 | of it | × raw | p50 ms | p99 ms | p99.9 ms | \
             sidecar MiB | statements | transactions |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let raw = Figures::middle(&self.raw);
        let mut line = |name: &str, figures: &Figures| {
            let parts = figures.cpu.iter().map(|(name, cpu)| format!("{name} {cpu:.4}"));
            let further = |name| figures.further.get(name).map(|count: &f64| format!("{count:.4}"));
            // Writing to a string never fails.
            let _ = writeln!(
                table,
                "| {name} | {:.0} | {:.4} | {} | {:.1} | {} | {} | {} | {} |",
                figures.per_second,
                figures.all_cpu(),
                parts.collect::<Vec<_>>().join(", "),
                figures.all_cpu() / raw.all_cpu(),
                ranks(figures.latency).join(" | "),
                figures.memory.get("sidecar").map(|mib| format!("{mib:.0}")).unwrap_or_default(),
                further("statements_per_delivery").unwrap_or_default(),
                further("transactions_per_delivery").unwrap_or_default(),
            );
        };
        line("raw limit", &raw);
        for (case, figures) in self.middles(|case| case.way != Way::Plain) {
            line(&case.name(), &figures);
        }
        table
    }

    /// What one client waits for, and how much of it is the commit.
    fn answers(&self) -> Option<String> {
        let middles = self.middles(|case| matches!(case.way, Way::Plain | Way::Alone));
        let plain = middles.iter().find(|(case, _)| case.way == Way::Plain);
        let plain = plain.and_then(|(_, plain)| plain.answer.map(|[p50, ..]| p50));
        let mut table = String::from(
            "| one client's answers | p50 ms | p99 ms | p99.9 ms | commit p50 ms | neither plain \
             nor commit |\n|---|---|---|---|---|---|\n",
        );
        for (case, figures) in &middles {
            let commit = figures.further.get("commit_p50_ms").copied();
            let rest = plain.zip(figures.answer).zip(commit);
            let rest =
                rest.map(|((plain, [p50, ..]), commit)| format!("{:+.2}", p50 - plain - commit));
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} |",
                case.name(),
                ranks(figures.answer).join(" | "),
                commit.map(|commit| format!("{commit:.2}")).unwrap_or_default(),
                rest.unwrap_or_default(),
            );
        }
        (!middles.is_empty()).then_some(table)
    }

    /// What it costs to ask for what is due, with much and with little that waits.
    fn claims(&self) -> Option<String> {
        let middles = self.middles(|case| case.setting.act() == Act::Backlog);
        let mut table = String::from(
            "| a claim | as the sidecar sees it, ms | at Postgres, ms |\n|---|---|---|\n",
        );
        for (case, figures) in &middles {
            let further = |name| figures.further.get(name).map(|ms: &f64| format!("{ms:.3}"));
            let _ = writeln!(
                table,
                "| {} | {} | {} |",
                case.name(),
                further("claim_mean_ms").unwrap_or_default(),
                further("postgres_claim_mean_ms").unwrap_or_default(),
            );
        }
        (!middles.is_empty()).then_some(table)
    }

    /// The same for programs, with each round.
    pub(super) fn json(&self) -> Value {
        let raw = Figures::middle(&self.raw);
        let cases = self.rounds.iter().map(|(case, rounds)| {
            let mut told = json!({
                "name": case.name(),
                "backend": case.backend(),
                "fan_out": case.deliveries_of_each(),
                "script": case.script,
                "way": match case.way {
                    Way::Ingest => "ingest",
                    Way::Gateway => "gateway",
                    Way::Light => "gateway, 50/s",
                    Way::Alone => "gateway, one client",
                    Way::Plain => "gateway without the filter, one client",
                },
                "other_subscriptions": case.setting.others,
                "pending": case.setting.pending,
                "events": case.events,
                "rounds": rounds.iter().map(|round| figures(round, &raw)).collect::<Vec<_>>(),
            });
            if let (Some(told), Value::Object(middle)) =
                (told.as_object_mut(), figures(&Figures::middle(rounds), &raw))
            {
                told.extend(middle);
            }
            told
        });
        json!({"raw": figures(&raw, &raw), "cases": cases.collect::<Vec<_>>()})
    }
}

fn figures(figures: &Figures, raw: &Figures) -> Value {
    let ms = |ranks: Option<[f64; 3]>| {
        ranks.map(|[p50, p99, p999]| json!({"p50": p50, "p99": p99, "p999": p999}))
    };
    let mut told = json!({
        "deliveries_per_s": figures.per_second,
        "cpu_s_per_1000": figures.all_cpu(),
        "cpu_s_per_1000_by_process": figures.cpu,
        "ratio_to_raw": figures.all_cpu() / raw.all_cpu(),
        "latency_ms": ms(figures.latency),
        "answer_ms": ms(figures.answer),
        "peak_memory_mib": figures.memory,
    });
    if let Some(told) = told.as_object_mut() {
        told.extend(
            figures.further.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))),
        );
    }
    told
}

fn ranks(ranks: Option<[f64; 3]>) -> [String; 3] {
    ranks.map(|ranks| ranks.map(|ms| format!("{ms:.2}"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::pipeline::cases::ALL;

    fn round(case: Case, cpu: f64) -> Figures {
        let answers = matches!(case.way, Way::Plain | Way::Alone);
        let delivers = case.way != Way::Plain;
        Figures {
            per_second: 1_000.0,
            cpu: [("sidecar", cpu)].into(),
            latency: delivers.then_some([1.0, 2.0, 3.0]),
            answer: answers.then_some(if delivers { [1.75, 2.0, 3.0] } else { [0.5, 0.6, 0.7] }),
            memory: [("sidecar", 50.0)].into(),
            further: if delivers { [("commit_p50_ms", 1.0)].into() } else { [].into() },
        }
    }

    fn report() -> Report {
        let rounds = |case| vec![round(case, 0.3), round(case, 0.1), round(case, 0.2)];
        let raw = Figures { cpu: [("loop", 0.01)].into(), ..Figures::default() };
        Report { rounds: ALL.map(|case| (case, rounds(case))).into(), raw: vec![raw] }
    }

    #[test]
    fn the_tables_and_the_json_say_the_same() {
        let (tables, told) = (report().tables(), report().json());
        let cases = told["cases"].as_array().unwrap();
        assert_eq!(cases.len(), ALL.len());
        for case in cases {
            let name = case["name"].as_str().unwrap();
            assert!(tables.contains(&format!("| {name} | ")), "{name} is missing in {tables}");
            assert_eq!(case["cpu_s_per_1000"], 0.2);
            assert!((case["ratio_to_raw"].as_f64().unwrap() - 20.0).abs() < 1e-9);
            assert_eq!(case["rounds"].as_array().unwrap().len(), 3);
        }
    }

    #[test]
    fn an_answer_is_told_beside_what_it_waits_for() {
        let name = "embedded, fan-out 1, through the gateway, one client";
        let line = format!("| {name} | 1.75 | 2.00 | 3.00 | 1.00 | +0.25 |\n");
        assert!(report().answers().unwrap().contains(&line), "{:?}", report().answers());
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let rounds = report().rounds.into_iter().filter(|(case, _)| case.way == Way::Ingest);
        let rounds = rounds.filter(|(case, _)| case.setting.act() == Act::Empty).collect();
        let report = Report { rounds, raw: Vec::new() };
        assert_eq!((report.answers(), report.claims()), (None, None));
    }
}
