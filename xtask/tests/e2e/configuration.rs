//! A configuration with a mistake in it is refused before it can lose an event.
//!
//! Invariant: the refusal names the key, where the person who wrote it can find it.

use anyhow::{Result, ensure};
use xtask::child::{Child, Output};

use crate::support::{plan, shared};

/// Writes the gateway's configuration, replaces a part of it, and returns what Envoy says when it
/// refuses to start.
async fn refusal(part: &str, wrong: &str) -> Result<String> {
    let plan = plan("http://127.0.0.1:9").await?;
    let file = plan.write_gateway_configuration().await?;
    let right = std::fs::read_to_string(&file)?;
    ensure!(right.contains(part), "there is no {part} in {right}");
    std::fs::write(&file, right.replace(part, wrong))?;
    let file = file.to_string_lossy().into_owned();
    let arguments = ["-c", &file, "--disable-hot-restart", "--concurrency", "1"];
    let program = &plan.programs.envoy;
    let mut envoy = Child::start("envoy", program, arguments, &plan.folder, Output::Log)?;
    let ended = tokio::time::timeout(crate::support::LIMIT, envoy.ended()).await??;
    ensure!(!ended.success(), "Envoy ended well with {wrong}");
    Ok(std::fs::read_to_string(plan.folder.join("envoy.log"))?)
}

#[tokio::test]
async fn an_unknown_capture_mode_is_refused() -> Result<()> {
    let _machine = shared().await;
    let said = refusal("capture: \"durable\"", "capture: \"perhaps\"").await?;
    assert!(said.contains("capture") && said.contains("perhaps"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_is_refused() -> Result<()> {
    let _machine = shared().await;
    let said = refusal("hold_timeout: \"2s\"", "hold_timeuot: \"2s\"").await?;
    assert!(said.contains("hold_timeuot"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_mistake_within_a_route_is_named_with_its_place() -> Result<()> {
    let _machine = shared().await;
    let said = refusal("path: \"/people\"", "path: \"people\"").await?;
    assert!(said.contains("routes[0].path"), "{said}");
    Ok(())
}
