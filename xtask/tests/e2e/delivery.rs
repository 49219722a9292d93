//! A write becomes a webhook: its form, its signature, its retries.
//!
//! Invariant: signatures are checked by an implementation that isn't ours.

use anyhow::{Context, Result};
use hyper::StatusCode;
use serde_json::json;
use xtask::receiver::Webhook;

use crate::support::{Sidehook, ada, got, receiver, shared, upstream::Upstream};

#[tokio::test]
async fn create_update_and_delete_are_delivered_signed() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    let subscription = sidehook.subscribe(&receiver, "*").await?;

    let created = sidehook.post("/people/", ada()).await?.accepted()?;
    sidehook.put("/people/1", json!({"name": "Countess"})).await?.accepted()?;
    sidehook.delete("/people/1").await?;

    let webhooks = got(&receiver, 3).await?;
    let of = |event_type: &str| -> Result<&Webhook> {
        let found = webhooks.iter().find(|webhook| webhook.event_type() == event_type);
        found.with_context(|| format!("no {event_type} in {webhooks:#?}"))
    };
    assert_eq!(of("people.created")?.json()["data"], created);
    assert_eq!(of("people.updated")?.json()["data"], json!({"id": 1, "name": "Countess"}));
    assert_eq!(of("people.deleted")?.json()["data"]["id"], json!("1"));
    for webhook in &webhooks {
        webhook.verify(&subscription.secret)?;
        assert!(webhook.json()["timestamp"].is_string(), "{webhook:?}");
        assert!(webhook.id().starts_with("evt_"), "{webhook}");
    }
    sidehook.stop().await
}

#[tokio::test]
async fn each_action_reaches_only_those_who_asked_for_it() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let (of_creations, of_people, of_others) =
        (receiver().await?, receiver().await?, receiver().await?);
    sidehook.subscribe(&of_creations, "created").await?;
    sidehook.subscribe(&of_people, "people.*").await?;
    sidehook.subscribe(&of_others, "orders.created").await?;

    sidehook.post("/people", ada()).await?.accepted()?;
    sidehook.delete("/people/1").await?;

    assert_eq!(got(&of_people, 2).await?.len(), 2);
    let creations = got(&of_creations, 1).await?;
    assert_eq!(creations.iter().map(Webhook::event_type).collect::<Vec<_>>(), ["people.created"]);
    // Stopping drains: whatever was to be sent has been sent.
    sidehook.stop().await?;
    assert_eq!(of_creations.webhooks().len(), 1);
    assert_eq!(of_others.webhooks().len(), 0);
    Ok(())
}

#[tokio::test]
async fn custom_headers_and_payload_are_sent() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    let subscription = sidehook.subscribe_with(json!({
        "url": receiver.url(),
        "event_type": "created",
        "custom_headers": {"x-team": "difference engine"},
        "custom_payload": {"tenant": "babbage", "priority": 7},
    }));
    let subscription = subscription.await?;
    sidehook.post("/people", ada()).await?.accepted()?;

    let webhooks = got(&receiver, 1).await?;
    let webhook = webhooks.first().context("no webhook")?;
    assert_eq!(webhook.header("x-team"), "difference engine");
    let body = webhook.json();
    assert_eq!((&body["tenant"], &body["priority"]), (&json!("babbage"), &json!(7)));
    assert_eq!(body["data"]["name"], "Ada");
    webhook.verify(&subscription.secret)?;
    sidehook.stop().await
}

#[tokio::test]
async fn a_refused_webhook_is_sent_again_under_the_same_id() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    receiver.answers([StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR]);
    let subscription = sidehook.subscribe(&receiver, "created").await?;
    sidehook.post("/people", ada()).await?.accepted()?;

    let webhooks = got(&receiver, 3).await?;
    let statuses: Vec<_> = webhooks.iter().map(|webhook| webhook.answered.as_u16()).collect();
    assert_eq!(statuses, [503, 500, 204]);
    for pair in webhooks.windows(2) {
        let [earlier, later] = pair else { continue };
        assert_eq!((earlier.id(), &earlier.body), (later.id(), &later.body));
    }
    for webhook in &webhooks {
        webhook.verify(&subscription.secret)?;
    }
    sidehook.stop().await?;
    assert_eq!(receiver.webhooks().len(), 3);
    Ok(())
}

#[tokio::test]
async fn what_the_api_compressed_is_delivered_as_it_was_meant() -> Result<()> {
    const BROTLI: &[u8] = include_bytes!("../../../sidecar/src/transform/testdata/ada.br");
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    let head = format!(
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-encoding: br\r\n\
         content-length: {}\r\n\r\n",
        BROTLI.len()
    );
    upstream.answers("/people", &[head.as_bytes(), BROTLI].concat());
    let sidehook = Sidehook::before(&upstream.url(), |_| {}).await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    assert_eq!(sidehook.post("/people", ada()).await?.status, 201);
    let webhooks = got(&receiver, 1).await?;
    let body = webhooks.first().context("no webhook")?.json();
    assert_eq!(body["data"]["and"], "Ada, Ada, Ada, Ada, Ada, Ada, Ada, Ada");
    sidehook.stop().await
}
