//! What each subscription is sent of one event.
//!
//! Invariant: subscriptions that differ in nothing that is sent share the bytes, and a script runs
//! once for all of them that it cannot tell apart.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Value, value::RawValue};
use sidehook_event::Event;

use super::{
    data::{self, Source},
    document::Document,
    payload::Layout,
    sandbox::{Unavailable, thread_time},
    scripts::{BRISK, Scripts, Transformed},
};
use crate::{
    clock::Clock,
    model::{Cause, Death, Payload, Script, ScriptChoice, ScriptVersion, Subscription, Successor},
    trace::{ScriptOutcome, Tracer},
};

/// How long all the scripts that are not brisk may take of the events that are dispatched together.
const ALL_MOMENTS: Duration = Duration::from_millis(10);

/// Renders the payloads of one event.
#[derive(Debug)]
pub struct Renderer<'a> {
    event: &'a Event,
    data: Box<RawValue>,
    source: Source,
    plain: BTreeMap<&'static str, Payload>,
    document: OnceCell<Document>,
    value: OnceCell<Value>,
    scripted: HashMap<ScriptVersion, Transformed>,
}

/// What a subscription is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// This; or it is still to be made.
    pub payload: Payload,
    /// The version of the script that was run.
    pub script: Option<ScriptVersion>,
    /// How it ended already: the script dropped it, or failed.
    pub end: Option<Successor>,
}

impl Rendered {
    /// What the script came to.
    pub fn outcome(&self) -> ScriptOutcome {
        match &self.end {
            None | Some(Successor::Delivered | Successor::Retry(_)) => ScriptOutcome::Made,
            Some(Successor::Filtered(_)) => ScriptOutcome::Dropped,
            Some(Successor::Dead(_)) => ScriptOutcome::Failed,
        }
    }
}

/// The time that scripts may take while others wait.
#[derive(Debug)]
pub struct Haste<'a> {
    scripts: &'a Scripts,
    clock: &'a dyn Clock,
    tracer: &'a Tracer,
    left: Duration,
}

/// What a script that was run now came to, whether other subscriptions share it, and how long it
/// took.
struct Hasty {
    transformed: Transformed,
    is_shared: bool,
    took: Duration,
}

impl<'a> Haste<'a> {
    /// For the events that are dispatched together.
    pub fn new(scripts: &'a Scripts, clock: &'a dyn Clock, tracer: &'a Tracer) -> Self {
        Self { scripts, clock, tracer, left: ALL_MOMENTS }
    }

    /// Runs a script now; `None` if it is to be run later.
    fn run(&mut self, script: &Script, input: &[u8]) -> Option<Hasty> {
        let now = self.clock.now();
        if self.left.is_zero() || !self.scripts.is_brisk(script, now) {
            return None;
        }
        let started = thread_time();
        let ran = self.scripts.briefly(script, input);
        let took = thread_time().saturating_sub(started);
        self.scripts.metrics().took(took);
        if took > BRISK {
            self.left = self.left.saturating_sub(took);
            let is_broken_off = matches!(ran, Ok(None));
            self.scripts.took_long(script, is_broken_off, now);
        } else {
            self.scripts.was_brisk(script);
        }
        // Without a sandbox it waits for one.
        let (transformed, is_shared) = ran.ok().flatten()?;
        Some(Hasty { transformed, is_shared, took })
    }
}

impl<'a> Renderer<'a> {
    /// Prepares what all payloads of the event have in common.
    pub fn new(event: &'a Event) -> Self {
        let (data, source) = data::found(event);
        Self {
            event,
            data,
            source,
            plain: BTreeMap::new(),
            document: OnceCell::new(),
            value: OnceCell::new(),
            scripted: HashMap::new(),
        }
    }

    /// Whether the subscription wants the event, as far as its filter says.
    pub fn is_wanted(&self, subscription: &Subscription) -> bool {
        let value = || self.value.get_or_init(|| self.document().value());
        subscription.filter.as_ref().is_none_or(|filter| filter.matches(value()))
    }

