//! Gateways and their tokens, and the socket between the two on one machine.
//!
//! Invariant: what the gateway was told is what `sidehook gateway` wrote.

use anyhow::{Result, ensure};
use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Sidehook, ada, name_of, shared};

const TOKEN: &str = "0123456789abcdef";

/// A folder for a socket: the path of one must be short.
fn short_folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("sidehook-").tempdir_in("/tmp")?)
}

#[tokio::test]
async fn a_gateway_reaches_the_sidecar_at_a_socket_with_its_token() -> Result<()> {
    let _machine = shared().await;
    let folder = short_folder()?;
    let socket = format!("unix:{}", folder.path().join("ingest.sock").display());
    let sidehook = Sidehook::before_people_with(|plan| {
        let gateway = [format!("--sidecar={socket}"), format!("--token={TOKEN}")];
        plan.gateway_arguments.extend(gateway);
        let sidecar = [format!("--ingest-listen={socket}"), format!("--ingest-token={TOKEN}")];
        plan.sidecar_arguments.extend(sidecar);
    })
    .await?;
    for _ in 0..20 {
        sidehook.post("/people/", ada()).await?.accepted()?;
    }
    // Whoever was answered is stored: there is nothing to wait for.
    let events = sidehook.events().await?;
    ensure!(events.len() == 20, "{} events of 20", events.len());
    ensure!(events.iter().all(|event| name_of(event) == "Ada"), "{events:?}");
    // There alone.
    let elsewhere = sidehook.http.post(&sidehook.plan.sidecar_url("/ingest"), &Value::Null).await?;
    ensure!(elsewhere.status == StatusCode::NOT_FOUND, "{elsewhere}");
    sidehook.stop().await
}

#[tokio::test]
async fn a_gateway_with_a_wrong_token_stores_nothing_and_the_client_is_answered() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people_with(|plan| {
        plan.gateway_arguments.push("--hold-timeout=200ms".to_owned());
        plan.gateway_arguments.push("--token=another".to_owned());
        plan.sidecar_arguments.push(format!("--ingest-token={TOKEN}"));
    })
    .await?;
    sidehook.post("/people/", ada()).await?.accepted()?;
    let refused = sidehook.stack.stat("cluster.sidehook.upstream_rq_401").await?;
    ensure!(refused > 0, "the sidecar refused nothing");
    ensure!(sidehook.events().await?.is_empty(), "something was stored");
    sidehook.stop().await
}
