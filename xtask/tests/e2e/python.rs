//! What receivers in Python make of webhooks, with the packages that they would use.
//!
//! Invariant: what is checked was delivered, byte by byte and header by header.

use std::{io::Write, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use xtask::{receiver::Webhook, tools::python};

use crate::support::{Sidehook, got, receiver, shared};

#[tokio::test]
async fn the_python_package_accepts_the_signature_and_refuses_another() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    let subscription = sidehook.subscribe(&receiver, "created").await?;
    sidehook.post("/people", json!({"name": "Ada é ✓"})).await?.accepted()?;

    let webhooks = got(&receiver, 1).await?;
    let webhook = webhooks.first().context("no webhook")?;
    let folder = python::packages().await?;
    assert_eq!(python_says(&folder, &subscription.secret, webhook)?, "people.created");
    let another = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(python_says(&folder, another, webhook)?, "refused");
    sidehook.stop().await
}

#[tokio::test]
async fn the_python_package_reads_cloud_events_of_both_modes() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let (structured, binary) = (receiver().await?, receiver().await?);
    for (to, format) in [(&structured, "cloudevents"), (&binary, "cloudevents-binary")] {
        let asked = json!({"url": to.url(), "event_type": "*", "format": format});
        sidehook.subscribe_with(asked).await?;
    }
    let created = sidehook.post("/people", json!({"name": "Ada é ✓ \"1\" 5%"})).await?;
    let created = created.accepted()?;
    sidehook.delete("/people/1").await?;

    let folder = python::packages().await?;
    let events = sidehook.events().await?;
    for receiver in [&structured, &binary] {
        let webhooks = got(receiver, 2).await?;
        for webhook in &webhooks {
            let read: Value = serde_json::from_str(&says(
                &folder,
                READ,
                &json!({
                    "headers": every_header(webhook),
                    "body": str::from_utf8(&webhook.body)?,
                }),
            )?)?;
            let event = events.iter().find(|event| event["id"] == webhook.id());
            let event = event.with_context(|| format!("no event of {webhook:?}"))?;
            let attributes = &read["attributes"];
            assert_eq!(attributes["specversion"], "1.0");
            for name in ["id", "type", "source", "subject"] {
                assert_eq!(attributes[name], event[name], "{name} of {webhook:?}");
            }
            assert_eq!(attributes["id"], webhook.id());
            assert_eq!(attributes["datacontenttype"], "application/json");
            let sequence = event["sequence"].as_u64().context("no sequence")?;
            assert_eq!(attributes["sequence"], format!("{sequence:020}"));
            // As Python writes a time, to the microsecond.
            let time = event["time"].as_str().context("no time")?;
            ensure!(read["time"] == time.trim_end_matches('Z'), "{read} is not of {time}");
            assert_eq!(read["data"], event["data"]);
        }
        let of_creation = webhooks.iter().any(|webhook| {
            let body = webhook.json();
            body == created || body["data"] == created
        });
        assert!(of_creation, "{webhooks:?}");
    }
    sidehook.stop().await
}

fn every_header(webhook: &Webhook) -> Map<String, Value> {
    let names = webhook.headers.keys();
    names.map(|name| (name.to_string(), json!(webhook.header(name.as_str())))).collect()
}

const READ: &str = r#"
import json, sys
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
given = json.load(sys.stdin)
event = from_http_event(HTTPMessage(given["headers"], given["body"].encode()))
attributes = dict(event.get_attributes())
time = attributes.pop("time").replace(tzinfo=None).isoformat(timespec="microseconds")
print(json.dumps({"attributes": attributes, "time": time, "data": event.get_data()}))
"#;

const CHECK: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
try:
    print(Webhook(given["secret"]).verify(given["body"], given["headers"])["type"])
except WebhookVerificationError:
    print("refused")
"#;

fn python_says(packages: &std::path::Path, secret: &str, webhook: &Webhook) -> Result<String> {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value =
        names.iter().map(|name| ((*name).to_owned(), json!(webhook.header(name)))).collect();
    let body = str::from_utf8(&webhook.body)?;
    says(packages, CHECK, &json!({"secret": secret, "body": body, "headers": headers}))
}

/// What `script` prints of what it is given.
fn says(packages: &std::path::Path, script: &str, given: &Value) -> Result<String> {
    let mut python = std::process::Command::new("python3")
        .args(["-c", script])
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    python.stdin.take().context("python3 has no input")?.write_all(given.to_string().as_bytes())?;
    let said = python.wait_with_output()?;
    ensure!(said.status.success(), "the script failed");
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
