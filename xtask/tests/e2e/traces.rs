//! One write is one trace, from the client through the gateway and the sidecar to the receiver.
//!
//! Invariant: what is checked came out of a real collector, told by the real Envoy and the real
//! sidecar.

mod collector;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use serde_json::json;
use xtask::{http::Answer, receiver::Webhook, say};

use crate::support::{Sidehook, ada, got, receiver, shared};
use collector::{Collector, Span, tree};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Makes something of what was written.
const SCRIPT: &str = "#{ hello: event.data.name }";

/// A stack whose gateway and sidecar tell the collector, or only the sidecar.
async fn stack(collector: &Collector, gateway_tells: bool) -> Result<Sidehook> {
    let traces = format!("--traces={}", collector.url());
    Sidehook::before_people_with(|plan| {
        if gateway_tells {
            plan.gateway_arguments.push(traces.clone());
        }
        plan.sidecar_arguments.push(traces);
    })
    .await
}

/// Posts Ada, with this header for the trace if there is one.
async fn post(sidehook: &Sidehook, traceparent: Option<&str>) -> Result<Answer> {
    let request = Request::builder().method(Method::POST).uri(sidehook.plan.gateway_url("/people"));
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = match traceparent {
        Some(value) => request.header("traceparent", value).header("tracestate", "vendor=1"),
        None => request,
    };
    sidehook.http.request(request.body(Full::<Bytes>::from(ada().to_string()))?).await
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT}-{flags}")
}

/// The trace and the span that a receiver is told of.
fn told_of(webhook: &Webhook) -> Option<(String, String)> {
    let mut parts = webhook.header("traceparent").split('-').skip(1).map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

/// With what is known of the two who told the collector nothing: the client, and the receiver.
fn with_both_ends(spans: &[Span], webhooks: &[Webhook]) -> Vec<Span> {
    let (start, end) = spans.first().map_or((0, 0), |span| (span.start, span.end));
    let end_of = |service: &str, name: &str| Span {
        service: service.to_owned(),
        name: name.to_owned(),
        ..Span::default()
    };
    let client = Span { id: CLIENT.to_owned(), start, end, ..end_of("client", "POST /people") };
    let receivers = webhooks.iter().filter_map(|webhook| {
        let (_, parent) = told_of(webhook)?;
        let attempt = spans.iter().find(|span| span.id == parent)?;
        let Span { start, end, .. } = *attempt;
        let name = format!("POST, answered {}", webhook.answered);
        let id = format!("what {parent} caused");
        Some(Span { id, parent, start, end, ..end_of("receiver", &name) })
    });
    [client].into_iter().chain(spans.iter().cloned()).chain(receivers).collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    let mut found = spans.iter().filter(|span| span.name == name);
    let first = found.next().with_context(|| format!("no {name}:\n{}", tree(spans)))?;
    ensure!(found.next().is_none(), "more than one {name}:\n{}", tree(spans));
    Ok(first)
}

#[tokio::test]
async fn a_write_is_followed_from_the_client_to_the_receiver() -> Result<()> {
    let _machine = shared().await;
    let collector = Collector::start().await?;
    let sidehook = stack(&collector, true).await?;
    let receiver = receiver().await?;
    let url = format!("{}/hush-hush?key=hush-hush", receiver.url());
    let asked = json!({"url": url, "event_type": "created", "script": SCRIPT});
    let secret = sidehook.subscribe_with(asked).await?.secret;
    receiver.answers([StatusCode::SERVICE_UNAVAILABLE]);
    post(&sidehook, Some(&traceparent("01"))).await?.accepted()?;
    let webhooks = got(&receiver, 2).await?;

    // Two of Envoy's own, three of the sidecar, and two attempts.
    let spans = collector.told(TRACE, 7).await?;
    say::line(tree(&with_both_ends(&spans, &webhooks)));
    assert_eq!(spans.len(), 7, "{}", tree(&spans));
    let of_gateway: Vec<_> = spans.iter().filter(|span| span.service == "edge").collect();
    let (ingress, others): (Vec<_>, Vec<_>) =
        of_gateway.into_iter().partition(|span| span.parent == CLIENT);
    let [ingress] = &*ingress else { anyhow::bail!("not one ingress:\n{}", tree(&spans)) };
    ensure!(others.iter().all(|egress| egress.parent == ingress.id), "{}", tree(&spans));
    let (store, dispatch, script) =
        (one(&spans, "store")?, one(&spans, "dispatch")?, one(&spans, "script")?);
    assert_eq!(store.parent, ingress.id, "{}", tree(&spans));
    assert_eq!(dispatch.parent, store.id);
    assert_eq!(script.parent, dispatch.id);
    assert_eq!(script.attributes["sidehook.script.outcome"], "made");
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "attempt").collect();
    let [first, second] = &*attempts else { anyhow::bail!("not two:\n{}", tree(&spans)) };
    for (attempt, webhook) in attempts.iter().zip(&webhooks) {
        assert_eq!(attempt.parent, dispatch.id);
        let told = told_of(webhook).context("the receiver is told of no trace")?;
        assert_eq!(told, (TRACE.to_owned(), attempt.id.clone()));
        assert_eq!(webhook.header("tracestate"), "vendor=1");
    }
    assert_eq!(first.attributes["http.response.status_code"], "503");
    assert_eq!(first.attributes["sidehook.delivery.state"], "pending");
    assert_eq!(second.attributes["sidehook.delivery.state"], "delivered");
    assert_eq!((&*first.links, &*second.links), (&[][..], &[first.id.clone()][..]));
    let said =
        format!("{:?}", spans.iter().filter(|span| span.service == "sidehook").collect::<Vec<_>>());
    for hidden in [&*secret, "hush-hush", "ada@example.com"] {
        ensure!(!said.contains(hidden), "{hidden} is told: {said}");
    }
    sidehook.stop().await
}

