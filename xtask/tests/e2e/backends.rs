//! The main job on every pair of a store and a queue.
//!
//! Invariant: what is promised does not depend on what the sidecar keeps and spreads work with.

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::json;
use xtask::{backend::Backend, receiver::Webhook};

use crate::support::{Sidehook, ada, got, load::create_people, receiver, shared};

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_is_done_on_sqlite_and_rabbitmq() -> Result<()> {
    the_main_job_is_done_on(Backend { rabbitmq: true, postgres: false }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_is_done_on_postgres_alone() -> Result<()> {
    the_main_job_is_done_on(Backend { postgres: true, rabbitmq: false }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_is_done_on_postgres_and_rabbitmq() -> Result<()> {
    the_main_job_is_done_on(Backend { postgres: true, rabbitmq: true }).await
}

async fn the_main_job_is_done_on(backend: Backend) -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people_with(|plan| plan.backend = backend).await?;
    let receiver = receiver().await?;
    let subscription = sidehook.subscribe(&receiver, "*").await?;

    receiver.answers([StatusCode::SERVICE_UNAVAILABLE]);
    let created = sidehook.post("/people/", ada()).await?.accepted()?;
    let refused_and_again = got(&receiver, 2).await?;
    sidehook.put("/people/1", json!({"name": "Countess"})).await?.accepted()?;
    sidehook.delete("/people/1").await?;
    let webhooks = got(&receiver, 4).await?;
    let types: Vec<_> = refused_and_again.iter().map(Webhook::event_type).collect();
    assert_eq!(types, ["people.created", "people.created"]);
    let first = webhooks.first().context("no webhook")?;
    assert_eq!(first.json().get("data"), Some(&created));
    for webhook in &webhooks {
        webhook.verify(&subscription.secret)?;
    }

    let accepted = create_people(sidehook.plan.gateway_url("/people"), 0..300, 16).await.accepted;
    ensure!(accepted.len() == 300, "only {} writes were accepted", accepted.len());
    sidehook.lists("/deliveries?state=delivered", 303).await?;
    sidehook.stop().await
}
