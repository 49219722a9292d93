//! Runs a subscription's script on an event, and says what it came to in the words of a delivery.
//!
//! While events are dispatched a script has a moment only, for the deliveries of all other
//! subscriptions wait: one that takes longer is known as slow for a while, and what it is to make
//! is made by the deliverer instead, in that subscription's own time (`deliver/making.rs`).
//!
//! Invariant: what a script made is sent, or nothing is: never what it should have made it of.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use http::HeaderValue;
use sidehook_event::UnixMicros;
use sidehook_script_engine::{Fault, Outcome, Report};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    library::Library,
    metrics::Metrics,
    sandbox::{self, Killed, Ran, Sandbox, Unavailable},
};
use crate::model::{Headers, Payload, Script, ScriptChoice, ScriptVersion};

/// How long a script may keep the other deliveries of its event waiting.
const MOMENT: Duration = Duration::from_millis(5);
/// How often a script must take longer than [`BRISK`] to be known as slow; once if it had to be broken
/// off.
const TIMES: u32 = 3;
/// So many brisk runs make good a long one, for once in a while the machine is to blame.
const MAKE_GOOD: u32 = 8;
/// How long that is remembered.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// A script that takes no longer keeps nobody waiting.
pub(super) const BRISK: Duration = Duration::from_millis(2);

/// What a script came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Transformed {
    /// This is to be sent.
    Made(Payload),
    /// Nothing is to be sent, for this reason.
    Dropped(String),
    /// It failed, for this reason.
    Failed(String),
    /// It reached a limit of the sandbox.
    Killed(String),
}

/// Runs scripts.
#[derive(Debug)]
pub struct Scripts {
    sandbox: Result<Sandbox, String>,
    library: Arc<Library>,
    trying: Arc<Semaphore>,
    slow: Mutex<HashMap<ScriptVersion, Slow>>,
    metrics: Metrics,
}

/// How often a script took long.
#[derive(Debug, Default)]
struct Slow {
    /// [`MAKE_GOOD`] for each time, less one for each brisk run since.
    points: u32,
    until: UnixMicros,
}

impl Slow {
    fn is_slow(&self) -> bool {
        self.points > (TIMES - 1) * MAKE_GOOD
    }
}

impl Scripts {
    /// Runs them in this sandbox, those of the library among them.
    pub fn new(sandbox: Result<Sandbox, Unavailable>, library: Arc<Library>) -> Self {
        let sandbox = sandbox.map_err(|error| error.to_string());
        let trying = Arc::new(Semaphore::new(half_of_the_processors()));
        Self { sandbox, library, trying, slow: Mutex::default(), metrics: Metrics::default() }
    }

    /// None at all: a script that is asked for waits.
    pub fn none() -> Self {
        Self::new(Err(Unavailable::NoEngine), Arc::default())
    }

    /// The sandbox.
    pub fn sandbox(&self) -> Result<&Sandbox, Unavailable> {
        self.sandbox.as_ref().map_err(|reason| Unavailable::Broken(reason.clone()))
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The ready-made scripts.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Waits until there is a place to try a script, while others are delivered.
    pub async fn place_to_try(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.trying).acquire_owned().await.ok()
    }

    /// The script that a subscription names.
    pub fn chosen(&self, choice: &ScriptChoice) -> Result<Script, String> {
        match choice {
            ScriptChoice::Own(script) => Ok(script.clone()),
            ScriptChoice::Library(name) => {
                let found = self.library.script(name);
                found.ok_or_else(|| format!("there is no script @{name} in the library"))
            }
        }
    }

    /// Whether a script may be run while others wait.
    pub(super) fn is_brisk(&self, script: &Script, now: UnixMicros) -> bool {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.get(&script.version).is_none_or(|known| known.until <= now || !known.is_slow())
    }

    /// Remembers that a script took long. Once that may have been the machine, or that an instance
    /// was made for it.
    pub(super) fn took_long(&self, script: &Script, is_broken_off: bool, now: UnixMicros) {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, known| now < known.until);
        let known = slow.entry(script.version).or_default();
        let times = if is_broken_off { TIMES } else { 1 };
        known.points = known.points.saturating_add(times * MAKE_GOOD);
        known.until = now.after(SLOW_FOR);
    }

    /// Makes good a part of what it took long before.
    pub(super) fn was_brisk(&self, script: &Script) {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slow.get_mut(&script.version) {
            known.points = known.points.saturating_sub(1);
        }
    }

    /// Runs a script for a moment; `None` if it took longer. Says too whether what it came to holds
    /// for every subscription.
    pub(super) fn briefly(
        &self,
        script: &Script,
        input: &[u8],
    ) -> Result<Option<(Transformed, bool)>, Unavailable> {
        let ran = match self.sandbox()?.run(script, input, MOMENT)? {
            Ran::Ended(report) => {
                let is_shared = !report.reads_subscription;
                Some((transformed(report), is_shared))
            }
            Ran::Killed(Killed::Time) => None,
            Ran::Killed(killed) => Some((killed_of(&killed), false)),
        };
        self.metrics.ran(ran.as_ref().map(|(transformed, _)| transformed));
        Ok(ran)
    }

    /// Runs a script for as long as scripts may run.
    pub fn run(&self, script: &Script, input: &[u8]) -> Result<Transformed, Unavailable> {
        let transformed = match self.sandbox()?.run(script, input, sandbox::TIME)? {
            Ran::Ended(report) => transformed(report),
            Ran::Killed(killed) => killed_of(&killed),
        };
        self.metrics.ran(Some(&transformed));
        Ok(transformed)
    }
}

/// As many as scripts may have at a time, where others have work to do.
pub fn half_of_the_processors() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

fn killed_of(killed: &Killed) -> Transformed {
    Transformed::Killed(in_words(&killed.fault(sandbox::TIME)))
}

/// What is sent of a report, if anything can be.
pub fn transformed(report: Report) -> Transformed {
    match report.outcome {
        Outcome::Dropped { reason } => Transformed::Dropped(reason),
        Outcome::Failed(fault) => Transformed::Failed(in_words(&fault)),
        Outcome::Ready => Transformed::Failed("came to nothing".to_owned()),
        Outcome::Send { content_type, headers } => {
            match payload(&content_type, &headers, report.body) {
                Ok(payload) => Transformed::Made(payload),
                Err(reason) => Transformed::Failed(reason),
            }
        }
    }
}

fn payload(
    content_type: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<Payload, String> {
    if content_type.trim().is_empty() || HeaderValue::from_str(content_type).is_err() {
        return Err("the content_type is none that can be sent".to_owned());
    }
    let headers = headers.iter().map(|(name, value)| (&**name, &**value));
    let headers =
        Headers::parse(headers).map_err(|(name, flaw)| format!("header {name} {flaw}"))?;
    let headers = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let headers = headers.filter(|(name, _)| name != "content-type").collect();
    Ok(Payload { content_type: content_type.into(), headers, body: body.into() })
}

/// `line 3, column 5: Function not found: a (i64); push changes the array`.
pub fn in_words(fault: &Fault) -> String {
    let Fault { message, line, column, hint } = fault;
    let place = match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!("line {line}: "),
        (line, column) => format!("line {line}, column {column}: "),
    };
    let hint = hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    format!("{place}{message}{hint}")
}