#[tokio::test]
async fn whoever_begins_a_trace_decides_whether_it_is_told() -> Result<()> {
    let _machine = shared().await;
    let collector = Collector::start().await?;
    let sidehook = stack(&collector, true).await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    post(&sidehook, Some(&traceparent("00"))).await?.accepted()?;
    let unsampled = got(&receiver, 1).await?;
    // Nobody makes a span, so the receiver belongs to the client's.
    assert_eq!(unsampled[0].header("traceparent"), traceparent("00"));

    post(&sidehook, None).await?.accepted()?;
    let webhooks = got(&receiver, 2).await?;
    let (trace_id, span) = told_of(&webhooks[1]).context("no trace begins")?;
    // The one that nobody began is Envoy's; told after the other would have been.
    let spans = collector.told(&trace_id, 5).await?;
    assert_eq!(one(&spans, "attempt")?.id, span);
    let ours = |span: &Span| span.service == "sidehook" && span.trace_id == TRACE;
    ensure!(!collector.spans().iter().any(ours), "{}", tree(&collector.of(TRACE)));
    sidehook.stop().await
}

#[tokio::test]
async fn without_a_gateway_that_traces_the_clients_span_is_the_parent() -> Result<()> {
    let _machine = shared().await;
    let collector = Collector::start().await?;
    let sidehook = stack(&collector, false).await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    post(&sidehook, Some(&traceparent("01"))).await?.accepted()?;
    let spans = collector.told(TRACE, 3).await?;
    assert_eq!(one(&spans, "store")?.parent, CLIENT);
    // A write without a trace begins one, which has the bits of its event's id.
    post(&sidehook, None).await?.accepted()?;
    let webhooks = got(&receiver, 2).await?;
    let (trace_id, _) = told_of(&webhooks[1]).context("no trace begins")?;
    let spans = collector.told(&trace_id, 3).await?;
    let store = one(&spans, "store")?;
    assert_eq!(
        (&*store.parent, &*store.attributes["cloudevents.event_id"]),
        ("", webhooks[1].id())
    );
    sidehook.stop().await
}

#[tokio::test]
async fn without_a_collector_the_trace_goes_on_as_it_came() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    for flags in ["00", "01"] {
        post(&sidehook, Some(&traceparent(flags))).await?.accepted()?;
    }
    post(&sidehook, None).await?.accepted()?;
    let webhooks = got(&receiver, 3).await?;
    let mut told: Vec<_> = webhooks.iter().map(|webhook| webhook.header("traceparent")).collect();
    told.sort_unstable();
    assert_eq!(told, ["", &traceparent("00"), &traceparent("01")]);
    sidehook.stop().await
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() -> Result<()> {
    let _machine = shared().await;
    let nobody = format!("http://127.0.0.1:{}", xtask::ports::free()?);
    let sidehook = Sidehook::before_people_with(|plan| {
        plan.sidecar_arguments.push(format!("--traces={nobody}"));
    })
    .await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    for _ in 0..50 {
        post(&sidehook, None).await?.accepted()?;
    }
    got(&receiver, 50).await?;
    let failed = "sidehook_trace_spans_total{result=\"failed\"}";
    sidehook
        .until("the spans", async || {
            let counted = sidehook.metric(sidehook.plan.api(), failed).await?;
            Ok(if counted >= 150.0 { Ok(()) } else { Err(format!("{counted}")) })
        })
        .await?;
    sidehook.stop().await
}
