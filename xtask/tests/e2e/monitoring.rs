//! What an operator sees: the dashboards and the alerts, on a live run that a real Prometheus
//! watches.
//!
//! Invariant: a panel that shows nothing is a failure, and so is one that asks for what nobody shows.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use xtask::{
    clock::Stopwatch,
    dashboards::{
        ask::Reader,
        board::{Board, Kind},
        scene::Scene,
    },
    people, ports,
    serving::Serving,
};

use crate::support::{alone, plan};

/// How long it may take until every panel shows something, and until an alert comes or goes.
const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(500);
/// How many seconds are looked back on.
const BACK: f64 = 30.0;

/// What a healthy run does not show, and why.
const UNSEEN: [(&str, &str); 1] =
    [("envoy_wasm_sidehook_vm_reload_success", "no virtual machine of the filter fails")];

/// The alert that tells of a receiver that is away.
const ALERT: &str = "SidehookReceiverFails";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_a_live_run_and_an_alert_comes_and_goes() -> Result<()> {
    let _machine = alone().await;
    let sample = Serving::start(people::api(), ports::free()?).await?;
    let scene = Scene::open(plan(&sample.url()).await?, true).await?;
    tokio::select! {
        played = scene.play() => played?,
        seen = look(&scene) => seen?,
    }
    scene.stop().await
}

async fn look(scene: &Scene) -> Result<()> {
    let boards = Board::all()?;
    until("no panel is empty", async || empty(scene, &boards).await).await?;
    let alert = async || scene.prometheus().alert(ALERT).await;
    until("the alert comes", async || {
        let states = alert().await?;
        let is_there = states.iter().any(|state| state == "firing");
        Ok(if is_there { Vec::new() } else { vec![format!("it is {states:?}")] })
    })
    .await?;
    for annotation in boards.iter().flat_map(|board| &board.annotations) {
        ensure!(
            !scene.prometheus().now(annotation).await?.is_empty(),
            "{annotation} marks nothing"
        );
    }
    let receiver = scene.bring_back().await?;
    until("the alert goes", async || alert().await).await?;
    ensure!(!receiver.webhooks().is_empty(), "the receiver that is back got nothing");
    Ok(())
}

/// The queries that come to nothing, and the metrics that are not there.
async fn empty(scene: &Scene, boards: &[Board]) -> Result<Vec<String>> {
    let shown = scene.prometheus().label_values("{__name__!=\"\"}", "__name__").await?;
    let shown: BTreeSet<_> = shown.iter().map(String::as_str).collect();
    let mut faults = Vec::new();
    for board in boards {
        let choose =
            |values: &[String]| values.iter().find(|value| *value == scene.stray()).cloned();
        let Ok(reader) = Reader::of(board, scene.prometheus(), BACK, 30, choose).await else {
            faults.push(format!("{}: no choice yet", board.name));
            continue;
        };
        for panel in &board.panels {
            ensure!(
                panel.kind == Kind::Row || !panel.queries.is_empty(),
                "{} asks nothing",
                panel.title
            );
            for query in &panel.queries {
                let missing = metrics(&query.expr).into_iter().filter(|name| !shown.contains(name));
                let missing =
                    missing.filter(|name| UNSEEN.iter().all(|(unseen, _)| unseen != name));
                faults.extend(missing.map(|name| format!("{}: there is no {name}", panel.title)));
                let found = reader.ask(query).await?;
                if found.iter().all(|series| series.points.is_empty()) {
                    faults.push(format!("{}, {}: {}", board.name, panel.title, query.expr));
                }
            }
        }
    }
    Ok(faults)
}

/// The names of metrics in a query.
fn metrics(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| {
        ["sidehook_", "envoy_", "rabbitmq_"].iter().any(|start| word.starts_with(start))
            // Labels of Envoy's.
            && !["envoy_http_conn_manager_prefix", "envoy_cluster_name", "envoy_response_code_class"]
                .contains(word)
    };
    words.filter(ours).collect()
}

/// Waits until nothing is left of what stands against it.
async fn until(what: &str, left: impl AsyncFn() -> Result<Vec<String>>) -> Result<()> {
    let start = Stopwatch::start();
    loop {
        let left = left().await?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < LIMIT, "{what}, not within {LIMIT:?}: {left:#?}");
        tokio::time::sleep(PAUSE).await;
    }
}
