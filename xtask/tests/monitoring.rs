//! `docs/monitoring/`: what Prometheus and Grafana are told, against Prometheus' own tool and the
//! list of what there is to be seen.
//!
//! Invariant: a rule or a panel asks for nothing that no process shows, and whoever is warned finds
//! what to do.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Result, ensure};
use xtask::{command::Program, dashboards::board, tools::prometheus, workspace};

fn folder() -> PathBuf {
    workspace::root().join("docs/monitoring")
}

fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(workspace::root().join(path))?)
}

/// The names in a text that begin with `sidehook_`.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("sidehook_")).collect()
}

/// The first cells of the tables in `docs/metrics.md`, without their labels.
fn listed(guide: &str) -> BTreeSet<&str> {
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `sidehook_"));
    let cells = rows.filter_map(|row| row.split_once('`'));
    let names = cells.map(|(name, _)| name.split('{').next().unwrap_or(name));
    names.collect()
}

#[tokio::test]
async fn prometheus_takes_the_rules_and_they_say_what_they_should() -> Result<()> {
    let promtool = prometheus::promtool().await?;
    // The token that the configuration names is there in the container alone.
    for arguments in [
        "check rules rules.yml",
        "check config --syntax-only prometheus.yml",
        "test rules rules.test.yml",
    ] {
        let check = Program::new(&promtool).args(arguments.split(' ')).in_folder(&folder());
        check.output().await?;
    }
    Ok(())
}

#[test]
fn rules_and_panels_ask_for_what_the_guide_lists() -> Result<()> {
    let guide = read("docs/metrics.md")?;
    let listed = listed(&guide);
    let boards = board::NAMES.map(|name| format!("grafana/{name}.json"));
    let rules = ["rules.yml", "rules.test.yml"].map(str::to_owned);
    for file in rules.into_iter().chain(boards) {
        for name in names(&read(&format!("docs/monitoring/{file}"))?) {
            let own = name.trim_start_matches("sidehook_");
            let parts = ["_bucket", "_sum", "_count"];
            let own = parts.iter().find_map(|part| own.strip_suffix(part)).unwrap_or(own);
            ensure!(listed.contains(own), "{file} asks for {name}, which docs/metrics.md has not");
        }
    }
    Ok(())
}

#[test]
fn each_alert_is_tested_and_operations_says_what_to_do() -> Result<()> {
    let (rules, tests) =
        (read("docs/monitoring/rules.yml")?, read("docs/monitoring/rules.test.yml")?);
    let operations = read("docs/operations.md")?;
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<_> = alerts.collect();
    ensure!(alerts.len() > 8, "{alerts:?}");
    for alert in &alerts {
        ensure!(tests.contains(&format!("alertname: {alert}")), "no test is about {alert}");
        ensure!(operations.contains(&format!("| `{alert}` |")), "operations.md lacks {alert}");
    }
    let told = operations.lines().filter_map(|line| line.strip_prefix("| `Sidehook"));
    let told = told.filter_map(|row| row.split('`').next());
    for alert in told.map(|rest| format!("Sidehook{rest}")) {
        ensure!(alerts.contains(&alert.as_str()), "operations.md knows {alert}, which is no alert");
    }
    Ok(())
}
