//! A gateway that does what it is told, and remembers what it was asked to do.
//!
//! Invariant: like the real one it shows a request's headers in the request's phase only, makes
//! calls for the root context alone, and agrees to act for contexts that are gone.

#![expect(clippy::unwrap_used, reason = "a fake gateway that can't go on has to end the test")]
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod questions;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use sidehook_event::{Event, wire};
use sidehook_filter::{
    contexts::Contexts,
    host::{
        Action, Call, ContextId, Host, Kind, Level, MetricId, Moment, Refusal, Reply, Side, Token,
    },
    pairs::Fields,
};

pub(crate) const ROOT: ContextId = ContextId(1);

/// A call that the filter made.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) cluster: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) context: Option<ContextId>,
}

/// The host's side.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) config: RefCell<Vec<u8>>,
    pub(crate) now: Cell<Duration>,
    pub(crate) phase: Cell<Option<Side>>,
    pub(crate) fields: RefCell<Fields>,
    pub(crate) chunk: RefCell<Vec<u8>>,
    pub(crate) details: RefCell<Vec<u8>>,
    pub(crate) status: RefCell<Option<Vec<u8>>>,
    pub(crate) context: Cell<Option<ContextId>>,
    pub(crate) refuses: RefCell<BTreeSet<&'static str>>,
    pub(crate) asked: RefCell<BTreeMap<&'static str, usize>>,
    pub(crate) sent: RefCell<Vec<Sent>>,
    pub(crate) resumed: RefCell<Vec<ContextId>>,
    pub(crate) forwarded: RefCell<Vec<ContextId>>,
    pub(crate) replies: RefCell<Vec<(ContextId, u32)>>,
    /// For whom it refused to act.
    pub(crate) declined: RefCell<Vec<ContextId>>,
    pub(crate) logs: RefCell<Vec<(Level, String)>>,
    pub(crate) names: RefCell<Vec<String>>,
    pub(crate) counts: RefCell<BTreeMap<String, i64>>,
    pub(crate) tick: Cell<Duration>,
    pub(crate) finished: Cell<usize>,
    random: Cell<u64>,
}

impl Fake {
    fn ask(&self, what: &'static str) -> Result<(), Refusal> {
        *self.asked.borrow_mut().entry(what).or_default() += 1;
        if self.refuses.borrow().contains(what) { Err(Refusal(10)) } else { Ok(()) }
    }

    fn ask_for(&self, what: &'static str, context: Option<ContextId>) -> Result<(), Refusal> {
        self.ask(what).inspect_err(|_| self.declined.borrow_mut().extend(context))
    }

    fn in_phase(&self, side: Side) -> Result<(), Refusal> {
        if self.phase.get() == Some(side) { Ok(()) } else { Err(Refusal(2)) }
    }
}

impl Host for Fake {
    fn log(&self, level: Level, text: &str) {
        self.logs.borrow_mut().push((level, text.to_owned()));
    }

    fn unix_nanos(&self) -> Result<u64, Refusal> {
        self.ask("unix_nanos")?;
        Ok(1_763_890_200_000_000_000 + u64::try_from(self.now.get().as_nanos()).unwrap())
    }

    fn moment(&self) -> Result<Moment, Refusal> {
        self.ask("moment")?;
        Ok(Moment(1_000_000_000).after(self.now.get()))
    }

    fn random(&self) -> Result<u64, Refusal> {
        self.ask("random")?;
        self.random.set(self.random.get() + 1);
        Ok(self.random.get())
    }

    fn configuration(&self, length: usize) -> Result<Vec<u8>, Refusal> {
        self.ask("configuration")?;
        Ok(self.config.borrow().iter().take(length).copied().collect())
    }

    fn header(&self, side: Side, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        self.ask("header")?;
        self.in_phase(side)?;
        Ok(self.fields.borrow().get(name).map(<[u8]>::to_vec))
    }

    fn headers(&self, side: Side) -> Result<Fields, Refusal> {
        self.ask("headers")?;
        self.in_phase(side)?;
        Ok(self.fields.borrow().clone())
    }

    fn body(&self, _: Side, length: usize) -> Result<Vec<u8>, Refusal> {
        self.ask("body")?;
        Ok(self.chunk.borrow().iter().take(length).copied().collect())
    }

    fn code_details(&self) -> Result<Vec<u8>, Refusal> {
        self.ask("code_details")?;
        Ok(self.details.borrow().clone())
    }

