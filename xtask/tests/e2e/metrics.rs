//! What the filter counts, as Envoy's admin interface shows it.
//!
//! Invariant: the first part of `docs/metrics.md` lists what there is, and nothing else is there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::json;
use xtask::{change::Change, workspace};

use crate::support::{Sidehook, ada, all_told, shared};

/// One row of the guide: the names for Prometheus and as text, and the kind.
struct Row {
    prometheus: String,
    text: String,
    kind: String,
}

fn guide() -> Result<Vec<Row>> {
    let guide = std::fs::read_to_string(workspace::root().join("docs/metrics.md"))?;
    let (filter, _) = guide.split_once("\n## The sidecar's").context("the second part is gone")?;
    let rows = filter.lines().filter(|line| line.starts_with("| `sidehook_"));
    let rows = rows.map(|line| {
        let mut cells =
            line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        let mut next = || cells.next().context("a cell is missing");
        Ok(Row { prometheus: next()?, text: next()?, kind: next()? })
    });
    rows.collect()
}

/// The names under `/stats`, with the labels' values as the guide writes them, and their values.
async fn as_text(sidehook: &Sidehook) -> Result<BTreeMap<String, String>> {
    let url = sidehook.plan.admin_url("/stats?filter=sidehook\\.");
    let said = sidehook.http.get(&url).await?.to_string();
    let lines = said.lines().filter_map(|line| line.strip_prefix("wasmcustom.")?.split_once(": "));
    Ok(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn generalised(name: &str) -> String {
    let mut before = "";
    let parts = name.split('.').map(|part| {
        let shown = match before {
            "resource" | "reason" => "R",
            "action" => "A",
            _ => part,
        };
        before = part;
        shown
    });
    parts.collect::<Vec<_>>().join(".")
}

async fn stack() -> Result<Sidehook> {
    Sidehook::before_people_with(|plan| {
        plan.resources.push("trial=/trials".to_owned());
        let path = format!("{}path: \"/trials\"\n", " ".repeat(32));
        let observe = format!("{}capture: observe\n", " ".repeat(32));
        plan.gateway_changes = vec![Change::behind(&path, &observe)];
    })
    .await
}

#[tokio::test]
async fn the_guide_lists_what_the_gateway_shows() -> Result<()> {
    let _machine = shared().await;
    let sidehook = stack().await?;
    sidehook.post("/people", ada()).await?.accepted()?;
    let listed: BTreeSet<_> = guide()?.into_iter().map(|row| row.text).collect();
    ensure!(listed.len() > 15, "{listed:?}");

    let shown = sidehook.until("the histograms", async || {
        let shown: BTreeSet<_> =
            as_text(&sidehook).await?.keys().map(|name| generalised(name)).collect();
        // Envoy shows a histogram once it has been flushed, which is every five seconds.
        Ok(if shown.contains("sidehook.hold_us") { Ok(shown) } else { Err(format!("{shown:?}")) })
    });
    assert_eq!(listed, shown.await?);
    sidehook.stop().await
}

#[tokio::test]
async fn prometheus_gets_each_of_them_with_its_labels() -> Result<()> {
    let _machine = shared().await;
    let sidehook = stack().await?;
    sidehook.post("/people", ada()).await?.accepted()?;
    let url = sidehook.plan.admin_url("/stats/prometheus");
    let said = sidehook.until("the histograms", async || {
        let said = sidehook.http.get(&url).await?.to_string();
        let there = said.contains("sidehook_hold_us_bucket");
        Ok(if there { Ok(said) } else { Err("no histogram of sidehook_hold_us".to_owned()) })
    });
    let said = said.await?;
    for Row { prometheus, kind, .. } in guide()? {
        let (name, labels) = prometheus.split_once('{').unwrap_or((&prometheus, ""));
        ensure!(said.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}:\n{said}");
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let labelled = format!("{label}=\"");
            let lines = said.lines().filter(|line| line.starts_with(&format!("{name}{{")));
            for line in lines {
                ensure!(line.contains(&labelled), "{line} has no {label}");
            }
        }
    }
    let created = r#"sidehook_events_total{resource="people",action="created"} 1"#;
    ensure!(said.contains(created), "no {created}:\n{said}");
    sidehook.stop().await
}

#[tokio::test]
async fn every_write_that_was_seen_is_accounted_for() -> Result<()> {
    let _machine = shared().await;
    let sidehook = stack().await?;
    for number in 0..5 {
        sidehook.post("/people", ada()).await?.accepted()?;
        sidehook.post("/people", json!({"name": ""})).await?;
        sidehook.put(&format!("/people/{}", 90 + number), ada()).await?;
        sidehook.delete("/people/1").await?;
        sidehook.post("/people/1/notes", ada()).await?;
        sidehook.post("/trials", ada()).await?;
        sidehook.http.send(Method::GET, &sidehook.plan.gateway_url("/people"), None).await?;
    }
    all_told().await;
    let shown = as_text(&sidehook).await?;
    let sum = |start: &str| {
        let counters = shown.iter().filter(|(name, _)| name.starts_with(start));
        counters.filter_map(|(_, value)| value.parse::<u64>().ok()).sum::<u64>()
    };
    let seen = sum("sidehook.seen");
    assert_eq!(seen, 30, "{shown:#?}");
    let ended = ["events.", "observed.", "missed.", "rejected.reason.not_forwarded."];
    let ended = ended.map(|start| sum(&format!("sidehook.{start}")));
    assert_eq!(seen, ended.iter().sum::<u64>(), "{shown:#?}");
    assert_eq!(sum("sidehook.events."), sum("sidehook.committed"), "{shown:#?}");
    sidehook.stop().await
}
