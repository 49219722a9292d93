//! Several sidecars on one Postgres and one RabbitMQ.
//!
//! Invariant: whichever of them dies, and however often, an accepted write is delivered under one
//! id.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use xtask::{
    backend::Backend,
    clock::Stopwatch,
    ports, say,
    stack::{Plan, Sidecar},
};

use crate::support::{
    LIMIT, Sidehook, ada, alone, got,
    load::{balance, create_people},
    receiver, shared,
};

const BOTH: Backend = Backend { postgres: true, rabbitmq: true };
const AT_ONCE: usize = 32;
const WRITES: usize = 8_000;
const LONG: usize = 2 * WRITES;
const KILLS_EVERY: Duration = Duration::from_secs(2);

/// What a dead sidecar had in hand is taken over when its lease ends, after 55 seconds at most.
const TAKEN_OVER: Duration = Duration::from_secs(150);

/// A stack of sidecars, each with an argument of its own, or none.
async fn sidecars(backend: Backend, arguments: &[&str], hold: &str) -> Result<Sidehook> {
    let mut sidecars = Vec::new();
    for argument in arguments {
        let own = (!argument.is_empty()).then(|| (*argument).to_owned());
        let roles = argument.strip_prefix("--roles=");
        let takes_events = roles.is_none_or(|roles| roles.contains("ingest"));
        let (port, arguments) = (ports::free()?, own.into_iter().collect());
        sidecars.push(Sidecar { port, takes_events, arguments });
    }
    let hold = format!("--hold-timeout={hold}");
    Sidehook::before_people_with(|plan: &mut Plan| {
        plan.backend = backend;
        plan.sidecars = sidecars;
        plan.gateway_arguments.push(hold);
    })
    .await
}

