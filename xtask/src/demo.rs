//! `cargo xtask demo`: a short play with a real ending.
//!
//! Invariant: it succeeds only if every webhook arrived, once per attempt, with a signature that
//! an implementation other than ours accepts.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    clock::Stopwatch,
    http::Http,
    options::Options,
    people, ports,
    receiver::{Receiver, Webhook},
    say,
    serving::Serving,
    stack::{Plan, Programs, Stack},
};

/// Retries of the demonstration come faster than a real receiver would like.
const SCHEDULE: &str = "0s,1s,2s";

/// Far longer than the schedule takes.
const LIMIT: Duration = Duration::from_secs(20);

/// What `demo` is told.
#[derive(Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    options: Options,
}

/// Starts everything, plays the scenario, shows what was delivered, and stops everything.
pub async fn demo(demo: Demo) -> Result<()> {
    let Demo { options } = demo;
    options.check()?;
    let programs = Programs::ensure(options.build()).await?;
    let sample = Serving::start(people::api(), ports::free()?).await?;
    let resources = vec!["people=/people".to_owned()];
    let mut plan = options.plan("demo", programs, sample.url(), resources)?;
    plan.sidecar_arguments.push(format!("--retry-schedule={SCHEDULE}"));
    let mut stack = Stack::start(plan).await?;
    let plan = stack.plan().clone();
    let played = tokio::select! {
        played = play(&plan, options.receiver) => played,
        death = stack.death() => Err(death),
    };
    let stopped = stack.stop().await;
    say::line(played?);
    stopped
}

async fn play(plan: &Plan, receiver_port: u16) -> Result<String> {
    let stopwatch = Stopwatch::start();
    let mut steady = Listener::start("steady", receiver_port, stopwatch).await?;
    let mut shaky = Listener::start("shaky", ports::free()?, stopwatch).await?;
    shaky.receiver.answers([StatusCode::SERVICE_UNAVAILABLE]);
    steady.subscribe(plan, "*").await?;
    shaky.subscribe(plan, "created").await?;

    let mut timeline = Timeline::new(stopwatch);
    let ada = json!({"name": "Ada", "email": "ada@example.com"});
    let countess = json!({"name": "Ada, Countess of Lovelace", "email": "ada@example.com"});
    let created = timeline.write(plan, Method::POST, "/people/", Some(&ada)).await?;
    let id = created.get("id").and_then(Value::as_u64).context("the person has no id")?;
    let person = format!("/people/{id}");
    timeline.write(plan, Method::PUT, &person, Some(&countess)).await?;
    timeline.write(plan, Method::DELETE, &person, None).await?;

    let to_steady = steady.receiver.got(3, LIMIT).await.context("the steady receiver")?;
    let to_shaky = shaky.receiver.got(2, LIMIT).await.context("the shaky receiver")?;
    for (listener, webhooks) in [(&steady, &to_steady), (&shaky, &to_shaky)] {
        for webhook in webhooks {
            timeline.arrived(listener, webhook)?;
        }
    }
    expect_each_once(&to_steady)?;
    expect_one_retry(&to_shaky)?;
    Ok(timeline.show())
}

/// A receiver and the subscription that feeds it.
struct Listener {
    name: &'static str,
    receiver: Receiver,
    secret: String,
}

impl Listener {
    async fn start(name: &'static str, port: u16, stopwatch: Stopwatch) -> Result<Self> {
        let receiver = Receiver::start(port, stopwatch).await?;
        Ok(Self { name, receiver, secret: String::new() })
    }

    async fn subscribe(&mut self, plan: &Plan, event_type: &str) -> Result<()> {
        let subscription = json!({"url": self.receiver.url(), "event_type": event_type});
        let url = plan.sidecar_url("/subscriptions/");
        let answer = Http::new().post(&url, &subscription).await?.accepted()?;
        let secret = answer.get("secret").and_then(Value::as_str);
        let secret = secret.context("a new subscription came without its secret")?;
        secret.clone_into(&mut self.secret);
        Ok(())
    }
}

/// What happened, in the order in which it happened.
struct Timeline {
    stopwatch: Stopwatch,
    http: Http,
    entries: Vec<(Duration, String)>,
}

impl Timeline {
    fn new(stopwatch: Stopwatch) -> Self {
        Self { stopwatch, http: Http::new(), entries: Vec::new() }
    }

    /// Sends a write through the gateway and returns what the API answered.
    async fn write(
        &mut self,
        plan: &Plan,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let after = self.stopwatch.elapsed();
        let url = plan.gateway_url(path);
        let answer = self.http.send(method.clone(), &url, body).await?;
        let status = answer.status;
        ensure!(status.is_success(), "{method} {path} was answered {status}: {answer}");
        self.entries.push((after, format!("client    {method} {path} → {status}")));
        Ok(answer.json().unwrap_or_default())
    }

    fn arrived(&mut self, listener: &Listener, webhook: &Webhook) -> Result<()> {
        let name = listener.name;
        webhook.verify(&listener.secret).with_context(|| format!("{name} got {webhook}"))?;
        self.entries.push((webhook.after, format!("{name:<9} {webhook}, signature valid")));
        Ok(())
    }

    fn show(mut self) -> String {
        self.entries.sort();
        let lines = self.entries.iter();
        let lines: Vec<_> =
            lines.map(|(after, what)| format!("{:>6} ms  {what}", after.as_millis())).collect();
        format!("\n{}\n\nAll that was due has arrived.", lines.join("\n"))
    }
}

fn expect_each_once(webhooks: &[Webhook]) -> Result<()> {
    let mut types: Vec<_> = webhooks.iter().map(Webhook::event_type).collect();
    types.sort();
    let expected = ["people.created", "people.deleted", "people.updated"];
    ensure!(types == expected, "expected {expected:?}, but {types:?} arrived");
    Ok(())
}

fn expect_one_retry(webhooks: &[Webhook]) -> Result<()> {
    match webhooks {
        [first, second]
            if first.id() == second.id()
                && !first.id().is_empty()
                && first.answered == StatusCode::SERVICE_UNAVAILABLE
                && second.answered.is_success() =>
        {
            Ok(())
        }
        _ => {
            let seen: Vec<_> = webhooks.iter().map(ToString::to_string).collect();
            bail!("expected one event, refused and then accepted; got {seen:#?}")
        }
    }
}