    fn call_status(&self) -> Result<Option<Vec<u8>>, Refusal> {
        self.ask("call_status")?;
        Ok(self.status.borrow().clone())
    }

    fn act_for(&self, context: ContextId) -> Result<(), Refusal> {
        self.ask_for("act_for", Some(context))?;
        self.context.set(Some(context));
        Ok(())
    }

    fn resume(&self, side: Side) -> Result<(), Refusal> {
        self.ask_for("resume", self.context.get())?;
        let resumed = match side {
            Side::Request => &self.forwarded,
            Side::Response => &self.resumed,
        };
        resumed.borrow_mut().extend(self.context.get());
        Ok(())
    }

    fn reply(&self, reply: &Reply) -> Result<(), Refusal> {
        self.ask("reply")?;
        let context = self.context.get().unwrap_or(ContextId(0));
        self.replies.borrow_mut().push((context, reply.status));
        Ok(())
    }

    fn call(&self, call: &Call<'_>) -> Result<Token, Refusal> {
        self.ask("call")?;
        let headers = call.headers.iter();
        self.sent.borrow_mut().push(Sent {
            cluster: call.cluster.to_owned(),
            headers: headers.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: call.body.to_vec(),
            context: self.context.get(),
        });
        Ok(Token(u32::try_from(self.sent.borrow().len()).unwrap()))
    }

    fn tick_every(&self, period: Duration) -> Result<(), Refusal> {
        self.ask("tick_every")?;
        self.tick.set(period);
        Ok(())
    }

    fn finished(&self) -> Result<(), Refusal> {
        self.ask("finished")?;
        self.finished.set(self.finished.get() + 1);
        Ok(())
    }

    fn define(&self, _: Kind, name: &str) -> Result<MetricId, Refusal> {
        self.ask("define")?;
        let mut names = self.names.borrow_mut();
        names.push(name.to_owned());
        Ok(MetricId(u32::try_from(names.len()).unwrap() - 1))
    }

    fn add(&self, metric: MetricId, amount: i64) -> Result<(), Refusal> {
        self.ask("add")?;
        assert_ne!(amount, 0, "the gateway refuses to add nothing");
        let name = self.names.borrow().get(metric.0 as usize).cloned();
        *self.counts.borrow_mut().entry(name.unwrap()).or_default() += amount;
        Ok(())
    }

    fn record(&self, _: MetricId, _: u64) -> Result<(), Refusal> {
        self.ask("record")
    }
}

/// The gateway: a host, and the filter in it.
pub(crate) struct Gateway {
    pub(crate) host: Fake,
    pub(crate) filter: Contexts,
    next: u32,
}

