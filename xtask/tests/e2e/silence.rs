//! What is not a write that the API accepted is no event.
//!
//! Invariant: an accepted write comes last in each test; once its event is there, the absence of
//! the others is no accident of timing.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};
use xtask::stack::Plan;

use crate::support::{Sidehook, ada, shared, upstream::Upstream};

/// Posts the last word and returns the types and subjects of all events.
async fn events_after_a_last_word(sidehook: &Sidehook, path: &str) -> Result<Vec<String>> {
    sidehook.post(path, json!({"name": "the last word"})).await?.accepted()?;
    let stored =
        |events: &[Value]| events.iter().any(|event| event.to_string().contains("the last word"));
    let events = sidehook.events_until(stored).await?;
    Ok(events.iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn reads_and_refused_writes_are_no_events() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    assert_eq!(sidehook.post("/people", json!({"name": ""})).await?.status, 400);
    assert_eq!(sidehook.delete("/people/9").await?.status, 404);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        sidehook.http.send(method, &sidehook.plan.gateway_url("/people"), None).await?;
    }
    assert_eq!(events_after_a_last_word(&sidehook, "/people").await?, ["people.created"]);
    sidehook.stop().await
}

#[tokio::test]
async fn a_failure_of_the_api_is_no_event() -> Result<()> {
    let _machine = shared().await;
    let upstream = Upstream::start().await?;
    upstream.answers("/people", b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}");
    let sidehook = Sidehook::before(&upstream.url(), |_| ()).await?;
    assert_eq!(sidehook.post("/people", ada()).await?.status, 500);
    let created = b"HTTP/1.1 201 Created\r\ncontent-length: 24\r\n\r\n{\"name\":\"the last word\"}";
    upstream.answers("/people", created);
    assert_eq!(events_after_a_last_word(&sidehook, "/people").await?, ["people.created"]);
    sidehook.stop().await
}

#[tokio::test]
async fn an_answer_of_envoy_itself_is_no_event() -> Result<()> {
    let _machine = shared().await;
    let mut sidehook = Sidehook::before_people().await?;
    assert_eq!(events_after_a_last_word(&sidehook, "/people").await?.len(), 1);
    sidehook.lose_the_api();
    assert_eq!(sidehook.post("/people", ada()).await?.status, 503);
    assert_eq!(sidehook.put("/people/1", ada()).await?.status, 503);
    // The gateway sends what it has before it ends; the store is looked at after that.
    let plan = sidehook.plan.clone();
    sidehook.stop().await?;
    let again = Sidehook::reopen(plan).await?;
    assert_eq!(again.events().await?.len(), 1);
    again.stop().await
}

#[tokio::test]
async fn what_is_only_observed_is_told_by_envoy_and_no_event() -> Result<()> {
    let _machine = shared().await;
    let observing = |plan: &mut Plan| "observe".clone_into(&mut plan.capture);
    let sidehook = Sidehook::before_people_with(observing).await?;
    for _ in 0..3 {
        sidehook.post("/people", ada()).await?.accepted()?;
    }
    sidehook.delete("/people/1").await?;
    let stats = sidehook.plan.admin_url("/stats/prometheus?filter=observed");
    let counted = sidehook.until("the figures of the gateway", async || {
        let said = sidehook.http.get(&stats).await?.to_string();
        let is_there = said.contains(r#"action="deleted"} 1"#);
        Ok(if is_there { Ok(said) } else { Err(said) })
    });
    let created = r#"sidehook_observed_total{resource="people",action="created"} 3"#;
    let counted = counted.await?;
    assert!(counted.contains(created), "{counted}");
    let plan = sidehook.plan.clone();
    sidehook.stop().await?;
    let again = Sidehook::reopen(plan).await?;
    assert_eq!(again.events().await?.len(), 0);
    again.stop().await
}
