//! What the filter asks of the gateway that runs it.
//!
//! Invariant: nothing outside `abi` knows how a gateway is spoken to; every question can be
//! refused, and a refusal is a value.

use std::time::Duration;

use thiserror::Error;

use crate::pairs::Fields;

/// One context of the gateway: a plugin's root, or one request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

/// One call to the sidecar that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u32);

/// One defined metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// A point of the gateway's steady clock, in nanoseconds; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to `self`, or zero.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` plus `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// The gateway did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the gateway refused with status {0}")]
pub struct Refusal(pub u32);

/// Which part of an exchange is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Side {
    /// What the client sent.
    Request = 0,
    /// What the API answered.
    Response = 1,
}

/// Who has to act on a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nobody: the life of the plugin.
    Info,
    /// Nobody yet: the service is degraded.
    Warn,
    /// A person.
    Error,
}

/// How a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Only ever grows.
    Counter = 0,
    /// Grows and shrinks.
    Gauge = 1,
    /// A distribution of whole numbers.
    Histogram = 2,
}

/// Whether the gateway passes on what it has just shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Pass it on.
    Continue = 0,
    /// Keep headers or trailers, but show what follows them.
    Stop = 1,
    /// Keep this part of a body, and slow the sender down when much has been kept.
    KeepBody = 2,
    /// Keep headers and show nothing of what follows until resumed.
    StopAll = 4,
}

/// A call to a cluster of the gateway.
#[derive(Debug)]
pub struct Call<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Pseudo headers first.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
    /// After this the gateway itself answers 504.
    pub timeout: Duration,
}

/// An answer that the filter gives in place of the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u32,
    /// Named in the gateway's access log.
    pub details: &'static str,
    /// Header fields beside those that the gateway adds.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: &'static str,
}

/// The gateway, as seen from inside a callback. What concerns a context concerns the one whose
/// callback is running, unless [`Host::act_for`] named another.
pub trait Host {
    /// Writes a line to the gateway's log.
    fn log(&self, level: Level, text: &str);

    /// Nanoseconds since the Unix epoch; may jump.
    fn unix_nanos(&self) -> Result<u64, Refusal>;

    /// The steady clock. It stands still while a callback runs.
    fn moment(&self) -> Result<Moment, Refusal>;

    /// 64 random bits.
    fn random(&self) -> Result<u64, Refusal>;

    /// The plugin's configuration, `length` bytes of it; only while it is being configured.
    fn configuration(&self, length: usize) -> Result<Vec<u8>, Refusal>;

    /// The first value of a header field. Only in the callbacks of its own phase: a request's
    /// headers can't be read any more once the answer has come.
    fn header(&self, side: Side, name: &str) -> Result<Option<Vec<u8>>, Refusal>;

    /// All header fields, under the same condition.
    fn headers(&self, side: Side) -> Result<Fields, Refusal>;

    /// The part of a body that the running callback is about, at most `length` bytes of it.
    fn body(&self, side: Side, length: usize) -> Result<Vec<u8>, Refusal>;

    /// How the gateway came by the answer; `via_upstream` if the API itself gave it.
    fn code_details(&self) -> Result<Vec<u8>, Refusal>;

    /// The `:status` of the answer to a call; `None` when there was no answer.
    fn call_status(&self) -> Result<Option<Vec<u8>>, Refusal>;

    /// Lets what follows concern `context`. A gateway agrees even if that context has just
    /// ended: only the caller knows who is alive.
    fn act_for(&self, context: ContextId) -> Result<(), Refusal>;

    /// Lets a request or an answer go that is kept.
    fn resume(&self, side: Side) -> Result<(), Refusal>;

    /// Answers the client in place of the API. At most once per exchange: a second answer hangs.
    fn reply(&self, reply: &Reply) -> Result<(), Refusal>;

    /// Starts a call. Its answer comes to the root context, in every case but a refusal.
    fn call(&self, call: &Call<'_>) -> Result<Token, Refusal>;

    /// Asks for a tick every so often.
    fn tick_every(&self, period: Duration) -> Result<(), Refusal>;

    /// Says that a root that asked for time after its end needs no more of it.
    fn finished(&self) -> Result<(), Refusal>;

    /// Defines a metric; the same name gives the same metric, in every worker.
    fn define(&self, kind: Kind, name: &str) -> Result<MetricId, Refusal>;

    /// Adds to a counter (never 0, which is refused) or a gauge.
    fn add(&self, metric: MetricId, amount: i64) -> Result<(), Refusal>;

    /// Records a value in a histogram.
    fn record(&self, metric: MetricId, value: u64) -> Result<(), Refusal>;
}
