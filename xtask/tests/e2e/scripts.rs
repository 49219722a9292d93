//! A write becomes what its receiver understands, or nothing.
//!
//! Invariant: whatever a script does, the client's answer and the event are there.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::support::{Sidehook, ada, got, receiver, shared};

#[tokio::test]
async fn a_script_and_a_filter_say_what_is_sent_to_whom() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let (of_slack, of_few) = (receiver().await?, receiver().await?);
    let slack = json!({"url": of_slack.url(), "event_type": "created", "script": "@slack"});
    let slack = sidehook.subscribe_with(slack).await?;
    let few = json!({
        "url": of_few.url(),
        "event_type": "people.*",
        "filter": {"data.name": {"prefix": "Ada"}, "request.method": "POST"},
        "script": "if event.data.name == \"Adam\" { drop(\"another one\") }\n\
                   send(`${event.action} ${event.data.name}`, #{ content_type: \"text/plain\" })",
    });
    let few = sidehook.subscribe_with(few).await?;
    for name in ["Ada", "Adam", "Grace"] {
        sidehook.post("/people", json!({"name": name})).await?.accepted()?;
    }
    sidehook.put("/people/1", ada()).await?.accepted()?;

    let webhooks = got(&of_slack, 3).await?;
    for webhook in &webhooks {
        assert!(
            webhook.json()["text"].as_str().is_some_and(|text| text.contains("people created"))
        );
        webhook.verify(&slack.secret)?;
    }
    let webhooks = got(&of_few, 1).await?;
    let webhook = webhooks.first().context("no webhook")?;
    assert_eq!(
        (&webhook.body[..], webhook.header("content-type")),
        (&b"created Ada"[..], "text/plain")
    );
    webhook.verify(&few.secret)?;
    sidehook.lists("/deliveries?state=filtered", 1).await?;
    let filtered = sidehook.all("/deliveries?state=filtered").await?;
    assert_eq!(filtered.first().context("none")?["reason"], "another one");
    sidehook.stop().await?;
    assert_eq!((of_slack.webhooks().len(), of_few.webhooks().len()), (3, 1));
    Ok(())
}

#[tokio::test]
async fn what_died_of_a_broken_script_is_delivered_when_its_file_is_mended() -> Result<()> {
    let _machine = shared().await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.rhai");
    fs::write(&file, "event.data.name.no_such_thing()")?;
    let scripts = folder.path().display().to_string();
    let sidehook = Sidehook::before_people_with(|plan| {
        plan.sidecar_arguments.extend(["--scripts".to_owned(), scripts]);
    })
    .await?;
    let receiver = receiver().await?;
    let mine = json!({"url": receiver.url(), "event_type": "created", "script": "@mine"});
    sidehook.subscribe_with(mine).await?;
    sidehook.post("/people", ada()).await?.accepted()?;
    sidehook.lists("/dead-letters?cause=script", 1).await?;
    let letters = sidehook.all("/dead-letters?cause=script").await?;
    let error = letters.first().context("none")?["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.starts_with("line 1, column 17: ") && error.contains("no_such_thing"), "{error}");

    // A text that cannot be compiled changes nothing.
    fs::write(&file, "event.data.(")?;
    let noticed = sidehook.until("the broken file to be noticed", async || {
        let listed = sidehook.all("/scripts").await?;
        let mine = listed.iter().find(|script| script["name"] == "mine");
        let error = mine.and_then(|script| script["error"].as_str());
        Ok(error.map(str::to_owned).ok_or_else(|| format!("{mine:?}")))
    });
    assert!(noticed.await?.contains("line 1, column 12"));
    assert_eq!(receiver.webhooks().len(), 0);
    fs::write(&file, "#{ mended: event.data.name }")?;
    let webhooks = got(&receiver, 1).await?;
    assert_eq!(webhooks.first().context("none")?.json(), json!({"mended": "Ada"}));
    sidehook.stop().await
}
