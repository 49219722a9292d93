//! What is left when RabbitMQ or Postgres is away, and that everything goes on when it is back.
//!
//! Invariant: the servers are real and really gone, and no sidecar is restarted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustix::process::Signal;
use serde_json::json;
use sidehook_event::{Event, EventId, Exchange, TypeId, UnixMicros, wire};
use xtask::{
    backend::{Backend, Servers},
    child::Child,
    clock::Stopwatch,
    say,
};

use crate::support::{
    LIMIT, Sidehook, ada, alone, got,
    load::{balance, create_people},
    receiver,
};

const BOTH: Backend = Backend { postgres: true, rabbitmq: true };
const WRITES: usize = 500;
const AT_ONCE: usize = 16;

async fn on_both(capture: &str, hold: &str) -> Result<Sidehook> {
    let (capture, hold) = (capture.to_owned(), format!("--hold-timeout={hold}"));
    Sidehook::before_people_with(|plan| {
        plan.backend = BOTH;
        plan.capture = capture;
        plan.gateway_arguments.push(hold);
    })
    .await
}

async fn kill(server: &mut Child) -> Result<()> {
    server.signal(Signal::KILL)?;
    server.ended().await.map(drop)
}

async fn lose_postgres(servers: &mut Servers) -> Result<()> {
    let postgres = servers.postgres.as_mut().context("no Postgres")?;
    // At once, whoever is connected.
    postgres.server().signal(Signal::INT)?;
    postgres.server().ended().await.map(drop)
}

async fn regain_postgres(servers: &mut Servers) -> Result<()> {
    servers.postgres.as_mut().context("no Postgres")?.restart().await
}

/// Posts one event to `/ingest`, as a gateway would.
async fn ingest(sidehook: &Sidehook) -> Result<(u16, String)> {
    let event = Event {
        id: EventId::from_bits(7),
        source: String::new(),
        event_type: "people.created".parse()?,
        subject: None,
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::EPOCH,
        exchange: Exchange { status: 201, ..Exchange::default() },
    };
    let batch = [wire::prologue("test"), wire::frame(&event)].concat();
    let request = Request::post(sidehook.plan.sidecar_url("/ingest"))
        .header("content-type", wire::CONTENT_TYPE)
        .body(Full::<bytes::Bytes>::from(batch))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = tokio::time::timeout(LIMIT, client.request(request)).await??.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rabbitmq_events_are_accepted_and_delivered_and_it_is_used_when_it_returns()
-> Result<()> {
    let _machine = alone().await;
    let mut sidehook = on_both("durable", "2s").await?;
    sidehook.settles_its_broker().await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let (url, api) = (sidehook.plan.gateway_url("/people"), sidehook.plan.api());

    let mut accepted = create_people(url.clone(), 0..WRITES, AT_ONCE).await.accepted;
    got(&receiver, WRITES).await?;
    let through_it = published(&sidehook, api).await?;
    ensure!(through_it > 0.0, "nothing went through RabbitMQ");

    let rabbitmq = sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")?;
    kill(rabbitmq.node()).await?;
    sidehook.has_its_broker(false).await?;
    let without = create_people(url.clone(), WRITES..2 * WRITES, AT_ONCE).await;
    ensure!(without.accepted.len() == WRITES, "refused: {:?}", without.others);
    accepted.extend(without.accepted);
    got(&receiver, 2 * WRITES).await?;
    let meanwhile = published(&sidehook, api).await?;

    let rabbitmq = sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")?;
    rabbitmq.start_again().await?;
    sidehook.has_its_broker(true).await?;
    accepted.extend(create_people(url, 2 * WRITES..3 * WRITES, AT_ONCE).await.accepted);
    let delivered = balance(&sidehook, &receiver, &accepted, LIMIT).await?;
    ensure!(accepted.len() == 3 * WRITES, "{} of {} accepted", accepted.len(), 3 * WRITES);
    let again = published(&sidehook, api).await?;
    ensure!(again > meanwhile, "RabbitMQ was not used again: {meanwhile} messages, then {again}");
    say::line(format!("RabbitMQ away and back: {delivered}"));
    sidehook.stop().await
}

async fn published(sidehook: &Sidehook, port: u16) -> Result<f64> {
    sidehook.metric(port, "sidehook_rabbitmq_published_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_a_durable_answer_is_held_for_a_while_and_its_event_kept() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = on_both("durable", "500ms").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let url = sidehook.plan.gateway_url("/people");

    lose_postgres(sidehook.stack.servers()).await?;
    let why = sidehook.is_ready(503).await?;
    ensure!(why.contains("store unavailable"), "{why}");
    let (status, problem) = ingest(&sidehook).await?;
    ensure!(status == 503 && problem.contains("the store does not take events"), "{problem}");
    let listed = sidehook.http.get(&sidehook.plan.sidecar_url("/events")).await?;
    ensure!(listed.status == 503 && listed.headers.contains_key("retry-after"), "{listed}");

    let outcome = create_people(url, 0..100, 50).await;
    ensure!(outcome.accepted.len() == 100, "refused: {:?}", outcome.others);
    ensure!(outcome.took >= Duration::from_millis(500), "not held: {:?}", outcome.took);

    regain_postgres(sidehook.stack.servers()).await?;
    let back = Stopwatch::start();
    sidehook.is_ready(200).await?;
    sidehook.events_until(|events| events.len() >= 100).await?;
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, LIMIT).await?;
    say::line(format!(
        "Postgres away and back: {delivered}, {:?} after it was back",
        back.elapsed()
    ));
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_best_effort_holds_nothing() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = on_both("best_effort", "10s").await?;
    lose_postgres(sidehook.stack.servers()).await?;
    sidehook.is_ready(503).await?;
    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..100, 10).await;
    ensure!(outcome.accepted.len() == 100, "refused: {:?}", outcome.others);
    ensure!(outcome.took < Duration::from_secs(5), "held: {:?}", outcome.took);
    regain_postgres(sidehook.stack.servers()).await?;
    sidehook.events_until(|events| events.len() == 100).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_strict_refuses_writes_before_they_reach_the_api() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = on_both("strict", "500ms").await?;
    sidehook.post("/people", ada()).await?.accepted()?;
    lose_postgres(sidehook.stack.servers()).await?;
    sidehook.is_ready(503).await?;

    // The first ones find out, and have reached the API.
    let found_out = create_people(sidehook.plan.gateway_url("/people"), 0..10, 10).await;
    ensure!(found_out.accepted.is_empty(), "{:?} were accepted", found_out.accepted);
    let before = people(&sidehook).await?;
    let refused = sidehook.post("/people", json!({"name": "never"})).await?;
    ensure!(refused.status == 503, "{} {refused}", refused.status);
    ensure!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    ensure!(people(&sidehook).await? == before, "a refused write reached the API");

    regain_postgres(sidehook.stack.servers()).await?;
    sidehook.is_ready(200).await?;
    let taken_again = sidehook.until("a write", async || {
        let answer = sidehook.post("/people", json!({"name": "again"})).await?;
        Ok(if answer.status == 201 { Ok(()) } else { Err(answer.status.to_string()) })
    });
    taken_again.await?;
    sidehook
        .events_until(|events| events.iter().any(|event| event["data"]["name"] == "again"))
        .await?;
    sidehook.stop().await
}

async fn people(sidehook: &Sidehook) -> Result<String> {
    Ok(sidehook.http.get(&sidehook.plan.gateway_url("/people")).await?.to_string())
}