    /// What this subscription is sent, made while others wait.
    pub fn render(&mut self, subscription: &Subscription, haste: &mut Haste<'_>) -> Rendered {
        let Some(choice) = &subscription.script else { return self.plain(subscription) };
        let script = match haste.scripts.chosen(choice) {
            Ok(script) => script,
            Err(reason) => return failed(None, reason),
        };
        if let Some(known) = self.scripted.get(&script.version) {
            return self.rendered(subscription, script.version, known.clone());
        }
        let input = self.document().input(Some(subscription));
        let Some(Hasty { transformed, is_shared, took }) = haste.run(&script, &input) else {
            return later();
        };
        if is_shared {
            self.scripted.insert(script.version, transformed.clone());
        }
        let rendered = self.rendered(subscription, script.version, transformed);
        haste.tracer.ran(self.event, script.version, took, rendered.outcome(), haste.clock);
        rendered
    }

    /// What this subscription is sent; if it has a script, that is still to be made.
    pub fn render_later(&mut self, subscription: &Subscription) -> Rendered {
        if subscription.script.is_some() { later() } else { self.plain(subscription) }
    }

    /// What this subscription is sent, however long its script takes. Says too whether the script
    /// reached a limit of the sandbox.
    pub fn make(
        &mut self,
        subscription: &Subscription,
        scripts: &Scripts,
    ) -> Result<(Rendered, bool), Unavailable> {
        let Some(choice) = &subscription.script else {
            return Ok((self.plain(subscription), false));
        };
        let script = match scripts.chosen(choice) {
            Ok(script) => script,
            Err(reason) => return Ok((failed(None, reason), false)),
        };
        let transformed = scripts.run(&script, &self.document().input(Some(subscription)))?;
        let is_killed = matches!(transformed, Transformed::Killed(_));
        Ok((self.rendered(subscription, script.version, transformed), is_killed))
    }

    /// What a script is handed of the event.
    pub fn input(&self, subscription: Option<&Subscription>) -> Vec<u8> {
        self.document().input(subscription)
    }

    fn plain(&mut self, subscription: &Subscription) -> Rendered {
        let layout = Layout { event: self.event, data: &self.data };
        let (format, custom) = (subscription.format, &subscription.custom_payload);
        let payload = if custom.is_empty() {
            let plain = self.plain.entry(format.name());
            plain.or_insert_with(|| layout.lay_out(format, custom)).clone()
        } else {
            layout.lay_out(format, custom)
        };
        Rendered { payload, script: None, end: None }
    }

    fn rendered(
        &self,
        subscription: &Subscription,
        version: ScriptVersion,
        transformed: Transformed,
    ) -> Rendered {
        let script = Some(version);
        match transformed {
            Transformed::Made(payload) => {
                let payload = self.with_headers(subscription, payload);
                Rendered { payload, script, end: None }
            }
            Transformed::Dropped(reason) => {
                let end = Some(Successor::Filtered(reason));
                Rendered { payload: Payload::unmade(), script, end }
            }
            Transformed::Failed(reason) | Transformed::Killed(reason) => failed(script, reason),
        }
    }

    /// With those of the format, which a script cannot set.
    fn with_headers(&self, subscription: &Subscription, payload: Payload) -> Payload {
        let mut headers =
            Layout { event: self.event, data: &self.data }.headers(subscription.format);
        if headers.is_empty() {
            return payload;
        }
        headers.extend(payload.headers.iter().cloned());
        Payload { headers: headers.into(), ..payload }
    }

    fn document(&self) -> &Document {
        self.document.get_or_init(|| Document::of(self.event, &self.data, self.source))
    }
}

/// The script that a subscription names, if it names one.
pub fn version_of(scripts: &Scripts, choice: Option<&ScriptChoice>) -> Option<ScriptVersion> {
    choice.and_then(|choice| scripts.chosen(choice).ok()).map(|script| script.version)
}

fn later() -> Rendered {
    Rendered { payload: Payload::unmade(), script: None, end: None }
}

fn failed(script: Option<ScriptVersion>, error: String) -> Rendered {
    let end = Some(Successor::Dead(Death { cause: Cause::Script, error }));
    Rendered { payload: Payload::unmade(), script, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{event, subscription};

    #[test]
    fn subscriptions_that_differ_in_nothing_sent_share_the_bytes() {
        let event = event("people.created", b"", b"{\"id\":42}");
        let mut renderer = Renderer::new(&event);
        let first = renderer.render_later(&subscription(1, "*"));
        let second = renderer.render_later(&subscription(2, "created"));
        assert_eq!(first.payload.body.as_ptr(), second.payload.body.as_ptr());
    }
}
