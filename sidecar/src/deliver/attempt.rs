//! One attempt: the request as the receiver gets it, and what came of it.
//!
//! Invariant: the bytes that are signed are the bytes that are sent, and the timestamp is that
//! of this attempt (Standard Webhooks, *Webhook headers*).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use sidehook_event::UnixMicros;

use super::{
    client::{Answer, Failure},
    courier::Courier,
    outcome, retry_after, sign,
};
use crate::{
    clock::Clock,
    model::{Attempt, DueDelivery, Outcome, Subscription, TRACEPARENT},
    trace::Tracer,
};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Sidehook/", env!("CARGO_PKG_VERSION")));

/// An attempt that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) attempt: Attempt,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Whether it was sent a second time over a new connection.
    pub(super) resent: bool,
}

/// An attempt as it is shown to whoever asked for it, with all that was said.
#[derive(Debug)]
pub struct Trial {
    /// The headers of the request, but for those that HTTP itself adds.
    pub headers: HeaderMap,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// What the receiver answered.
    pub answer: Option<Answer>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// Makes the attempt that is due.
pub(super) async fn attempt(
    delivery: &DueDelivery,
    subscription: &Subscription,
    courier: &dyn Courier,
    clock: &dyn Clock,
    tracer: &Tracer,
) -> Made {
    let started_at = clock.now();
    let started = clock.monotonic();
    let request = request(delivery, subscription, started_at, tracer);
    let Exchange { outcome, duration, answer, error } =
        exchange(request, subscription, courier, clock, started).await;
    let retry_after = answer.as_ref();
    let retry_after =
        retry_after.and_then(|answer| retry_after::retry_after(&answer.headers, clock.now()));
    let resent = answer.as_ref().is_some_and(|answer| answer.resent);
    let status_code = answer.as_ref().map(|answer| answer.status);
    let excerpt = answer.map(|answer| answer.excerpt);
    let attempt = Attempt {
        number: delivery.attempt,
        started_at,
        duration,
        outcome,
        status_code,
        response_excerpt: excerpt.filter(|excerpt| !excerpt.is_empty()),
        error,
    };
    Made { attempt, retry_after, resent }
}

/// Sends a delivery once, as an attempt does, and tells all that was said.
pub async fn trial(
    delivery: &DueDelivery,
    subscription: &Subscription,
    courier: &dyn Courier,
    clock: &dyn Clock,
    tracer: &Tracer,
) -> Trial {
    let started = clock.monotonic();
    let request = request(delivery, subscription, clock.now(), tracer);
    let headers = request.as_ref().map(|request| request.headers().clone()).unwrap_or_default();
    let Exchange { outcome, duration, answer, error } =
        exchange(request, subscription, courier, clock, started).await;
    Trial { headers, outcome, duration, answer, error }
}

/// What came of a request.
struct Exchange {
    outcome: Outcome,
    duration: Duration,
    answer: Option<Answer>,
    error: Option<String>,
}

async fn exchange(
    request: Result<Request<Full<Bytes>>, http::Error>,
    subscription: &Subscription,
    courier: &dyn Courier,
    clock: &dyn Clock,
    started: Duration,
) -> Exchange {
    let answer = match request {
        Ok(request) => {
            let Subscription { url, tls, timeout, .. } = subscription;
            courier.send(url, tls, request, *timeout).await
        }
        Err(error) => {
            Err(Failure { outcome: Outcome::Malformed, error: format!("cannot be sent: {error}") })
        }
    };
    let duration = clock.monotonic().saturating_sub(started);
    match answer {
        Ok(answer) => {
            let outcome = outcome::of_status(answer.status);
            Exchange { outcome, duration, answer: Some(answer), error: None }
        }
        Err(Failure { outcome, error }) => {
            Exchange { outcome, duration, answer: None, error: Some(error) }
        }
    }
}

/// The request of an attempt that is made at `now`.
fn request(
    delivery: &DueDelivery,
    subscription: &Subscription,
    now: UnixMicros,
    tracer: &Tracer,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::new(Full::new(delivery.payload.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = subscription.url.uri()?;
    *request.headers_mut() = headers(delivery, subscription, now)?;
    if let Some(parent) = tracer.traceparent(delivery) {
        request.headers_mut().insert(TRACEPARENT, parent);
    }
    Ok(request)
}

fn headers(
    delivery: &DueDelivery,
    subscription: &Subscription,
    now: UnixMicros,
) -> Result<HeaderMap, http::Error> {
    let webhook_id = delivery.event_id.to_string();
    let body = &delivery.payload.body;
    let signature = sign::sign(&subscription.signing, &webhook_id, now, body);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, delivery.payload.content_type.parse::<HeaderValue>()?);
    headers.insert(header::USER_AGENT, USER_AGENT);
    for (name, value) in &*delivery.payload.headers {
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    // The subscription's own replace ours, but never those of the signature, which it cannot
    // name; the same name twice is sent twice.
    for (name, _) in subscription.custom_headers.iter() {
        headers.remove(name);
    }
    for (name, value) in subscription.custom_headers.iter() {
        headers.append(name, value.clone());
    }
    headers.insert(WEBHOOK_ID, HeaderValue::try_from(webhook_id)?);
    headers.insert(WEBHOOK_TIMESTAMP, now.seconds().into());
    headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signature)?);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use sidehook_event::{EventId, TypeId};

    use super::*;
    use std::sync::Arc;

    use crate::model::{DeliveryId, Headers, Payload, Series, testing::subscription};

    fn due() -> DueDelivery {
        DueDelivery {
            id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(42),
            event_type: "people.created".parse().unwrap(),
            subscription_id: subscription(1, "*").id,
            attempt: 1,
            series: Series { began_at: UnixMicros::EPOCH, earlier: 0 },
            payload: Payload {
                content_type: "application/json".into(),
                headers: Arc::default(),
                body: Bytes::from_static(b"{}"),
            },
            lease_until: UnixMicros::MAX,
        }
    }

    #[test]
    fn carries_the_headers_of_standard_webhooks() {
        let now = UnixMicros::new(1_763_890_200_900_000);
        let headers = headers(&due(), &subscription(1, "*"), now).unwrap();
        assert_eq!(headers["webhook-id"], "evt_0000000000000000000000001a");
        assert_eq!(headers["webhook-timestamp"], "1763890200");
        assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        assert_eq!(headers["content-type"], "application/json");
    }

    #[test]
    fn the_subscriptions_headers_are_sent_and_replace_ours() {
        let custom = [("x-a", "1"), ("x-a", "2"), ("content-type", "text/json")];
        let custom_headers = Headers::parse(custom).unwrap();
        let subscription = Subscription { custom_headers, ..subscription(1, "*") };
        let headers = headers(&due(), &subscription, UnixMicros::EPOCH).unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["content-type"], "text/json");
        assert_eq!(headers["user-agent"], concat!("Sidehook/", env!("CARGO_PKG_VERSION")));
    }
}
