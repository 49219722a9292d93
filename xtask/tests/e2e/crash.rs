//! A virtual machine that dies: the filter's own, by way of one in its place that crashes when it
//! is asked to, and that of another filter beside ours.
//!
//! Invariant: a write is refused rather than let through unseen, and reads never notice.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::sync::OnceCell;
use xtask::{
    change::{Change, Foreign},
    clock::Stopwatch,
    http::Http,
    say,
    tools::wasm,
};

use crate::support::{
    LIMIT, Sidehook, ada, alone, got,
    load::{balance, create_people},
    receiver, shared,
};

const WRITES: usize = 4_000;
const AT_ONCE: usize = 16;

/// What Envoy counts of the filter's virtual machines.
const REPLACED: &str = "wasm.sidehook.vm_reload_success";
const REFUSED: &str = "wasm.sidehook.vm_reload_backoff";

/// The filter that crashes.
async fn crashing() -> Result<Foreign> {
    static MODULE: OnceCell<std::path::PathBuf> = OnceCell::const_new();
    let module = MODULE.get_or_try_init(wasm::baseline).await?.clone();
    Ok(Foreign { module, configuration: "crash" })
}

/// A gateway that treats the crashing filter in every respect as it treats ours.
async fn with_it_in_place_of_ours() -> Result<Sidehook> {
    let change = Change::Instead(crashing().await?);
    Sidehook::before_people_with(|plan| {
        plan.gateway_changes.push(change);
        plan.gateway_workers = 1;
    })
    .await
}

/// A write that asks for a crash.
async fn crash(http: &Http, url: &str, callback: &str) -> Result<StatusCode> {
    let request = Request::post(url).header("content-type", "application/json");
    let body = Full::from(Bytes::from(ada().to_string()));
    Ok(http.request(request.header("x-crash", callback).body(body)?).await?.status)
}

async fn reads(sidehook: &Sidehook) -> Result<()> {
    let read = sidehook.http.get(&sidehook.plan.gateway_url("/people")).await?;
    ensure!(read.status == 200, "a read: {} {read}", read.status);
    Ok(())
}

/// Writes until Envoy has replaced the virtual machine for the `times`th time and takes the write;
/// reads pass all the while.
async fn writes_again(sidehook: &Sidehook, times: u64) -> Result<()> {
    sidehook
        .until("a write", async || {
            reads(sidehook).await?;
            let written = sidehook.post("/people", ada()).await?.status;
            ensure!([201, 503].contains(&written.as_u16()), "a write: {written}");
            let replaced = sidehook.stack.stat(REPLACED).await?;
            let is_back = written == 201 && replaced == times;
            Ok(if is_back { Ok(()) } else { Err(format!("{written}, replaced {replaced} times")) })
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_refuses_writes_until_envoy_has_replaced_the_vm_and_reads_go_on() -> Result<()> {
    let _machine = shared().await;
    let sidehook = with_it_in_place_of_ours().await?;
    let url = sidehook.plan.gateway_url("/people");
    sidehook.post("/people", ada()).await?.accepted()?;

    let cases = [("request-headers", 503), ("response-headers", 503), ("tick", 201)];
    for (crashes, (callback, status)) in (1..).zip(cases) {
        let refused = sidehook.stack.stat(REFUSED).await?;
        let answered = crash(&sidehook.http, &url, callback).await?;
        assert_eq!(answered, status, "the write that asked for a crash in {callback}");
        let down = Stopwatch::start();
        writes_again(&sidehook, crashes).await?;
        let refused = sidehook.stack.stat(REFUSED).await? - refused;
        ensure!(refused > 0, "no write was refused after the crash in {callback}");
        say::line(format!(
            "{callback}: writes refused for {:?}, {refused} of them",
            down.elapsed()
        ));
    }
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_crash_refuses_some_writes_and_fails_none_otherwise() -> Result<()> {
    let _machine = alone().await;
    let sidehook = with_it_in_place_of_ours().await?;
    let url = sidehook.plan.gateway_url("/people");

    let load = tokio::spawn(create_people(url.clone(), 0..WRITES, AT_ONCE));
    sidehook
        .until("the load", async || {
            let seen = sidehook.stack.stat("http.api.downstream_rq_2xx").await?;
            Ok(if seen > 100 { Ok(()) } else { Err(format!("{seen} answers")) })
        })
        .await?;
    assert_eq!(crash(&Http::new(), &url, "request-headers").await?, 503);
    reads(&sidehook).await?;

    let outcome = tokio::time::timeout(LIMIT, load).await??;
    say::line(format!("{} accepted, others: {:?}", outcome.accepted.len(), outcome.others));
    ensure!(outcome.others.keys().all(|other| other.starts_with("503")), "{:?}", outcome.others);
    ensure!(!outcome.others.is_empty(), "the crash was not noticed");
    writes_again(&sidehook, 1).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_filter_that_crashes_takes_no_event_with_it() -> Result<()> {
    let _machine = alone().await;
    let change = Change::Before(crashing().await?);
    let sidehook = Sidehook::before_people_with(|plan| plan.gateway_changes.push(change)).await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    let url = sidehook.plan.gateway_url("/people");

    let load = tokio::spawn(create_people(url.clone(), 0..WRITES, AT_ONCE));
    got(&receiver, WRITES / 4).await?;
    assert_eq!(crash(&Http::new(), &url, "request-headers").await?, 503);

    let outcome = tokio::time::timeout(LIMIT, load).await??;
    ensure!(outcome.accepted.len() > WRITES / 2, "refused: {:?}", outcome.others);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, LIMIT).await?;
    say::line(format!("{delivered}; refused: {:?}", outcome.others));
    assert_eq!(sidehook.stack.stat(REPLACED).await?, 0, "our own VM died");
    sidehook.stop().await
}
