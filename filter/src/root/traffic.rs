//! The exchanges a gateway is carrying out: what is watched, kept and let pass.
//!
//! Invariant: an exchange that is not in `exchanges` always passes; an answer is kept only while
//! something is certain to let it go.

use std::time::Duration;

use super::{Active, Complaint, Exchange, now};
use crate::{
    capture::Reason,
    config::Capture,
    exchange::{Opening, Shows, Step, Watch, open, why_unmatched},
    host::{Action, ContextId, Host, Level, Side},
    outbox::MAX_COMPANY,
};

/// So long without a body makes one suspect that bodies are not shown while headers are kept.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// So many suspicions make sure. One alone may be an API that is slow to begin its body.
const CONVINCING: usize = 3;

impl Active {
    pub(super) fn request_headers(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        ended: bool,
    ) -> Action {
        // A context of the same number can only be one whose end was not reported.
        self.forget(host, context);
        let opening = open(host, &self.config, ended);
        if let Opening::Ignored = opening {
            return Action::Continue;
        }
        self.metrics.seen.add(1);
        let exchange = match opening {
            Opening::Ignored => return Action::Continue,
            Opening::Lost(reason) => {
                self.metrics.missed(reason);
                return Action::Continue;
            }
            Opening::Watched(watch) if watch.capture == Capture::Strict => {
                return self.admit(host, context, watch);
            }
            Opening::Unmatched => Exchange::Unmatched,
            Opening::Watched(watch) => Exchange::Watched(watch),
        };
        self.exchanges.insert(context, exchange);
        Action::Continue
    }

    pub(super) fn request_body(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        size: usize,
        ended: bool,
    ) -> Action {
        if let Some(Exchange::Asking(_)) = self.exchanges.get(&context) {
            return Action::KeepBody;
        }
        self.copy(host, context, Side::Request, size, ended);
        Action::Continue
    }

    pub(super) fn request_trailers(&mut self, context: ContextId) -> Action {
        match self.exchanges.get_mut(&context) {
            Some(Exchange::Asking(_)) => return Action::Stop,
            Some(Exchange::Watched(watch)) => watch.request_trailers(),
            Some(Exchange::Unmatched | Exchange::Held { .. }) | None => {}
        }
        Action::Continue
    }

    pub(super) fn response_headers(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        ended: bool,
    ) -> Action {
        let Some(exchange) = self.exchanges.get_mut(&context) else {
            return Action::Continue;
        };
        let now = now(host);
        self.latest = now;
        let unix_nanos = self.wall.unix_nanos(now);
        let step = match exchange {
            Exchange::Held { .. } => return Action::StopAll,
            // An answer before the request went on is not the API's.
            Exchange::Asking(_) => Err(Reason::LocalReply),
            Exchange::Unmatched => Err(why_unmatched(host)),
            Exchange::Watched(watch) => watch.answer(host, ended, self.shows, unix_nanos),
        };
        match step {
            Err(reason) => {
                self.metrics.missed(reason);
                self.remove(context);
                Action::Continue
            }
            Ok(Step::Emit) if self.emit_kept(host, context) => Action::StopAll,
            Ok(Step::Keep) => {
                if let Some(Exchange::Watched(watch)) = self.exchanges.get_mut(&context) {
                    watch.since = now;
                }
                Action::Stop
            }
            Ok(Step::Emit | Step::Pass) => Action::Continue,
        }
    }

    pub(super) fn response_body(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        size: usize,
        ended: bool,
    ) -> Action {
        self.copy(host, context, Side::Response, size, ended);
        self.answer_went_on(host, context, ended, Action::KeepBody)
    }

    pub(super) fn response_trailers(&mut self, host: &dyn Host, context: ContextId) -> Action {
        self.answer_went_on(host, context, true, Action::Stop)
    }

    pub(super) fn forget(&mut self, host: &dyn Host, context: ContextId) {
        match self.remove(context) {
            // The API did accept it, and part of the answer may even have reached the client.
            Some(Exchange::Watched(watch)) if watch.is_accepted() => {
                self.emit(host, watch.seen, None);
            }
            Some(Exchange::Watched(_) | Exchange::Asking(_) | Exchange::Unmatched) => {
                self.metrics.missed(Reason::NoAnswer);
            }
            Some(Exchange::Held { .. }) | None => {}
        }
    }

    /// Makes the events of answers whose end has been waited for long enough. What the gateway
    /// keeps of them goes on waiting for the commit; what finds no room is let go or replaced, no
    /// more of them than one callback may, the others at the next tick.
    pub(super) fn emit_stalled(&mut self, host: &dyn Host) {
        let now = now(host);
        let patience = match self.shows {
            Shows::Bodies => self.config.hold_timeout / 2,
            Shows::Unknown | Shows::Nothing => SUSPICIOUS.min(self.config.hold_timeout / 2),
        };
        let stalled = |watch: &Watch| watch.is_waiting() && now.since(watch.since) >= patience;
        let exchanges = self.exchanges.iter();
        let stalled: Vec<ContextId> = exchanges
            .filter_map(|(context, exchange)| match exchange {
                Exchange::Watched(watch) if stalled(watch) => Some(*context),
                _ => None,
            })
            .take(MAX_COMPANY)
            .collect();
        self.stalled = self.stalled.saturating_add(stalled.len());
        if self.shows == Shows::Unknown && self.stalled >= CONVINCING {
            self.shows = Shows::Nothing;
            let text = "no body came while its headers were held, so answers are captured without \
                        their bodies from now on; set allow_on_headers_stop_iteration: true in \
                        the plugin's configuration (Envoy 1.35 or later)";
            self.complain(host, Complaint::HeadersStop, Level::Error, text);
        }
        for context in stalled {
            // The turn is the plugin's, but what is answered or let go is the exchange's.
            if host.act_for(context).is_err() {
                self.forget(host, context);
            } else if !self.emit_kept(host, context) && host.act_for(context).is_ok() {
                // A refusal means that the answer is no longer held.
                let _ = host.resume(Side::Response);
            }
        }
    }

    fn answer_went_on(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        ended: bool,
        keep: Action,
    ) -> Action {
        let step = match self.exchanges.get_mut(&context) {
            None | Some(Exchange::Unmatched | Exchange::Asking(_)) => return Action::Continue,
            Some(Exchange::Held { .. }) => return keep,
            Some(Exchange::Watched(watch)) => {
                if watch.is_waiting() {
                    self.shows = Shows::Bodies;
                }
                watch.answer_went_on(ended)
            }
        };
        let kept = match step {
            Step::Pass => false,
            Step::Keep => true,
            Step::Emit => self.emit_kept(host, context),
        };
        if kept { keep } else { Action::Continue }
    }

    fn copy(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        side: Side,
        length: usize,
        ended: bool,
    ) {
        let room = self.outbox.room().saturating_sub(self.kept);
        if let Some(Exchange::Watched(watch)) = self.exchanges.get_mut(&context) {
            let before = watch.kept();
            watch.body(host, side, length, ended, room);
            let kept = self.kept.saturating_sub(before);
            self.kept = kept.saturating_add(watch.kept());
        }
    }

    pub(super) fn remove(&mut self, context: ContextId) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&context)?;
        if let Exchange::Watched(watch) = &exchange {
            self.kept = self.kept.saturating_sub(watch.kept());
        }
        Some(exchange)
    }
}