async fn attempts(sidehook: &Sidehook, sidecar: usize) -> Result<f64> {
    let sidecar = sidehook.plan.sidecars.get(sidecar).context("no such sidecar")?;
    sidehook.metric(sidecar.port, "sidehook_delivery_attempts_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sidecars_share_the_work() -> Result<()> {
    let _machine = alone().await;
    let sidehook = sidecars(BOTH, &["", ""], "2s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..3_000, AT_ONCE).await;
    ensure!(outcome.accepted.len() == 3_000, "refused: {:?}", outcome.others);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, LIMIT).await?;
    let shares = [attempts(&sidehook, 0).await?, attempts(&sidehook, 1).await?];
    say::line(format!("two sidecars made {shares:?} attempts, {delivered}"));
    ensure!(shares.iter().all(|share| *share > 300.0), "{shares:?}");
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_sidecar_needs_a_small_part_of_a_transaction_for_each_delivery() -> Result<()> {
    const EVENTS: usize = 1_000;
    const SUBSCRIPTIONS: usize = 10;
    let _machine = alone().await;
    let mut sidehook = sidecars(BOTH, &[""], "2s").await?;
    let receiver = receiver().await?;
    for number in 0..SUBSCRIPTIONS {
        let url = format!("{}/{number}", receiver.url());
        sidehook.subscribe_with(json!({"url": url, "event_type": "created"})).await?;
    }
    let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    asked(&mut sidehook, extension).await?;
    asked(&mut sidehook, "SELECT pg_stat_statements_reset()").await?;
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database
        WHERE datname = current_database()";
    let before: f64 = asked(&mut sidehook, transactions).await?.parse()?;

    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..EVENTS, AT_ONCE).await;
    ensure!(outcome.accepted.len() == EVENTS, "refused: {:?}", outcome.others);
    receiver.got(EVENTS * SUBSCRIPTIONS, TAKEN_OVER).await?;
    sidehook.lists("/deliveries?state=pending", 0).await?;

    let after: f64 = asked(&mut sidehook, transactions).await?.parse()?;
    let calls = "SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'";
    let statements: f64 = asked(&mut sidehook, calls).await?.parse()?;
    let deliveries = 10_000.0;
    let (statements, each) = (statements / deliveries, (after - before) / deliveries);
    say::line(format!("{statements:.3} statements and {each:.3} transactions for each delivery"));
    ensure!(each < 0.2, "{each} transactions for each delivery");
    sidehook.stop().await
}

async fn asked(sidehook: &mut Sidehook, statement: &str) -> Result<String> {
    let postgres = sidehook.stack.servers().postgres.as_ref().context("no Postgres")?;
    Ok(postgres.ask(statement).await?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_made_at_one_sidecar_is_known_to_the_other_within_a_second() -> Result<()> {
    let _machine = alone().await;
    // The second one dispatches; the first one has the API.
    let sidehook =
        sidecars(BOTH, &["--roles=ingest,api", "--roles=dispatch,deliver"], "2s").await?;
    let receiver = receiver().await?;
    // Nobody listens yet.
    sidehook.post("/people", ada()).await?.accepted()?;
    sidehook.events_until(|events| events.len() == 1).await?;
    sidehook.subscribe(&receiver, "created").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    sidehook.post("/people", json!({"name": "Grace"})).await?.accepted()?;
    let webhooks = got(&receiver, 1).await?;
    let names: Vec<_> =
        webhooks.iter().map(|webhook| webhook.json()["data"]["name"].clone()).collect();
    assert_eq!(names, ["Grace"]);
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_be_a_process_of_its_own() -> Result<()> {
    let _machine = shared().await;
    for backend in [BOTH, Backend { postgres: true, rabbitmq: false }] {
        let sidehook =
            sidecars(backend, &["--roles=ingest,api", "--roles=dispatch", "--roles=deliver"], "2s")
                .await?;
        let receiver = receiver().await?;
        sidehook.subscribe(&receiver, "created").await?;
        let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..300, AT_ONCE).await;
        ensure!(outcome.accepted.len() == 300, "refused: {:?}", outcome.others);
        balance(&sidehook, &receiver, &outcome.accepted, LIMIT).await?;
        // An attempt is counted when its answer has come, a moment after the receiver has it.
        let start = Stopwatch::start();
        while attempts(&sidehook, 2).await? < 300.0 {
            ensure!(start.elapsed() < LIMIT, "{backend:?}: delivered by another");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let dispatcher = sidehook.plan.sidecars.get(1).context("no second sidecar")?.port;
        let events = sidehook.http.get(&format!("http://127.0.0.1:{dispatcher}/events")).await?;
        ensure!(events.status == 404, "a dispatcher has an API: {}", events.status);
        sidehook.stop().await?;
    }
    Ok(())
}

/// Without a broker nobody hands the work of a dead process over; its leases run out.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_sidecar_had_in_hand_is_taken_over_within_its_lease() -> Result<()> {
    let machine = alone().await;
    let backend = Backend { postgres: true, rabbitmq: false };
    // One attempt at a time, so that it has much in hand.
    let mut sidehook = sidecars(backend, &["--concurrency=1", ""], "20s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let url = sidehook.plan.gateway_url("/people");
    let load = tokio::spawn(create_people(url, 0..3_000, AT_ONCE));
    got(&receiver, 1_000).await?;
    sidehook.stack.sidecar(0)?.signal(Signal::KILL)?;
    let killed = Stopwatch::start();
    let outcome = load.await?;
    ensure!(outcome.accepted.len() == 3_000, "refused: {:?}", outcome.others);
    // Until the leases end there is nothing to be done.
    drop(machine);
    let survivor = sidehook.plan.sidecars.get(1).context("no second sidecar")?.port;
    sidehook.plan.sidecars.retain(|sidecar| sidecar.port == survivor);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, TAKEN_OVER).await?;
    say::line(format!("taken over {:?} after the kill: {delivered}", killed.elapsed()));
    sidehook.stack.restart_sidecar(0).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_killed_in_turn_and_servers_restarted_lose_nothing() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = sidecars(BOTH, &["", ""], "20s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let url = sidehook.plan.gateway_url("/people");
    // Fewer at once and more of them, so that there is time for many kills.
    let load = tokio::spawn(create_people(url, 0..LONG, AT_ONCE / 4));

    let mut kills = 0_usize;
    let mut restarted = (false, false);
    while !load.is_finished() {
        let next_kill = tokio::time::sleep(KILLS_EVERY);
        let arrived = receiver.webhooks().len();
        if arrived > LONG / 3 && !restarted.0 {
            let rabbitmq = sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")?;
            rabbitmq.node().stop(LIMIT).await?;
            rabbitmq.start_again().await?;
            restarted.0 = true;
        }
        if arrived > LONG / 8 && !restarted.1 {
            let postgres = sidehook.stack.servers().postgres.as_mut().context("no Postgres")?;
            postgres.server().signal(Signal::INT)?;
            postgres.server().ended().await?;
            postgres.restart().await?;
            restarted.1 = true;
        }
        let victim = kills % 2;
        sidehook.stack.sidecar(victim)?.signal(Signal::KILL)?;
        sidehook.stack.sidecar(victim)?.ended().await?;
        sidehook.stack.restart_sidecar(victim).await?;
        kills += 1;
        next_kill.await;
    }
    let outcome = load.await?;
    ensure!(outcome.accepted.len() == LONG, "refused: {:?}", outcome.others);
    ensure!(restarted == (true, true) && kills > 4, "{kills} kills, restarted: {restarted:?}");
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, TAKEN_OVER).await?;
    say::line(format!(
        "{LONG} writes in {:?}, {kills} sidecars killed, both servers restarted: {delivered}",
        outcome.took
    ));
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_purged_by_hand_loses_nothing() -> Result<()> {
    let machine = alone().await;
    let roles = ["--roles=ingest,dispatch,api", "--roles=deliver"];
    let mut sidehook = sidecars(BOTH, &roles, "2s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    // While nobody delivers, the messages pile up.
    sidehook.stack.sidecar(1)?.signal(Signal::STOP)?;
    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..3_000, AT_ONCE).await;
    ensure!(outcome.accepted.len() == 3_000, "refused: {:?}", outcome.others);
    sidehook.lists("/deliveries?state=pending", 3_000).await?;
    let rabbitmq = sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")?;
    let purged = rabbitmq.control(&["purge_queue", "sidehook.deliveries.v1"]).await?;
    sidehook.stack.sidecar(1)?.signal(Signal::CONT)?;
    // Until the leases end there is nothing to be done.
    drop(machine);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, TAKEN_OVER).await?;
    say::line(format!("purged ({}): {delivered}", purged.trim()));
    sidehook.stop().await
}
