//! The examples in `envoy/`: each is loaded by the real Envoy, and events come through it.
//!
//! Invariant: an example is tried as it stands; only where its servers and files are is changed,
//! and each of these places is seen to be there.

mod authority;
mod documented;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use axum::{Router, routing::get};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xtask::{ports, serving::Serving, stack::Plan, workspace};

use crate::support::{Sidehook, ada, name_of, shared, upstream::Upstream};
use authority::Authority;

/// Where the examples' files are.
const CERTIFICATES: &str = "/etc/envoy/tls";
const FILTER: &str = "/etc/envoy/sidehook_filter.wasm";

/// One of the examples, on its way to be usable here.
struct Example(String);

impl Example {
    /// With its servers where `plan` has them.
    fn read(name: &str, plan: &Plan) -> Result<Self> {
        let text = fs::read_to_string(workspace::root().join("envoy").join(name))?;
        let upstream = plan.upstream.rsplit(':').next().context("an API without a port")?;
        let admin = if name == "envoy.yaml" { "0.0.0.0" } else { "127.0.0.1" };
        Self(text)
            .with(&address("0.0.0.0", 8000), &address("127.0.0.1", plan.gateway))?
            .with(&address(admin, 9901), &address("127.0.0.1", plan.admin))?
            .with(&address("people", 3000), &address("127.0.0.1", upstream.parse()?))
    }

    fn with(self, there: &str, here: &str) -> Result<Self> {
        let Self(text) = self;
        ensure!(text.contains(there), "there is no {there} in {text}");
        Ok(Self(text.replace(there, here)))
    }

    fn with_filter(self, plan: &Plan) -> Result<Self> {
        self.with(FILTER, path(&plan.programs.filter)?)
    }

    /// With the sidecar of the plan, at its API's port.
    fn with_sidecar(self, plan: &Plan) -> Result<Self> {
        self.with(&address("sidecar", 5000), &address("127.0.0.1", plan.api()))
    }
}