/// A configuration with one route for each capture mode, and one without the answer's body.
pub(crate) fn config() -> Value {
    json!({
        "gateway": "edge",
        "sidecar": {"cluster": "sidehook", "token": "t"},
        "routes": [
            {"resource": "people", "path": "/people", "body": {"max_bytes": 64}},
            {"resource": "thin", "path": "/thin", "body": {"response": false}},
            {"resource": "soft", "path": "/soft", "capture": "best_effort", "body": {"max_bytes": 64}},
            {"resource": "hard", "path": "/hard", "capture": "strict"},
            {"resource": "seen", "path": "/seen", "capture": "observe"},
        ],
    })
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self::with(&config())
    }

    pub(crate) fn with(config: &Value) -> Self {
        let mut gateway = Self { host: Fake::default(), filter: Contexts::default(), next: 100 };
        assert!(gateway.configure(ROOT, config), "{:?}", gateway.host.logs);
        gateway
    }

    /// Runs a plugin in the same virtual machine.
    pub(crate) fn configure(&mut self, root: ContextId, config: &Value) -> bool {
        *self.host.config.borrow_mut() = config.to_string().into_bytes();
        self.filter.create(root, None);
        let length = self.host.config.borrow().len();
        self.filter.configure(&self.host, root, length)
    }

    /// Begins a request without a body.
    pub(crate) fn begins(
        &mut self,
        root: ContextId,
        fields: &[(&str, &str)],
    ) -> (ContextId, Action) {
        self.next += 1;
        let context = ContextId(self.next);
        self.filter.create(context, Some(root));
        let ended = !fields.iter().any(|(name, _)| *name == "content-length");
        self.show(Some(Side::Request), context, fields);
        let action = self.filter.request_headers(&self.host, context, ended);
        (context, action)
    }

    /// A whole request.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &str) -> ContextId {
        let length = body.len().to_string();
        let mut fields = vec![(":method", method), (":path", path)];
        if !body.is_empty() {
            fields.push(("content-length", &length));
        }
        let (context, action) = self.begins(ROOT, &fields);
        if action == Action::StopAll {
            // A strict route asks first.
            self.sidecar(self.calls(), "204");
            assert_eq!(self.host.forwarded.borrow().last(), Some(&context));
        } else {
            assert_eq!(action, Action::Continue);
        }
        if !body.is_empty() {
            assert_eq!(self.chunk(context, Side::Request, body, true), Action::Continue);
        }
        context
    }

    pub(crate) fn post(&mut self, path: &str) -> ContextId {
        self.request("POST", path, "{\"name\":\"Ada\"}")
    }

    /// The head of the API's answer.
    pub(crate) fn answers(&mut self, context: ContextId, status: u16, ended: bool) -> Action {
        let status = status.to_string();
        self.answers_with(context, &[(":status", &status)], "via_upstream", ended)
    }

    pub(crate) fn answers_with(
        &mut self,
        context: ContextId,
        fields: &[(&str, &str)],
        details: &str,
        ended: bool,
    ) -> Action {
        self.show(Some(Side::Response), context, fields);
        *self.host.details.borrow_mut() = details.as_bytes().to_vec();
        self.filter.response_headers(&self.host, context, ended)
    }

    pub(crate) fn chunk(
        &mut self,
        context: ContextId,
        side: Side,
        chunk: &str,
        ended: bool,
    ) -> Action {
        *self.host.chunk.borrow_mut() = chunk.as_bytes().to_vec();
        self.enter(context);
        self.filter.body(&self.host, context, side, chunk.len(), ended)
    }

    pub(crate) fn trailers(&mut self, context: ContextId, side: Side) -> Action {
        self.enter(context);
        self.filter.trailers(&self.host, context, side)
    }

    /// A whole exchange with a body in the answer, up to where it is held.
    pub(crate) fn exchange(&mut self, path: &str) -> (ContextId, Action) {
        let context = self.post(path);
        self.answers(context, 201, false);
        let action = self.chunk(context, Side::Response, "{\"id\":7}", true);
        (context, action)
    }

    pub(crate) fn ends(&mut self, context: ContextId) {
        self.enter(context);
        self.filter.end(&self.host, context);
    }

    /// The sidecar answers the call with this number, counted from 1.
    pub(crate) fn sidecar(&mut self, call: u32, status: &str) {
        *self.host.status.borrow_mut() = (!status.is_empty()).then(|| status.as_bytes().to_vec());
        self.show(None, ROOT, &[]);
        self.filter.answered(&self.host, ROOT, Token(call));
    }

    /// Time passes, tick by tick.
    pub(crate) fn waits(&mut self, millis: u64) {
        for _ in 0..millis / 100 {
            self.host.now.set(self.host.now.get() + Duration::from_millis(100));
            self.enter(ROOT);
            self.filter.tick(&self.host, ROOT);
        }
    }

    /// All events of all calls, in the order of the calls.
    pub(crate) fn events(&self) -> Vec<Event> {
        let sent = self.host.sent.borrow();
        let sent = sent.iter().filter(|sent| !sent.body.is_empty());
        let batches = sent.map(|sent| wire::decode(sent.body.clone().into()).unwrap());
        batches.flatten().collect()
    }

    pub(crate) fn calls(&self) -> u32 {
        u32::try_from(self.host.sent.borrow().len()).unwrap()
    }

    pub(crate) fn resumed(&self) -> Vec<ContextId> {
        self.host.resumed.borrow().clone()
    }

    pub(crate) fn replies(&self) -> Vec<(ContextId, u32)> {
        self.host.replies.borrow().clone()
    }

    /// What was counted so far, which a tick tells.
    pub(crate) fn counted(&mut self, name: &str) -> i64 {
        self.enter(ROOT);
        self.filter.tick(&self.host, ROOT);
        self.told(name)
    }

    /// What the gateway was told of so far.
    pub(crate) fn told(&self, name: &str) -> i64 {
        let counts = self.host.counts.borrow();
        counts.get(&format!("sidehook.{name}")).copied().unwrap_or(0)
    }

    fn show(&mut self, phase: Option<Side>, context: ContextId, fields: &[(&str, &str)]) {
        self.enter(context);
        self.host.phase.set(phase);
        *self.host.fields.borrow_mut() = Fields::of(fields);
    }

    fn enter(&mut self, context: ContextId) {
        self.host.context.set(Some(context));
    }
}
