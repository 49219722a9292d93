//! Something to look at: the whole of Sidehook at work, with receivers that do well and one that is
//! away, and a real Prometheus that watches.
//!
//! Invariant: nothing is made up: every figure comes from a write that went through the gateway.

use std::time::Duration;

use anyhow::{Context, Result};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    backend::Backend,
    change::Change,
    clock::Stopwatch,
    http::Http,
    ports,
    receiver::Receiver,
    services::prometheus::{Prometheus, Targets},
    stack::{Plan, Stack},
};

/// Between two rounds of writes.
const PAUSE: Duration = Duration::from_millis(120);

/// Retries come soon, and for long.
const SCHEDULE: [&str; 8] = ["0s", "200ms", "400ms", "1s", "2s", "4s", "8s", "16s"];

/// Everything that is at work.
#[derive(Debug)]
pub struct Scene {
    stack: Stack,
    prometheus: Prometheus,
    http: Http,
    steady: Receiver,
    shaky: Receiver,
    stray: Stray,
}

/// A receiver that is away, and its subscription.
#[derive(Debug)]
struct Stray {
    port: u16,
    subscription: String,
}

impl Scene {
    /// Starts it all on Postgres and RabbitMQ, and subscribes the receivers.
    pub async fn open(mut plan: Plan, is_hurried: bool) -> Result<Self> {
        plan.backend = Backend { postgres: true, rabbitmq: true };
        // A resource that is only observed.
        plan.resources.push("trial=/trials".to_owned());
        let indent = " ".repeat(32);
        let (path, observe) =
            (format!("{indent}path: \"/trials\"\n"), format!("{indent}capture: observe\n"));
        plan.gateway_changes.push(Change::behind(&path, &observe));
        plan.sidecar_arguments.push("--metrics-per-subscription".to_owned());
        let folder = plan.folder.join("prometheus");
        let mut stack = Stack::start(plan).await?;
        let (gateway, sidecar) = (stack.plan().admin, stack.plan().api());
        let rabbitmq = stack.servers().rabbitmq.as_ref().context("no RabbitMQ")?;
        let rabbitmq = rabbitmq.show_figures().await?;
        let targets = Targets { gateway, sidecar, rabbitmq };
        let prometheus = Prometheus::start_in(&folder, targets, is_hurried).await?;
        let receiver = async || Receiver::start(ports::free()?, Stopwatch::start()).await;
        let (steady, shaky, http) = (receiver().await?, receiver().await?, Http::new());
        let port = ports::free()?;
        let stray = Stray { port, subscription: String::new() };
        let mut scene = Self { stack, prometheus, http, steady, shaky, stray };
        scene.subscribe().await?;
        Ok(scene)
    }

    /// The Prometheus that watches.
    pub fn prometheus(&self) -> &Prometheus {
        &self.prometheus
    }

    /// The subscription whose receiver is away.
    pub fn stray(&self) -> &str {
        &self.stray.subscription
    }

    /// The receiver that was away comes, for as long as it is kept.
    pub async fn bring_back(&self) -> Result<Receiver> {
        Receiver::start(self.stray.port, Stopwatch::start()).await
    }

    /// Clients write, without end.
    pub async fn play(&self) -> Result<()> {
        for round in 0_u64.. {
            self.round(round).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Stops everything.
    pub async fn stop(self) -> Result<()> {
        let stopped = self.prometheus.stop().await;
        self.stack.stop().await.and(stopped)
    }

    async fn subscribe(&mut self) -> Result<()> {
        let retry = json!({"schedule": SCHEDULE});
        let away = format!("http://127.0.0.1:{}/webhook", self.stray.port);
        let few =
            "if event.data.name == \"Adam\" { drop(\"another one\") }\n#{ name: event.data.name }";
        let dead = json!({"url": away, "event_type": "people.created", "retry": retry});
        self.stray.subscription = self.stack.subscribe(&dead).await?;
        for subscription in [
            json!({"url": self.steady.url(), "event_type": "*"}),
            json!({"url": self.shaky.url(), "event_type": "people.*", "retry": retry}),
            json!({"url": format!("{}/slack", self.steady.url()), "event_type": "created", "script": "@slack"}),
            json!({"url": format!("{}/few", self.steady.url()), "event_type": "created", "script": few}),
        ] {
            self.stack.subscribe(&subscription).await?;
        }
        Ok(())
    }

    /// People come, change and go; now and then one is refused.
    async fn round(&self, number: u64) -> Result<()> {
        if number.is_multiple_of(3) {
            self.shaky.answers([StatusCode::SERVICE_UNAVAILABLE]);
        }
        let name = if number.is_multiple_of(2) { "Ada" } else { "Adam" };
        let person = json!({"name": name, "email": "ada@example.com"});
        let created = self.write(Method::POST, "/people", Some(&person)).await?;
        let Some(id) = created.get("id").and_then(Value::as_u64) else { return Ok(()) };
        let path = format!("/people/{id}");
        self.write(Method::GET, &path, None).await?;
        self.write(Method::PUT, &path, Some(&person)).await?;
        match number % 4 {
            0 => self.write(Method::POST, "/people", Some(&json!({"name": ""}))).await?,
            1 => self.write(Method::DELETE, &path, None).await?,
            _ => Value::Null,
        };
        Ok(())
    }

    async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = self.stack.plan().gateway_url(path);
        Ok(self.http.send(method, &url, body).await?.json().unwrap_or_default())
    }
}
