//! What the log tells, and what neither it nor the metrics ever do: no payload, no secret, no signature.
//!
//! Invariant: everything is logged that can be; what is looked for was in use meanwhile.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use rustix::process::Signal;
use serde_json::{Value, json};
use xtask::{backend::Backend, http::Answer, receiver::Receiver};

use crate::support::{Sidehook, got, receiver, shared};

const API_TOKEN: &str = "hush-api-0123456789";
const INGEST_TOKEN: &str = "hush-ingest-0123456789";
const WRONG_TOKEN: &str = "hush-wrong-0123456789";
/// What every payload holds, every header of a subscription's own, every URL's query, every script.
const HUSH: &str = "hush-0123456789";
/// `hush hush hush hush hush` in base64.
const SECRET: &str = "whsec_aHVzaCBodXNoIGh1c2ggaHVzaCBodXNo";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged_for_people() -> Result<()> {
    let log = logged(Backend::default(), "text").await?;
    ensure!(log.lines().any(|line| line.contains("DEBUG") && line.contains("attempted")), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged_as_json() -> Result<()> {
    let log = logged(Backend { postgres: true, rabbitmq: true }, "json").await?;
    let mut messages = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for key in ["timestamp", "level", "target"] {
            ensure!(line[key].is_string(), "no {key} in {line}");
        }
        if line["target"].as_str().is_some_and(|target| target.starts_with("sidehook")) {
            ensure!(line["message"].is_string(), "no message in {line}");
            messages.push(line);
        }
    }
    let attempted = messages.iter().find(|line| line["message"] == "attempted");
    let attempted = attempted.context("no attempt is told of")?;
    for key in ["event", "delivery", "subscription", "outcome"] {
        ensure!(attempted[key].is_string(), "no {key} in {attempted}");
    }
    ensure!(attempted["number"].is_number(), "no number in {attempted}");
    Ok(())
}

/// The log of a sidecar in which all went wrong that can, at the level that tells most.
async fn logged(backend: Backend, format: &str) -> Result<String> {
    let _machine = shared().await;
    let mut sidehook = Sidehook::before_people_with(|plan| {
        plan.backend = backend;
        plan.gateway_arguments.push(format!("--token={INGEST_TOKEN}"));
        let arguments = [
            "--log=trace".to_owned(),
            format!("--log-format={format}"),
            format!("--api-token={API_TOKEN}"),
            format!("--ingest-token={INGEST_TOKEN}"),
        ];
        plan.sidecar_arguments.extend(arguments);
    })
    .await?;
    let (well, badly) = (receiver().await?, receiver().await?);
    badly.answers([StatusCode::INTERNAL_SERVER_ERROR; 4]);
    badly.answers([StatusCode::GONE]);
    let mut secrets = vec![SECRET.to_owned(), HUSH.to_owned(), WRONG_TOKEN.to_owned()];
    secrets.extend([API_TOKEN, INGEST_TOKEN].map(str::to_owned));
    secrets.extend(subscribe(&sidehook, [&well, &badly]).await?);
    secrets.push(mistakes(&sidehook).await?);

    let ada = json!({"name": HUSH, "email": "ada@example.com"});
    for _ in 0..3 {
        sidehook.post("/people", ada.clone()).await?.accepted()?;
    }
    sidehook.delete("/people/1").await?;
    let mut webhooks = got(&well, 6).await?;
    webhooks.extend(got(&badly, 5).await?);
    if backend.postgres {
        let mut lost = sidehook.stack.servers().postgres.take().context("no Postgres")?;
        lost.server().signal(Signal::INT)?;
        lost.server().ended().await?;
        sidehook.is_ready(503).await?;
        lost.restart().await?;
        sidehook.stack.servers().postgres = Some(lost);
        sidehook.is_ready(200).await?;
        sidehook.post("/people", ada).await?;
    }
    let servers = sidehook.stack.servers();
    let urls = [servers.store(), servers.queue()].into_iter().flatten();
    secrets.extend(urls.filter_map(|url| password(&url)));
    let signatures = webhooks.iter().map(|webhook| webhook.header("webhook-signature").to_owned());
    secrets
        .extend(signatures.flat_map(|all| all.split(' ').map(str::to_owned).collect::<Vec<_>>()));
    let (folder, port) = (sidehook.plan.folder.clone(), sidehook.plan.api());
    let metrics = send(&sidehook, Method::GET, "/metrics", API_TOKEN, "").await?.to_string();
    ensure!(metrics.contains("sidehook_delivery_attempts_total"), "{metrics}");
    sidehook.stop().await?;

    let log = read(&folder, &format!("sidecar-{port}"))?;
    ensure!(log.contains("TRACE"), "not everything is logged");
    let said = [("log", &log), ("gateway's log", &read(&folder, "envoy")?), ("metrics", &metrics)];
    for (name, said) in said {
        for secret in &secrets {
            let line = said.lines().find(|line| line.contains(&**secret));
            ensure!(line.is_none(), "the {name} tells {secret}: {line:?}");
        }
    }
    Ok(log)
}

/// Subscribes both to everything, with and without scripts; returns the secrets that were made.
async fn subscribe(sidehook: &Sidehook, receivers: [&Receiver; 2]) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for receiver in receivers {
        let plain = json!({
            "url": format!("{}?key={HUSH}", receiver.url()),
            "event_type": "*",
            "custom_headers": {"authorization": format!("Bearer {HUSH}")},
            "custom_payload": {"hush": HUSH},
            "secret": SECRET,
        });
        let id = text(&ask(sidehook, "/subscriptions", &plain).await?.accepted()?, "id")?;
        let rotate = format!("/subscriptions/{id}/rotate-secret");
        let rotated = ask(sidehook, &rotate, &json!({})).await?.accepted()?;
        secrets.push(text(&rotated, "secret")?);
        let scripts = [
            ("thrown", format!("throw event.data.name + \"{HUSH}\"")),
            ("made", format!("#{{ a: \"{HUSH}\", b: event.data }}")),
        ];
        for (path, script) in scripts {
            let url = format!("{}/{path}", receiver.url());
            let scripted = json!({"url": url, "event_type": "created", "script": script});
            ask(sidehook, "/subscriptions", &scripted).await?.accepted()?;
        }
    }
    Ok(secrets)
}

