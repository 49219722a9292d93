//! Compiles a script and runs it on events.
//!
//! Invariant: each run begins with the script's own text and one event; nothing of an earlier run
//! is left to it.

use std::{cell::RefCell, fmt, rc::Rc};

use rhai::{
    AST, Blob, CallFnOptions, Dynamic, Engine, EvalAltResult, Scope, packages::Package as _,
    packages::StandardPackage,
};

use crate::{
    explain,
    input::Input,
    library, limits,
    outcome::{Fault, Outcome, Report, shortened},
};

/// The function that a script may have instead of a value of its own.
const ENTRY: &str = "transform";
/// The most lines that are kept of what a watched run prints, and the most bytes of all.
const LONGEST_LOG: (usize, usize) = (100, 16 * 1024);
/// The most bytes of a body.
const LONGEST_BODY: usize = 1 << 20;

/// How scripts are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// Steps are counted, and what is printed is kept. It costs time.
    pub watched: bool,
    /// Rhai's own limits are lifted: whoever is outside has to limit time and memory.
    pub unlimited: bool,
}

/// One script at a time, ready to be run.
pub struct Machine {
    engine: Engine,
    script: Option<Script>,
    watch: Option<Rc<RefCell<Watch>>>,
}

struct Script {
    source: String,
    ast: AST,
    /// How many parameters its [`ENTRY`] has, if there is one.
    entry: Option<usize>,
    reads_subscription: bool,
}

#[derive(Default)]
struct Watch {
    operations: u64,
    log: Vec<String>,
    bytes: usize,
}

/// What ends a run early, and how.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Drop(String),
    Send(Box<Message>),
}

/// A body and what goes with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) body: Dynamic,
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(Mode::default())
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// One without a script.
    pub fn new(mode: Mode) -> Self {
        let mut engine = Engine::new_raw();
        engine.register_global_module(StandardPackage::new().as_shared_module());
        // What is run must be what was looked at.
        engine.disable_symbol("eval").set_strict_variables(true);
        library::register(&mut engine);
        if mode.unlimited {
            limits::lift(&mut engine);
        } else {
            limits::set(&mut engine);
        }
        let watch = mode.watched.then(|| watch(&mut engine));
        if watch.is_none() {
            engine.on_print(|_| {}).on_debug(|_, _, _| {});
        }
        Self { engine, script: None, watch }
    }

    /// Takes this script from now on; none, if it is wrong.
    pub fn compile(&mut self, source: &str) -> Outcome {
        self.script = None;
        let seen = scope(Dynamic::UNIT, Dynamic::UNIT);
        let ast = match self.engine.compile_with_scope(&seen, source) {
            Ok(ast) => ast,
            Err(error) => return Outcome::Failed(explain::parsing(&error, source)),
        };
        let entry = ast.iter_functions().find(|function| function.name == ENTRY);
        let entry = entry.map(|function| function.params.len());
        if entry.is_some_and(|parameters| !(1..=2).contains(&parameters)) {
            let fault = Fault::new(
                "transform must have one parameter, the event, or two, the \
                event and the subscription",
            );
            return Outcome::Failed(fault);
        }
        let reads_subscription = entry == Some(2) || source.contains("subscription");
        let source = source.to_owned();
        self.script = Some(Script { source, ast, entry, reads_subscription });
        Outcome::Ready
    }

    /// Runs the script on the event of `input`, JSON: `{"event", "subscription", "same"}`.
    pub fn run(&mut self, input: &[u8]) -> Report {
        if let Some(watch) = &self.watch {
            watch.take();
        }
        let reads = self.script.as_ref().is_some_and(|script| script.reads_subscription);
        let report = match self.outcome(input) {
            Ok(report) => report,
            Err(fault) => Outcome::Failed(fault).into(),
        };
        let report = Report { reads_subscription: reads, ..report };
        let Some(watch) = &self.watch else { return report };
        let Watch { operations, log, .. } = watch.take();
        Report { operations: Some(operations), log, ..report }
    }

    fn outcome(&self, input: &[u8]) -> Result<Report, Fault> {
        let script = self.script.as_ref().ok_or_else(|| Fault::new("there is no script"))?;
        let Input { event, subscription, .. } = Input::read(input)
            .map_err(|error| Fault::new(format!("the event cannot be read: {error}")))?;
        let value = script
            .run(&self.engine, event, subscription)
            .map_err(|error| explain::running(*error, &script.source))?;
        let message = match value.try_cast_result::<Verdict>() {
            Ok(Verdict::Drop(reason)) => {
                return Ok(Outcome::Dropped { reason: shortened(reason) }.into());
            }
            Ok(Verdict::Send(message)) => *message,
            Err(body) => Message { body, ..Message::default() },
        };
        sent(message)
    }
}

