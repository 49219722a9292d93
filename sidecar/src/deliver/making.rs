//! Makes the payloads that scripts have not made yet: those of scripts that are slow, of
//! deliveries that were redriven since the script changed, and of events that are replayed.
//!
//! Here a script has all the time that scripts have, but no more than a part of the processors, on
//! a thread that steps back, and its own subscription's turns: whoever is slow waits for himself.
//!
//! Invariant: a script that reached a limit of the sandbox [`TRIES`] times in a row is left alone
//! for a while; what it was to make meanwhile is a dead letter at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sidehook_event::{Event, UnixMicros};
use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    model::{
        Cause, Death, Delivery, DeliveryId, Page, PageRequest, Payload, ScriptVersion, State,
        Subscription, SubscriptionId, Successor,
    },
    store::{self, DeliveryFilter, Store},
    trace::Tracer,
    transform::{
        Rendered, Renderer, Scripts, aside, sandbox::thread_time, scripts::half_of_the_processors,
        version_of,
    },
};

/// How often in a row a script may reach a limit of the sandbox.
const TRIES: u32 = 3;
/// How long it is left alone then.
const REST: Duration = Duration::from_secs(10);

/// Makes payloads.
#[derive(Debug)]
pub struct Maker {
    scripts: Arc<Scripts>,
    tracer: Tracer,
    places: Semaphore,
    killed: Mutex<HashMap<ScriptVersion, Killed>>,
}

/// How a script fared.
#[derive(Debug, Default)]
struct Killed {
    in_a_row: u32,
    rests_until: UnixMicros,
}

impl Maker {
    /// Makes them with these scripts, and tells `tracer` of it.
    pub fn new(scripts: Arc<Scripts>, tracer: Tracer) -> Self {
        let places = Semaphore::new(half_of_the_processors());
        Self { scripts, tracer, places, killed: Mutex::default() }
    }

    /// What the subscription is sent of the event; `None` if there is no way to run scripts at
    /// the moment.
    pub(super) async fn make(
        &self,
        event: Event,
        subscription: Arc<Subscription>,
        clock: &dyn Clock,
    ) -> Option<Rendered> {
        // Whoever holds one never closes it.
        let _place = self.places.acquire().await.ok()?;
        let version = version_of(&self.scripts, subscription.script.as_ref());
        if let Some(version) = version.filter(|version| self.rests(*version, clock.now())) {
            return Some(left_alone(version));
        }
        let (scripts, event) = (Arc::clone(&self.scripts), Arc::new(event));
        let making = {
            let event = Arc::clone(&event);
            move || {
                let started = thread_time();
                let made = Renderer::new(&event).make(&subscription, &scripts);
                let took = thread_time().saturating_sub(started);
                scripts.metrics().took(took);
                made.map(|(rendered, is_killed)| (rendered, is_killed, took))
            }
        };
        match aside(making).await {
            Ok(Ok((rendered, is_killed, took))) => {
                if let Some(version) = version {
                    self.note(version, is_killed, clock.now());
                    self.tracer.ran(&event, version, took, rendered.outcome(), clock);
                }
                Some(rendered)
            }
            Ok(Err(unavailable)) => {
                tracing::warn!(reason = %unavailable, "a script cannot be run");
                None
            }
            Err(broken) => {
                tracing::error!(error = %broken, "a script was not run");
                None
            }
        }
    }

    fn rests(&self, version: ScriptVersion, now: UnixMicros) -> bool {
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        killed.get(&version).is_some_and(|known| now < known.rests_until)
    }

    fn note(&self, version: ScriptVersion, is_killed: bool, now: UnixMicros) {
        let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_killed {
            killed.remove(&version);
            return;
        }
        let known = killed.entry(version).or_default();
        known.in_a_row = known.in_a_row.saturating_add(1);
        if known.in_a_row >= TRIES {
            known.rests_until = now.after(REST);
        }
    }
}

/// Brings back what died of the script of this subscription: it is made anew, by the script that
/// it has now.
pub async fn redrive(
    store: &dyn Store,
    subscription_id: SubscriptionId,
    now: UnixMicros,
) -> store::Result<u64> {
    let dead = DeliveryFilter {
        state: Some(State::Dead),
        subscription_id: Some(subscription_id),
        event_id: None,
    };
    let (mut count, mut after) = (0, None);
    loop {
        let limit = PageRequest::<DeliveryId>::MAX_LIMIT;
        let Page { data, next } = store.deliveries(&dead, PageRequest { after, limit }).await?;
        let of_script = |delivery: &&Delivery| {
            delivery.death.as_ref().is_some_and(|death| death.cause == Cause::Script)
        };
        let ids: Vec<_> = data.iter().filter(of_script).map(|delivery| delivery.id).collect();
        if !ids.is_empty() {
            count += store.redrive(&ids, now).await?;
        }
        after = next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

fn left_alone(version: ScriptVersion) -> Rendered {
    let error = format!("was not run: it reached a limit of the sandbox {TRIES} times in a row");
    let end = Some(Successor::Dead(Death { cause: Cause::Script, error }));
    Rendered { payload: Payload::unmade(), script: Some(version), end }
}
