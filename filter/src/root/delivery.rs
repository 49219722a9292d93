//! Events on their way out, and the answers that wait for them.
//!
//! Invariant: every call is made for the root context, which alone hears the answer; an answer is
//! let go, or replaced, once, and only while its exchange is still there.

use std::time::Duration;

use sidehook_event::{Event, wire};

use super::{Active, BUSY_TICK, Complaint, Exchange, LAST_WORDS, Life, TICK, Wall, now};
use crate::{
    capture::{self, Seen},
    config::Capture,
    emit::{Failure, Verdict, judge, send},
    host::{ContextId, Host, Level, Moment, Reply, Side, Token},
    outbox::{Batch, Holder, MAX_COMPANY, Outbox},
};

/// How much longer than the gateway's own timeout an answer is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The answer to a write on a strict route whose event is not stored.
const NOT_RECORDED: Reply = Reply {
    status: 503,
    details: "sidehook_event_not_stored",
    headers: &[("content-type", "application/problem+json")],
    body: concat!(
        r#"{"type":"urn:sidehook:problem:write-not-recorded","#,
        r#""title":"The write was made, but its event is not stored","status":503,"#,
        r#""detail":"The API accepted this write, but its event was refused, or could not be "#,
        r#"stored in time. Sending the request again may do the write again."}"#,
    ),
};

/// What became of the events of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitted {
    /// So many are on their way; none, if they were only to be looked at.
    Buffered(usize),
    /// There was no room for them.
    Dropped,
}

impl Active {
    /// Makes the events of a watched exchange. Whether its answer is kept now, be it until the
    /// commit or because another one goes out in its place.
    pub(super) fn emit_kept(&mut self, host: &dyn Host, context: ContextId) -> bool {
        let Some(Exchange::Watched(watch)) = self.remove(context) else {
            return false;
        };
        let capture = watch.capture;
        if !capture.holds() {
            self.emit(host, watch.seen, None);
            return false;
        }
        let since = match watch.since {
            Moment(0) => now(host),
            since => since,
        };
        let until = since.after(self.config.hold_timeout);
        let strict = capture == Capture::Strict;
        match self.emit(host, watch.seen, Some(Holder { context, until })) {
            Emitted::Buffered(events) => {
                self.exchanges.insert(context, Exchange::Held { since, strict, events });
                true
            }
            Emitted::Dropped if strict => self.replace(host),
            Emitted::Dropped => {
                self.metrics.at_risk.add(host, 1);
                false
            }
        }
    }

    /// Makes the events of an exchange and sends them as soon as may be.
    pub(super) fn emit(&mut self, host: &dyn Host, seen: Seen, holder: Option<Holder>) -> Emitted {
        let random = self.dice.roll();
        let mode = seen.route.capture;
        let events = capture::events(seen, &self.config.gateway, random);
        if mode == Capture::Observe {
            for event in events {
                self.observe(host, &event);
            }
            return Emitted::Buffered(0);
        }
        for event in &events {
            self.count(host, event);
        }
        let count = events.len();
        // Nothing would ever let go of an answer that waits for none.
        if count == 0 {
            return Emitted::Dropped;
        }
        if self.outbox.push(events.iter().map(wire::frame).collect(), holder).is_err() {
            self.metrics.dropped.add(host, count);
            let text = "the buffer is full, events are being dropped";
            self.complain(host, Complaint::Full, Level::Error, text);
            return Emitted::Dropped;
        }
        self.pump(host);
        Emitted::Buffered(count)
    }

    fn count(&self, host: &dyn Host, event: &Event) {
        self.metrics.event(&event.event_type);
        let bodies = [&event.exchange.request, &event.exchange.response];
        if bodies.iter().any(|body| body.truncated) {
            self.metrics.truncated.add(host, 1);
        }
        if bodies.iter().any(|body| body.incomplete) {
            self.metrics.incomplete.add(host, 1);
        }
    }

    /// Tells of an event that is not sent.
    fn observe(&mut self, host: &dyn Host, event: &Event) {
        self.metrics.observed(&event.event_type);
        let exchange = &event.exchange;
        // Queries may hold what is nobody's business.
        let path = exchange.path.split('?').next().unwrap_or_default();
        let text = format!(
            "would capture {} about {}: {} {path} answered {}, bodies of {} and {} bytes",
            event.event_type,
            event.subject.as_deref().unwrap_or("nothing that is known"),
            exchange.method,
            exchange.status,
            exchange.request.size,
            exchange.response.size,
        );
        self.complain(host, Complaint::Observed, Level::Info, &text);
    }

