//! The language of the tests: `sidehook.post("/people", …)`, `receiver.answers([503, 200])`,
//! `receiver.got(2)`.
//!
//! Invariant: a helper that cannot do what it says returns an error that tells the last state
//! seen; none sleeps in the hope that something has happened meanwhile.

pub(crate) mod bare;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod upstream;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use xtask::{
    clock::Stopwatch,
    http::{Answer, Http},
    options, people, ports,
    receiver::{Receiver, Webhook},
    serving::Serving,
    stack::{Plan, Programs, Stack},
    tools::cargo::Build,
    workspace,
};

/// How long anything may take that should take a moment.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Tests that measure or strain run alone, the others beside each other.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// Shares the machine with other tests.
pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Has the machine to itself.
pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// The programs under test: those that `cargo xtask test` names, else built now.
pub(crate) async fn programs() -> Result<Programs> {
    static PROGRAMS: OnceCell<Programs> = OnceCell::const_new();
    PROGRAMS.get_or_try_init(|| Programs::ensure(Build::Tests)).await.cloned()
}

/// A stack under test.
pub(crate) struct Sidehook {
    pub(crate) stack: Stack,
    pub(crate) plan: Plan,
    pub(crate) http: Http,
    sample: Option<Serving>,
}

/// A subscription as it was created.
pub(crate) struct Subscription {
    pub(crate) secret: String,
}

/// Waits until the filter has told what it counted: it does so at its ticks, every 100 ms.
pub(crate) async fn all_told() {
    tokio::time::sleep(Duration::from_millis(250)).await;
}

impl Sidehook {
    /// One of the filter's counters, with all that was counted before this.
    pub(crate) async fn counted(&self, name: &str) -> Result<u64> {
        all_told().await;
        self.stack.stat(&format!("wasmcustom.sidehook.{name}")).await
    }

    /// A stack before the sample API.
    pub(crate) async fn before_people() -> Result<Self> {
        Self::before_people_with(|_| ()).await
    }

    /// A stack before the sample API that holds an answer for that long.
    pub(crate) async fn before_people_holding(limit: &str) -> Result<Self> {
        let argument = format!("--hold-timeout={limit}");
        Self::before_people_with(|plan| plan.gateway_arguments.push(argument)).await
    }

    /// A stack before the sample API, with its plan changed.
    pub(crate) async fn before_people_with(change: impl FnOnce(&mut Plan)) -> Result<Self> {
        let sample = Serving::start(people::api(), ports::free()?).await?;
        let mut sidehook = Self::before(&sample.url(), change).await?;
        sidehook.sample = Some(sample);
        Ok(sidehook)
    }

    /// A stack before another API, with its plan changed.
    pub(crate) async fn before(upstream: &str, change: impl FnOnce(&mut Plan)) -> Result<Self> {
        let mut plan = plan(upstream).await?;
        change(&mut plan);
        let stack = Stack::start(plan.clone()).await?;
        Ok(Self { stack, plan, http: Http::new(), sample: None })
    }

    /// A stack that is planned already: the same again on the store that it left, say.
    pub(crate) async fn reopen(plan: Plan) -> Result<Self> {
        let stack = Stack::start(plan.clone()).await?;
        Ok(Self { stack, plan, http: Http::new(), sample: None })
    }

    /// The sample API goes away, its connections too.
    pub(crate) fn lose_the_api(&mut self) {
        self.sample = None;
    }