fn address(host: &str, port: u16) -> String {
    format!("address: \"{host}\", port_value: {port}")
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// A stack before the sample API, with an example for its gateway.
async fn before_people(
    name: &str,
    adapt: impl FnOnce(Example, &mut Plan) -> Result<Example>,
) -> Result<Sidehook> {
    let mut adapted = Ok(());
    let sidehook = Sidehook::before_people_with(|plan| {
        let example = Example::read(name, plan).and_then(|example| adapt(example, plan));
        adapted = example.map(|Example(text)| plan.gateway_configuration = Some(text));
    })
    .await;
    adapted?;
    sidehook
}

/// A write is accepted and, since its answer was held, stored.
async fn stores_what_is_posted(sidehook: &Sidehook) -> Result<()> {
    sidehook.post("/people/", ada()).await?.accepted()?;
    let events = sidehook.events().await?;
    ensure!(matches!(&*events, [event] if name_of(event) == "Ada"), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn the_plain_gateway_captures_writes() -> Result<()> {
    let _machine = shared().await;
    let sidehook =
        before_people("envoy.yaml", |example, plan| example.with_sidecar(plan)?.with_filter(plan));
    let sidehook = sidehook.await?;
    stores_what_is_posted(&sidehook).await?;
    sidehook.stop().await
}

#[tokio::test]
async fn a_gateway_reaches_the_sidecar_at_its_socket() -> Result<()> {
    let _machine = shared().await;
    // The path of a socket must be short.
    let folder = tempfile::Builder::new().prefix("sidehook-").tempdir_in("/tmp")?;
    let socket = folder.path().join("ingest.sock");
    let sidehook = before_people("unix-socket.yaml", |example, plan| {
        plan.sidecar_arguments.push(format!("--ingest-listen=unix:{}", socket.display()));
        example.with("/run/sidehook/ingest.sock", path(&socket)?)?.with_filter(plan)
    });
    let sidehook = sidehook.await?;
    stores_what_is_posted(&sidehook).await?;
    sidehook.stop().await
}

/// A sidecar that is known as `sidecar` to the gateways of `gateways`, and a gateway with a
/// certificate of `own` that trusts the authority of the sidecar.
async fn over_tls(
    folder: &TempDir,
    sidecar: &str,
    gateways: &Authority,
    own: &Authority,
    adapt: impl FnOnce(Example) -> Result<Example>,
) -> Result<Sidehook> {
    let (of_sidecar, of_gateway) = (folder.path().join("sidecar"), folder.path().join("gateway"));
    let sidecars = Authority::new()?;
    sidecars.issue(sidecar)?.write(&of_sidecar, gateways)?;
    own.issue("edge")?.write(&of_gateway, &sidecars)?;
    before_people("mutual-tls.yaml", |example, plan| {
        let port = ports::free()?;
        let file = |name| format!("{}/{name}", of_sidecar.display());
        plan.sidecar_arguments.extend([
            format!("--ingest-listen=127.0.0.1:{port}"),
            format!("--ingest-tls-certificate={}", file("tls.crt")),
            format!("--ingest-tls-key={}", file("tls.key")),
            format!("--ingest-tls-client-ca={}", file("ca.crt")),
        ]);
        let example = example.with(&address("sidecar", 5002), &address("127.0.0.1", port))?;
        adapt(example)?.with(CERTIFICATES, path(&of_gateway)?)?.with_filter(plan)
    })
    .await
}

#[tokio::test]
async fn a_gateway_and_a_sidecar_show_each_other_who_they_are() -> Result<()> {
    let _machine = shared().await;
    let (folder, gateways) = (tempfile::tempdir()?, Authority::new()?);
    let sidehook = over_tls(&folder, "sidecar", &gateways, &gateways, Ok).await?;
    stores_what_is_posted(&sidehook).await?;
    let agreed = sidehook.stack.stat("cluster.sidehook.ssl.handshake").await?;
    ensure!(agreed > 0, "there was no TLS");
    let http2 = sidehook.stack.stat("cluster.sidehook.upstream_cx_http2_total").await?;
    ensure!(http2 > 0, "not over HTTP/2");
    sidehook.stop().await
}

#[tokio::test]
async fn a_gateway_with_a_certificate_of_strangers_is_not_let_in() -> Result<()> {
    let _machine = shared().await;
    let folder = tempfile::tempdir()?;
    let sidehook = over_tls(&folder, "sidecar", &Authority::new()?, &Authority::new()?, Ok).await?;
    sidehook.post("/people/", ada()).await?.accepted()?;
    for (counter, seen) in [("handshake", true), ("fail_verify_error", false)] {
        let counted = sidehook.stack.stat(&format!("cluster.sidehook.ssl.{counter}")).await?;
        ensure!((counted > 0) == seen, "it was not the sidecar that refused: {counter} {counted}");
    }
    ensure!(sidehook.events().await?.is_empty(), "a stranger's event was stored");
    sidehook.stop().await
}

#[tokio::test]
async fn a_sidecar_with_another_name_is_handed_nothing() -> Result<()> {
    let _machine = shared().await;
    let (folder, gateways) = (tempfile::tempdir()?, Authority::new()?);
    let sidehook = over_tls(&folder, "elsewhere", &gateways, &gateways, Ok).await?;
    sidehook.post("/people/", ada()).await?.accepted()?;
    let refused = sidehook.stack.stat("cluster.sidehook.ssl.fail_verify_san").await?;
    ensure!(refused > 0, "the gateway did not look at the name");
    ensure!(sidehook.events().await?.is_empty(), "it was handed an event");
    sidehook.stop().await
}

/// What `envoy/README.md` says in place of certificates that are read once.
fn through_sds(example: Example, of_gateway: &Path, secrets: &Path) -> Result<Example> {
    let readme = fs::read_to_string(workspace::root().join("envoy/README.md"))?;
    let said = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("\n```").next());
    let said = said.context("nothing about SDS")?.replace("/etc/envoy/sds.yaml", path(secrets)?);
    let named = fs::read_to_string(workspace::root().join("envoy/sds.yaml"))?;
    fs::write(secrets, named.replace(CERTIFICATES, path(of_gateway)?))?;
    let Example(text) = &example;
    let lines = text.lines().skip_while(|line| line.trim() != "tls_certificates:").take(3);
    let read_once = lines.collect::<Vec<_>>().join("\n");
    ensure!(read_once.contains("private_key"), "no certificate in {text}");
    let indent = " ".repeat(12);
    let said = said.lines().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n");
    example
        .with(&read_once, &said)?
        .with("\nadmin:\n", "\nnode: { id: edge, cluster: edge }\nadmin:\n")
}

#[tokio::test]
async fn a_gateway_takes_over_a_renewed_certificate() -> Result<()> {
    let _machine = shared().await;
    let (folder, first, second) = (tempfile::tempdir()?, Authority::new()?, Authority::new()?);
    let (of_gateway, secrets) = (folder.path().join("gateway"), folder.path().join("sds.yaml"));
    let adapt = |example| through_sds(example, &of_gateway, &secrets);
    let mut sidehook = over_tls(&folder, "sidecar", &first, &first, adapt).await?;
    stores_what_is_posted(&sidehook).await?;

    // From now on only gateways of the second authority are let in.
    sidehook.stack.sidecar(0)?.stop(crate::support::LIMIT).await?;
    fs::write(folder.path().join("sidecar/ca.crt"), second.pem())?;
    sidehook.stack.restart_sidecar(0).await?;
    second.issue("edge")?.renew(&of_gateway)?;
    sidehook.post("/people/", json!({"name": "Grace"})).await?.accepted()?;
    sidehook.events_until(|events| events.iter().any(|event| name_of(event) == "Grace")).await?;
    sidehook.stop().await
}

/// A gateway that fetches its filter from `files`, and expects it to have this digest.
async fn fetching(files: &Serving, sha256: &str) -> Result<Sidehook> {
    let port = files.port();
    before_people("remote-filter.yaml", |example, plan| {
        let example = example.with_sidecar(plan)?.with(&"0".repeat(64), sha256)?;
        let example = example.with(&address("files", 8080), &address("127.0.0.1", port))?;
        // A mistake need not be made eleven times to be seen.
        example.with("num_retries: 10", "num_retries: 1")
    })
    .await
}

async fn files() -> Result<(Serving, String)> {
    let filter = fs::read(&crate::support::programs().await?.filter)?;
    let digest = format!("{:x}", Sha256::digest(&filter));
    let routes = Router::new().route("/sidehook_filter.wasm", get(async move || filter.clone()));
    Ok((Serving::start(routes, ports::free()?).await?, digest))
}

#[tokio::test]
async fn a_gateway_fetches_the_filter_by_its_digest() -> Result<()> {
    let _machine = shared().await;
    let (files, digest) = files().await?;
    let sidehook = fetching(&files, &digest).await?;
    stores_what_is_posted(&sidehook).await?;
    sidehook.stop().await
}

#[tokio::test]
async fn a_filter_with_another_digest_is_not_run_and_no_write_gets_past_it() -> Result<()> {
    let _machine = shared().await;
    let (files, _) = files().await?;
    let sidehook = fetching(&files, &"ab".repeat(32)).await?;
    let refused = sidehook.post("/people/", ada()).await?;
    ensure!(refused.status == StatusCode::SERVICE_UNAVAILABLE, "{}: {refused}", refused.status);
    let people = sidehook.http.get(&sidehook.plan.gateway_url("/people/")).await?;
    ensure!(people.status == StatusCode::OK, "a read is none of its business: {people}");
    ensure!(!people.to_string().contains("Ada"), "the write got through: {people}");
    ensure!(sidehook.events().await?.is_empty(), "something was stored");
    sidehook.stop().await
}

/// Each path of an API, and what it answers.
fn an_api(upstream: &Upstream) {
    let created = |body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    for (path, body) in [
        ("/invoices", r#"{"id": 7, "card": {"number": "4111111111111111", "holder": "Ada"}}"#),
        ("/invoices/7/pay", r#"{"paid": true}"#),
        ("/people", r#"{"id": 1, "name": "Ada", "password": "engine"}"#),
        ("/carts", r#"{"id": 3}"#),
        ("/drafts", r#"{"id": 4}"#),
    ] {
        upstream.answers(path, created(body).as_bytes());
    }
}

async fn per_route() -> Result<(Upstream, Sidehook)> {
    let upstream = Upstream::start().await?;
    an_api(&upstream);
    let mut adapted = Ok(());
    let sidehook = Sidehook::before(&upstream.url(), |plan| {
        let example = Example::read("per-route.yaml", plan)
            .and_then(|example| example.with_sidecar(plan)?.with_filter(plan));
        adapted = example.map(|Example(text)| plan.gateway_configuration = Some(text));
    })
    .await;
    adapted?;
    Ok((upstream, sidehook?))
}

fn of_type<'a>(events: &'a [Value], name: &str) -> Result<&'a Value> {
    let mut named = events.iter().filter(|event| event["type"] == name);
    match (named.next(), named.next()) {
        (Some(event), None) => Ok(event),
        _ => bail!("not just one {name} in {events:#?}"),
    }
}

#[tokio::test]
async fn each_route_has_its_own_mode_names_and_redaction() -> Result<()> {
    let _machine = shared().await;
    let (_upstream, sidehook) = per_route().await?;
    let card = json!({"card": {"number": "4111111111111111", "code": "123", "holder": "Ada"}});
    for (path, body) in [
        ("/invoices", card),
        ("/invoices/7/pay", json!({})),
        ("/people", json!({"name": "Ada", "password": "engine"})),
        ("/carts", json!({"items": [1]})),
        ("/drafts", json!({"text": "…"})),
    ] {
        sidehook.post(path, body).await?.accepted()?;
    }
    // Whatever was held is there; the cart follows.
    let events = sidehook.events_until(|events| events.len() == 4).await?;
    let invoice = of_type(&events, "invoices.created")?.to_string();
    ensure!(invoice.contains("holder") && !invoice.contains("4111"), "{invoice}");
    of_type(&events, "invoice.paid")?;
    let person = of_type(&events, "people.created")?.to_string();
    ensure!(person.contains("Ada") && !person.contains("engine"), "{person}");
    let items = of_type(&events, "carts.created")?.to_string();
    ensure!(items.contains("items"), "{items}");
    let observed = "observed.resource.drafts.action.created.total";
    ensure!(sidehook.counted(observed).await? == 1, "the draft was not counted");
    sidehook.stop().await
}

#[tokio::test]
async fn while_the_sidecar_is_away_only_what_is_strict_is_refused() -> Result<()> {
    let _machine = shared().await;
    let (upstream, mut sidehook) = per_route().await?;
    sidehook.stack.sidecar(0)?.stop(crate::support::LIMIT).await?;
    for (path, status) in [("/drafts", 201), ("/carts", 201), ("/people", 201)] {
        let answer = sidehook.post(path, ada()).await?;
        ensure!(answer.status == status, "{path}: {} {answer}", answer.status);
    }
    // Each worker finds out for itself, and until then a write may reach the API.
    let url = sidehook.plan.gateway_url("/invoices/7/pay");
    let refused = sidehook.until("a refusal before the API", async || {
        upstream.take_requests();
        let answer = sidehook.http.send(Method::POST, &url, Some(&json!({}))).await?;
        ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{}: {answer}", answer.status);
        let reached = upstream.take_requests().len();
        Ok(if reached == 0 { Ok(()) } else { Err(format!("{reached} reached the API")) })
    });
    refused.await?;
    sidehook.stack.restart_sidecar(0).await?;
    sidehook.events_until(|events| of_type(events, "people.created").is_ok()).await?;
    sidehook.stop().await
}
