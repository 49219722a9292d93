//! One event on its way to one subscription: its state, its attempts, what each came to.
//!
//! Invariant: a delivery is pending until it is delivered, filtered or dead; of those it leaves
//! death alone, when it is redriven. Its payload is fixed when it is made, so that every attempt
//! sends the same bytes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sidehook_event::{EventId, EventType, UnixMicros};

use super::{DeliveryId, ScriptVersion, SubscriptionId};

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The `content-type` header.
    pub content_type: Arc<str>,
    /// Further headers, names in lower case; mostly none.
    pub headers: Arc<[(String, String)]>,
    /// The body, as it is signed and sent.
    pub body: Bytes,
}

impl Payload {
    /// One that is still to be made, by the subscription's script. It has a place in memory of its
    /// own, by which stores tell payloads apart.
    pub fn unmade() -> Self {
        let (content_type, headers) = (Arc::from(""), Arc::default());
        Self { content_type, headers, body: Bytes::copy_from_slice(b" ") }
    }

    /// Whether it is still to be made: then it is never sent.
    pub fn is_unmade(&self) -> bool {
        self.content_type.is_empty()
    }
}

/// The attempts that belong together. Redriving a dead letter begins a new series: its schedule
/// runs from the beginning again, while the numbers of the attempts go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// When it began: when the delivery was made, or last redriven.
    pub began_at: UnixMicros,
    /// How many attempts were made before.
    pub earlier: u32,
}

/// A delivery that a worker may attempt now, and all it needs besides the subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// The delivery.
    pub id: DeliveryId,
    /// The event, whose id is the `webhook-id`.
    pub event_id: EventId,
    /// Its type, by which an attempt is told of.
    pub event_type: EventType,
    /// Who gets it.
    pub subscription_id: SubscriptionId,
    /// The attempt to make, from 1.
    pub attempt: u32,
    /// To which it belongs.
    pub series: Series,
    /// What is sent.
    pub payload: Payload,
    /// When another worker may take it over. An attempt that cannot end before must not begin.
    pub lease_until: UnixMicros,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// An attempt is due, now or later.
    Pending,
    /// The receiver acknowledged it.
    Delivered,
    /// The subscription's script dropped it.
    Filtered,
    /// Given up: a dead letter.
    Dead,
}

impl State {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("pending", Self::Pending),
        ("delivered", Self::Delivered),
        ("filtered", Self::Filtered),
        ("dead", Self::Dead),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Filtered => "filtered",
            Self::Dead => "dead",
        }
    }
}

/// A delivery, as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its name for good.
    pub id: DeliveryId,
    /// The event.
    pub event_id: EventId,
    /// Who gets it.
    pub subscription_id: SubscriptionId,
    /// The event's type.
    pub event_type: EventType,
    /// Where it stands.
    pub state: State,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the next one is due, while it is pending.
    pub next_attempt_at: Option<UnixMicros>,
    /// What the last attempt came to.
    pub last_outcome: Option<Outcome>,
    /// Why it is dead.
    pub death: Option<Death>,
    /// Why it was filtered, in its script's words.
    pub reason: Option<String>,
    /// The version of the script that made what is sent, or did not.
    pub script: Option<ScriptVersion>,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it was delivered, filtered or given up.
    pub finished_at: Option<UnixMicros>,
}

/// One try at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: UnixMicros,
    /// How long it took.
    pub duration: Duration,
    /// What it came to.
    pub outcome: Outcome,
    /// The receiver's answer, if there was one.
    pub status_code: Option<u16>,
    /// The beginning of the receiver's answer, lossily as text.
    pub response_excerpt: Option<String>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// What an attempt came to. Told apart by what is to be done about it, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered 2xx.
    Success,
    /// Answered something else.
    Status,
    /// Not answered in time.
    Timeout,
    /// The name of the host could not be resolved.
    Dns,
    /// The connection could not be made, or broke.
    Connection,
    /// TLS could not be agreed upon, or the certificate is not valid.
    Tls,
    /// The egress rule does not allow the address.
    Egress,
    /// The request could not be built: our own fault.
    Malformed,
    /// The operator's own proxy is not there, or does not do what it is for.
    Proxy,
}

impl Outcome {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("success", Self::Success),
        ("status", Self::Status),
        ("timeout", Self::Timeout),
        ("dns", Self::Dns),
        ("connection", Self::Connection),
        ("tls", Self::Tls),
        ("egress", Self::Egress),
        ("malformed", Self::Malformed),
        ("proxy", Self::Proxy),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Egress => "egress",
            Self::Malformed => "malformed",
            Self::Proxy => "proxy",
        }
    }
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The last attempt of the schedule failed, or its horizon passed.
    Exhausted,
    /// The receiver answered 410: it does not want any more.
    Refused,
    /// The egress rule does not allow the address.
    Egress,
    /// The request could not be built.
    Malformed,
    /// The subscription was deleted before it could be delivered.
    Unsubscribed,
    /// The subscription's script failed.
    Script,
}

/// Who has to do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Whoever runs the receiver, or owns the subscription.
    Receiver,
    /// Whoever runs Sidehook.
    Pipeline,
}

impl Fault {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Pipeline => "pipeline",
        }
    }
}

impl Cause {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("exhausted", Self::Exhausted),
        ("refused", Self::Refused),
        ("egress", Self::Egress),
        ("malformed", Self::Malformed),
        ("unsubscribed", Self::Unsubscribed),
        ("script", Self::Script),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::Egress => "egress",
            Self::Malformed => "malformed",
            Self::Unsubscribed => "unsubscribed",
            Self::Script => "script",
        }
    }

    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::Exhausted | Self::Refused | Self::Unsubscribed | Self::Script => Fault::Receiver,
            Self::Egress | Self::Malformed => Fault::Pipeline,
        }
    }
}

/// The end of a delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Why.
    pub cause: Cause,
    /// The last thing that went wrong, in words.
    pub error: String,
}

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// Nothing: it is delivered.
    Delivered,
    /// Another attempt at this time.
    Retry(UnixMicros),
    /// Nothing: it is given up.
    Dead(Death),
    /// Nothing: the subscription's script dropped it, for this reason.
    Filtered(String),
}

/// What a subscription's script came to, of a delivery whose payload was still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What is sent from now on, if anything.
    pub payload: Option<Payload>,
    /// The version of the script, if there was one to run.
    pub script: Option<ScriptVersion>,
}

/// What a worker found out about a delivery: the attempt, if one was made, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The attempt that was handed out, from 1. A message may have been handed out twice, and what
    /// is found out about the second comes when the delivery has moved on.
    pub number: u32,
    /// That attempt, if it was made.
    pub attempt: Option<Attempt>,
    /// What the subscription's script came to, if it was run.
    pub made: Option<Made>,
    /// What follows.
    pub successor: Successor,
    /// When this was found out.
    pub at: UnixMicros,
}

impl Verdict {
    /// The attempt was not made, and is due now, for whoever looks next.
    pub fn put_back(delivery_id: DeliveryId, number: u32, now: UnixMicros) -> Self {
        let successor = Successor::Retry(now);
        Self { delivery_id, number, attempt: None, made: None, successor, at: now }
    }
}