    /// POST through the gateway.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.http.post(&self.plan.gateway_url(path), &body).await
    }

    /// PUT through the gateway.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Answer> {
        self.http.send(Method::PUT, &self.plan.gateway_url(path), Some(&body)).await
    }

    /// DELETE through the gateway.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        self.http.send(Method::DELETE, &self.plan.gateway_url(path), None).await
    }

    /// Subscribes a receiver.
    pub(crate) async fn subscribe(&self, receiver: &Receiver, event: &str) -> Result<Subscription> {
        self.subscribe_with(json!({"url": receiver.url(), "event_type": event})).await
    }

    /// Subscribes with everything said by the caller.
    pub(crate) async fn subscribe_with(&self, subscription: Value) -> Result<Subscription> {
        let url = self.plan.sidecar_url("/subscriptions/");
        let created = self.http.post(&url, &subscription).await?.accepted()?;
        let secret = created.get("secret").and_then(Value::as_str).map(str::to_owned);
        Ok(Subscription { secret: secret.context("a subscription without a secret")? })
    }

    /// Every event that is stored.
    pub(crate) async fn events(&self) -> Result<Vec<Value>> {
        self.all("/events").await
    }

    /// Every row of a list of the sidecar's API, page by page.
    pub(crate) async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let url = self.plan.sidecar_url(&format!("{path}{joint}limit=200{cursor}"));
            let page = self.http.get(&url).await?.accepted()?;
            let data = page.get("data").and_then(Value::as_array);
            rows.extend(data.context("a page without data")?.iter().cloned());
            match page.get("next").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// Waits until `done` holds for the events that are stored.
    pub(crate) async fn events_until(&self, done: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let start = Stopwatch::start();
        loop {
            let events = self.events().await?;
            if done(&events) {
                return Ok(events);
            }
            let seen = || events.iter().map(shown).collect::<Vec<_>>();
            ensure!(start.elapsed() < LIMIT, "after {LIMIT:?} there are only {:#?}", seen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a list of the sidecar's API has so many rows.
    pub(crate) async fn lists(&self, path: &str, count: usize) -> Result<()> {
        self.until(path, async || {
            let rows = self.all(path).await?.len();
            Ok(if rows == count { Ok(()) } else { Err(format!("{rows} rows, not {count}")) })
        })
        .await
    }

    /// Waits until `/readyz` answers with this status, and returns what it says.
    pub(crate) async fn is_ready(&self, status: u16) -> Result<String> {
        let url = self.plan.sidecar_url("/readyz");
        self.until("/readyz", async || {
            let answer = self.http.get(&url).await?;
            let said = answer.to_string();
            Ok(if answer.status == status { Ok(said) } else { Err(said) })
        })
        .await
    }

    /// Waits until the first sidecar says that its broker is there, or that it is away.
    pub(crate) async fn has_its_broker(&self, there: bool) -> Result<()> {
        let url = self.plan.sidecar_url("/readyz");
        self.until("the broker", async || {
            let said = self.http.get(&url).await?.accepted()?;
            let away = said.get("queue").is_some();
            Ok(if away == there { Err(said.to_string()) } else { Ok(()) })
        })
        .await
    }

    /// Restarts the broker in order, before it is killed. Killed within seconds of their making,
    /// quorum queues are broken for good (RabbitMQ 3.10 knows of them and has no log of theirs).
    pub(crate) async fn settles_its_broker(&mut self) -> Result<()> {
        let broker = self.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")?;
        broker.node().stop(LIMIT).await?;
        broker.start_again().await?;
        self.has_its_broker(true).await
    }

    /// Waits until `look` finds what it looks for; what it sees instead is told in the end.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> Result<Result<T, String>>,
    ) -> Result<T> {
        let start = Stopwatch::start();
        loop {
            match look().await? {
                Ok(found) => return Ok(found),
                Err(seen) => ensure!(start.elapsed() < LIMIT, "{what}, after {LIMIT:?}: {seen}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A counter or gauge of the sidecar at `port`, summed over its labels.
    pub(crate) async fn metric(&self, port: u16, name: &str) -> Result<f64> {
        let said = self.http.get(&format!("http://127.0.0.1:{port}/metrics")).await?.to_string();
        let values = said.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.split_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.parse::<f64>().ok()
        });
        Ok(values.sum())
    }

    /// How often the filter's VM was replaced, tried to be or died, by Envoy's own counting.
    pub(crate) async fn vm_deaths(&self) -> Result<Vec<(String, u64)>> {
        let said = self.http.get(&self.plan.admin_url("/stats?filter=^wasm\\.")).await?.to_string();
        let counters = said.lines().filter_map(|line| line.split_once(": "));
        let reloads = counters.filter(|(name, _)| name.contains("vm_reload"));
        reloads.map(|(name, value)| Ok((name.to_owned(), value.trim().parse()?))).collect()
    }

    /// Stops everything in order; a program that has died meanwhile is a failure.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stack.stop().await
    }
}

/// A plan with free ports and short retries, in a folder named after the test.
pub(crate) async fn plan(upstream: &str) -> Result<Plan> {
    let test = std::thread::current().name().unwrap_or("unnamed").replace("::", "-");
    let folder = workspace::run_folder("tests").join(test);
    let mut plan = options::beside_others(programs().await?, folder, upstream.to_owned())?;
    let schedule = "--retry-schedule=0s,100ms,200ms,400ms,1s,1s,1s,1s";
    plan.sidecar_arguments.push(schedule.to_owned());
    Ok(plan)
}

/// A receiver on a port of its own.
pub(crate) async fn receiver() -> Result<Receiver> {
    Receiver::start(ports::free()?, Stopwatch::start()).await
}

/// The webhooks of a receiver, once at least `count` have arrived.
pub(crate) async fn got(receiver: &Receiver, count: usize) -> Result<Vec<Webhook>> {
    receiver.got(count, LIMIT).await
}

/// Someone to be created.
pub(crate) fn ada() -> Value {
    json!({"name": "Ada", "email": "ada@example.com"})
}

/// What an event or a webhook is about.
pub(crate) fn name_of(body: &Value) -> &str {
    body.pointer("/data/name").and_then(Value::as_str).unwrap_or_default()
}

/// An event in one line.
fn shown(event: &Value) -> String {
    let part = |pointer: &str| event.pointer(pointer).cloned().unwrap_or_default();
    format!("{} {} {}", part("/type"), part("/exchange/path"), part("/exchange/status"))
}