    /// A call was answered.
    pub(super) fn answered(&mut self, host: &dyn Host, token: Token) {
        let status = host.call_status().ok().flatten();
        let verdict = judge(status.as_deref());
        if self.health.is_answer(token) {
            self.told(host, verdict);
            return self.finish(host);
        }
        let (now, dice) = (self.look(host), self.dice.roll());
        let Some(settled) = self.outbox.answered(token, verdict, now, dice) else {
            return;
        };
        self.health.heard(now, !matches!(verdict, Verdict::Failed(_)));
        self.metrics.round_trip.record_time(host, settled.round_trip);
        self.metrics.committed.add(settled.committed);
        self.metrics.refused.add(host, settled.refused);
        self.metrics.retries.add(host, settled.again);
        self.report(host, verdict, settled.refused);
        // The next call first: those who are let go have waited long enough to wait for it.
        self.pump(host);
        for context in settled.holders {
            self.let_go(host, context, now);
        }
        for context in settled.bereft {
            self.abandon(host, context, now);
        }
        self.metrics.tell(host);
        self.finish(host);
    }

    /// Looks at what is due.
    pub(super) fn tick(&mut self, host: &dyn Host) {
        self.metrics.ticks.add(host, 1);
        let now = self.look(host);
        let dice = self.dice.roll();
        let again = self.outbox.overdue(now, self.patience(), dice);
        if again > 0 {
            self.health.heard(now, false);
            self.metrics.retries.add(host, again);
            self.report(host, Verdict::Failed(Failure::Silence), 0);
        }
        self.give_up_asking(host, now);
        self.emit_stalled(host);
        self.pump(host);
        let more = self.admit_all(host);
        let expired = self.outbox.expired(now);
        let period = if more || expired.len() == MAX_COMPANY { BUSY_TICK } else { TICK };
        for context in expired {
            self.abandon(host, context, now);
        }
        if period != self.tick && host.tick_every(period).is_ok() {
            self.tick = period;
        }
        self.measure(host);
        self.metrics.tell(host);
        self.wall = Wall::read(host);
        self.finish(host);
    }

    /// Sends everything at once, in a pause as well: when the gateway or the virtual machine ends
    /// there is no other occasion. Whether nothing is left to wait for.
    pub(super) fn end(&mut self, host: &dyn Host) -> bool {
        let left = self.outbox.events();
        if self.outbox.is_failing() {
            // Nobody may be there to count them later.
            self.metrics.at_risk.add(host, left);
            let text = format!("the plugin ends with {left} events that are not stored yet");
            host.log(Level::Warn, &text);
        }
        self.life = Life::Ends(now(host).after(LAST_WORDS));
        self.send_all(host, Outbox::depart_at_once);
        // A gauge would outlive the machine. Should there be another tick, it is set again.
        self.gone(host);
        self.outbox.is_empty()
    }

    /// Takes back what this worker has added to gauges, which outlive it, and tells what was
    /// counted.
    fn gone(&mut self, host: &dyn Host) {
        self.metrics.tell(host);
        self.metrics.buffered_events.set(host, 0);
        self.metrics.buffered_bytes.set(host, 0);
        self.metrics.held.set(host, 0);
    }

    /// How long an answer of the sidecar is waited for.
    pub(super) fn patience(&self) -> Duration {
        self.config.sidecar.timeout.saturating_add(GRACE)
    }

    pub(super) fn pump(&mut self, host: &dyn Host) {
        let now = self.latest;
        if self.life != Life::Runs && !self.outbox.is_failing() {
            self.send_all(host, Outbox::depart_at_once);
        } else {
            self.send_all(host, |outbox| outbox.depart(now));
        }
    }

    /// Sends one batch after the other, until there is none or the gateway refuses one.
    fn send_all(&mut self, host: &dyn Host, next: impl Fn(&mut Outbox) -> Option<Batch>) {
        while let Some(batch) = next(&mut self.outbox) {
            if !self.dispatch(host, batch) {
                break;
            }
        }
    }

    /// Starts the call for a batch. Whether the gateway accepted it.
    fn dispatch(&mut self, host: &dyn Host, batch: Batch) -> bool {
        let now = now(host);
        let for_root = host.act_for(self.root);
        let sent = for_root.and_then(|()| send(host, &self.config.sidecar, &self.prologue, &batch));
        match sent {
            Ok(token) => {
                self.metrics.batches.add(1);
                self.metrics.batch_events.record(host, batch.events());
                self.outbox.sent(token, batch, now);
                true
            }
            Err(refusal) => {
                self.metrics.retries.add(host, batch.events());
                let dice = self.dice.roll();
                self.outbox.unsent(batch, now, dice);
                self.health.heard(now, false);
                self.report(host, Verdict::Failed(Failure::Unsent(refusal.0)), 0);
                false
            }
        }
    }

