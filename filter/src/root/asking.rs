//! Writes on strict routes, which go on to the API only while events can be stored.
//!
//! Invariant: a request that is kept is let go, or refused, when the sidecar's answer is there or
//! given up; nobody is refused for another reason than that events can't be stored.

use super::{Active, Exchange, now};
use crate::{
    emit::{self, Failure, Verdict},
    exchange::Watch,
    health::Outlook,
    host::{Action, ContextId, Host, Moment, Reply, Side},
    outbox::MAX_COMPANY,
};

/// The answer to a write on a strict route while no event can be stored.
const NOT_FORWARDED: Reply = Reply {
    status: 503,
    details: "sidehook_events_cannot_be_stored",
    headers: &[("content-type", "application/problem+json"), ("retry-after", "1")],
    body: concat!(
        r#"{"type":"urn:sidehook:problem:write-not-forwarded","#,
        r#""title":"The write was not forwarded","status":503,"#,
        r#""detail":"Events of writes cannot be stored at the moment, so this write was refused "#,
        r#"before it reached the API. Nothing has changed; try again later."}"#,
    ),
};

impl Active {
    /// A write on a strict route: goes on, waits for the sidecar's word, or is refused.
    pub(super) fn admit(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        watch: Box<Watch>,
    ) -> Action {
        let now = now(host);
        match self.health.outlook(now) {
            Outlook::Bad => {}
            _ if self.outbox.is_full() => {}
            Outlook::Good => {
                self.exchanges.insert(context, Exchange::Watched(watch));
                return Action::Continue;
            }
            Outlook::Unknown => {
                self.ask(host, now);
                if self.health.is_asking() {
                    self.exchanges.insert(context, Exchange::Asking(watch));
                    self.asking.push_back(context);
                    return Action::StopAll;
                }
            }
        }
        let refused = host.act_for(context).is_ok() && host.reply(&NOT_FORWARDED).is_ok();
        if refused {
            self.metrics.not_forwarded.add(host, 1);
            self.ask(host, now);
            return Action::Stop;
        }
        self.exchanges.insert(context, Exchange::Watched(watch));
        Action::Continue
    }

    /// The question was answered.
    pub(super) fn told(&mut self, host: &dyn Host, verdict: Verdict) {
        let is_good = verdict == Verdict::Committed;
        let now = self.look(host);
        self.health.heard(now, is_good);
        if is_good {
            // What failed before need not wait any longer.
            self.outbox.hurry();
            self.pump(host);
        }
        self.report(host, verdict, 0);
        self.admit_all(host);
    }

    /// Gives up a question that is not answered.
    pub(super) fn give_up_asking(&mut self, host: &dyn Host, now: Moment) {
        if self.health.is_overdue(now, self.patience()) {
            self.told(host, Verdict::Failed(Failure::Silence));
        }
    }

    /// Lets go, or refuses, requests that waited for the sidecar's word: as many as one callback
    /// may, the others at the next tick. Whether there are others.
    pub(super) fn admit_all(&mut self, host: &dyn Host) -> bool {
        if self.health.is_asking() {
            return false;
        }
        let is_good = self.health.outlook(now(host)) == Outlook::Good && !self.outbox.is_full();
        for _ in 0..MAX_COMPANY {
            let Some(context) = self.asking.pop_front() else { return false };
            // Only those who are still there: others may have gone, or have a new exchange.
            match self.exchanges.remove(&context) {
                Some(Exchange::Asking(watch)) => self.admit_one(host, context, watch, is_good),
                Some(other) => drop(self.exchanges.insert(context, other)),
                None => {}
            }
        }
        !self.asking.is_empty()
    }

    fn admit_one(&mut self, host: &dyn Host, context: ContextId, watch: Box<Watch>, is_good: bool) {
        if host.act_for(context).is_err() {
            return;
        }
        if !is_good && host.reply(&NOT_FORWARDED).is_ok() {
            self.metrics.not_forwarded.add(host, 1);
            return;
        }
        self.exchanges.insert(context, Exchange::Watched(watch));
        // A refusal means that the request is no longer kept.
        let _ = host.resume(Side::Request);
    }

    /// Asks the sidecar whether it stores events, if it is time to.
    fn ask(&mut self, host: &dyn Host, now: Moment) {
        if !self.health.is_worth_asking(now) {
            return;
        }
        let for_root = host.act_for(self.root);
        match for_root.and_then(|()| emit::ask(host, &self.config.sidecar)) {
            Ok(token) => self.health.asked(token, now),
            Err(refusal) => {
                self.health.heard(now, false);
                let verdict = Verdict::Failed(Failure::Unsent(refusal.0));
                self.report(host, verdict, 0);
            }
        }
    }
}