impl Script {
    fn run(
        &self,
        engine: &Engine,
        event: Dynamic,
        subscription: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let result = match self.entry {
            None => {
                let mut scope = scope(event, subscription);
                engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast)
            }
            Some(parameters) => {
                let mut scope = scope(Dynamic::UNIT, Dynamic::UNIT);
                let mut arguments = vec![event, subscription];
                arguments.truncate(parameters);
                let options = CallFnOptions::new();
                let ast = &self.ast;
                engine.call_fn_with_options(options, &mut scope, ast, ENTRY, arguments)
            }
        };
        result.or_else(|error| exit(*error).map_err(Box::new))
    }
}

/// What `drop` and `send` end a script with, from wherever in it they are called.
fn exit(error: EvalAltResult) -> Result<Dynamic, EvalAltResult> {
    match error {
        EvalAltResult::Exit(value, _) => Ok(value),
        EvalAltResult::ErrorInFunctionCall(name, source, inner, position) => {
            exit(*inner).map_err(|inner| {
                EvalAltResult::ErrorInFunctionCall(name, source, Box::new(inner), position)
            })
        }
        error => Err(error),
    }
}

fn scope(event: Dynamic, subscription: Dynamic) -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push_dynamic("event", event).push_dynamic("subscription", subscription);
    scope
}

/// A blob is sent as it is, and so is a text that is said to be something else than JSON; all
/// else is sent as JSON.
fn sent(message: Message) -> Result<Report, Fault> {
    let Message { body, content_type, headers } = message;
    if body.is_unit() {
        let message = "came to no value: end it with what is to be sent, without a semicolon, or \
            call drop(reason)";
        return Err(Fault::new(message));
    }
    let is_json = content_type.as_deref().is_none_or(is_json);
    let (bytes, usual) = if body.is_blob() {
        (body.cast::<Blob>(), "application/octet-stream")
    } else if body.is_string() && !is_json {
        (body.cast::<rhai::ImmutableString>().as_bytes().to_vec(), "text/plain; charset=utf-8")
    } else {
        let written = serde_json::to_vec(&library::json::Plain(&body))
            .map_err(|error| Fault::new(format!("cannot be sent: {error}")))?;
        (written, "application/json")
    };
    if bytes.len() > LONGEST_BODY {
        return Err(Fault::new(format!(
            "came to {} bytes, more than the 1 MiB that are sent",
            bytes.len()
        )));
    }
    let content_type = content_type.unwrap_or_else(|| usual.to_owned());
    Ok(Report { body: bytes, ..Outcome::Send { content_type, headers }.into() })
}

fn is_json(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name == "application/json" || name.ends_with("+json")
}

fn watch(engine: &mut Engine) -> Rc<RefCell<Watch>> {
    let watch = Rc::new(RefCell::new(Watch::default()));
    let counted = Rc::clone(&watch);
    engine.on_progress(move |operations| {
        counted.borrow_mut().operations = operations;
        None
    });
    let printed = Rc::clone(&watch);
    engine.on_print(move |text| printed.borrow_mut().print(text));
    let printed = Rc::clone(&watch);
    engine.on_debug(move |text, _, position| {
        printed.borrow_mut().print(&format!("{position}: {text}"));
    });
    watch
}

impl Watch {
    fn print(&mut self, text: &str) {
        let (lines, bytes) = LONGEST_LOG;
        if self.log.len() < lines && self.bytes < bytes {
            let line = shortened(text.to_owned());
            self.bytes += line.len();
            self.log.push(line);
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