/// Asks for what cannot be, with secrets in it; returns the token that was made in between.
async fn mistakes(sidehook: &Sidehook) -> Result<String> {
    let asked = json!({"name": "edge", "scopes": ["events:read"]});
    let made = text(&ask(sidehook, "/tokens", &asked).await?.accepted()?, "token")?;
    for body in [
        format!("{{\"secret\": \"{SECRET}\""),
        format!("{{\"url\": \"http://user:{HUSH}@a.example/\", \"event_type\": \"{HUSH}!\"}}"),
        format!(
            "{{\"url\": \"http://a.example/\", \"event_type\": \"*\", \"secret\": \"whsec_{HUSH}\"}}"
        ),
        format!(
            "{{\"url\": \"http://a.example/\", \"event_type\": \"*\", \"script\": \"let {HUSH} = ;\"}}"
        ),
    ] {
        let refused = send(sidehook, Method::POST, "/subscriptions", API_TOKEN, &body).await?;
        ensure!(refused.status.is_client_error(), "{} for {body}", refused.status);
    }
    let refused = send(sidehook, Method::POST, "/subscriptions", WRONG_TOKEN, "{}").await?;
    ensure!(refused.status == StatusCode::UNAUTHORIZED, "{refused}");
    let refused = send(sidehook, Method::POST, "/ingest", INGEST_TOKEN, HUSH).await?;
    ensure!(refused.status.is_client_error(), "{refused}");
    Ok(made)
}

async fn ask(sidehook: &Sidehook, path: &str, body: &Value) -> Result<Answer> {
    send(sidehook, Method::POST, path, API_TOKEN, &body.to_string()).await
}

fn text(answer: &Value, key: &str) -> Result<String> {
    let text = answer.get(key).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("no {key} in {answer}"))
}

async fn send(
    sidehook: &Sidehook,
    method: Method,
    path: &str,
    token: &str,
    body: &str,
) -> Result<Answer> {
    let request = Request::builder()
        .method(method)
        .uri(sidehook.plan.sidecar_url(path))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json");
    sidehook.http.request(request.body(Full::<Bytes>::from(body.to_owned()))?).await
}

/// The password in a URL, if there is one that could be told from other words.
fn password(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.split_once('@')?;
    let (_, password) = user.split_once(':')?;
    (password.len() > 8).then(|| password.to_owned())
}

fn read(folder: &Path, name: &str) -> Result<String> {
    let file = folder.join(format!("{name}.log"));
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}