    /// An event is stored: if it was the last one that the answer waited for, that goes out.
    fn let_go(&mut self, host: &dyn Host, context: ContextId, now: Moment) {
        // Only the living: the gateway would resume a dead exchange without complaint and then
        // fail over it.
        match self.exchanges.get_mut(&context) {
            Some(Exchange::Held { events, .. }) if *events > 1 => *events -= 1,
            Some(Exchange::Held { since, .. }) => {
                let since = *since;
                self.release(host, context, now.since(since));
            }
            _ => {}
        }
    }

    fn release(&mut self, host: &dyn Host, context: ContextId, held: Duration) {
        self.metrics.hold.record_time(host, held);
        self.exchanges.remove(&context);
        if host.act_for(context).is_ok() {
            // A refusal means that the answer is no longer held.
            let _ = host.resume(Side::Response);
        }
    }

    /// An event is not stored, and the answer waits no longer.
    fn abandon(&mut self, host: &dyn Host, context: ContextId, now: Moment) {
        match self.exchanges.get(&context) {
            Some(Exchange::Held { strict: true, since, .. }) => {
                self.metrics.hold.record_time(host, now.since(*since));
                self.exchanges.remove(&context);
                if host.act_for(context).is_ok() && !self.replace(host) {
                    // It can't be held for ever.
                    self.metrics.at_risk.add(host, 1);
                    let _ = host.resume(Side::Response);
                }
            }
            Some(Exchange::Held { strict: false, since, .. }) => {
                let held = now.since(*since);
                self.metrics.at_risk.add(host, 1);
                self.release(host, context, held);
            }
            _ => {}
        }
    }

    /// Answers in place of the API, and says whether that worked.
    fn replace(&mut self, host: &dyn Host) -> bool {
        self.metrics.not_recorded.add(host, 1);
        host.reply(&NOT_RECORDED).is_ok()
    }

    fn finish(&mut self, host: &dyn Host) {
        let Life::Ends(end) = self.life else { return };
        let left = self.outbox.events();
        if left > 0 && now(host) < end {
            return;
        }
        if left > 0 {
            self.metrics.dropped.add(host, left);
            let text = format!("the plugin ended with {left} events that were not sent");
            host.log(Level::Error, &text);
            self.outbox = Outbox::new(self.config.buffer);
        }
        self.gone(host);
        // A gateway that does not listen is told again at the next tick.
        if host.act_for(self.root).and_then(|()| host.finished()).is_ok() {
            self.life = Life::Over;
        }
    }

    fn measure(&mut self, host: &dyn Host) {
        let held = self.exchanges.values();
        let held = held.filter(|exchange| matches!(exchange, Exchange::Held { .. })).count();
        self.metrics.held.set(host, held);
        self.metrics.buffered_events.set(host, self.outbox.events());
        self.metrics.buffered_bytes.set(host, self.outbox.bytes());
    }

    pub(super) fn report(&mut self, host: &dyn Host, verdict: Verdict, refused: usize) {
        let (complaint, level, text) = match verdict {
            Verdict::Committed => return,
            Verdict::Refused(_) if refused == 0 => return,
            Verdict::Refused(status) => {
                let text = format!("the sidecar refused an event with status {status}; it is lost");
                (Complaint::Refused, Level::Error, text)
            }
            Verdict::Failed(failure) => {
                self.metrics.failures.add(host, 1);
                explain(failure)
            }
        };
        self.complain(host, complaint, level, &text);
    }
}

fn explain(failure: Failure) -> (Complaint, Level, String) {
    let outage = |why: String| {
        let text = format!("events are not stored for now: {why}; they are kept and sent again");
        (Complaint::Outage, Level::Warn, text)
    };
    match failure {
        Failure::Unauthorized => (
            Complaint::Unauthorized,
            Level::Error,
            "the sidecar does not accept sidecar.token; events are kept and sent again".into(),
        ),
        Failure::Status(status) => outage(format!("the sidecar's answer was {status}")),
        Failure::Silence => outage("the sidecar did not answer".into()),
        Failure::Unsent(status) => {
            outage(format!("the gateway refused the call with status {status}"))
        }
    }
}
