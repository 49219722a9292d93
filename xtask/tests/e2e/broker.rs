//! RabbitMQ dies, freezes, fills up, forgets while writes go on: the API's clients notice nothing,
//! and every event arrives.
//!
//! Invariant: each broker here was started by its test, which alone breaks it.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::RwLockWriteGuard;
use xtask::{
    backend::Backend, clock::Stopwatch, receiver::Receiver, say, services::rabbitmq::RabbitMq,
};

use crate::support::{LIMIT, Sidehook, alone, load::balance, receiver};

/// As long as the gateway holds an answer. One that came sooner did not wait for the broker,
/// which is away for longer.
const HOLD: Duration = Duration::from_secs(2);
/// The longest lease, after which the sweep has found whatever the broker lost, and some more.
const LEASE: Duration = Duration::from_mins(2);
/// How many write, and how long each rests between two writes.
const WRITERS: usize = 8;
const REST: Duration = Duration::from_millis(20);

/// A stack that uses a broker.
struct Stage {
    sidehook: Sidehook,
    receiver: Receiver,
    machine: RwLockWriteGuard<'static, ()>,
}

impl Stage {
    async fn set() -> Result<Self> {
        let machine = alone().await;
        let backend = Backend { rabbitmq: true, postgres: false };
        let sidehook = Sidehook::before_people_with(|plan| plan.backend = backend).await?;
        let receiver = receiver().await?;
        sidehook.subscribe(&receiver, "created").await?;
        sidehook.has_its_broker(true).await?;
        Ok(Self { sidehook, receiver, machine })
    }

    fn broker(&mut self) -> Result<&mut RabbitMq> {
        self.sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")
    }

    async fn kill(&mut self) -> Result<()> {
        let node = self.broker()?.node();
        node.signal(Signal::KILL)?;
        node.ended().await.map(drop)
    }

    async fn control(&mut self, arguments: &[&str]) -> Result<()> {
        self.broker()?.control(arguments).await.map(drop)
    }

    async fn counted(&self, name: &str) -> Result<f64> {
        let name = format!("sidehook_rabbitmq_{name}_total");
        self.sidehook.metric(self.sidehook.plan.api(), &name).await
    }

    /// New webhooks arrive.
    async fn goes_on(&self) -> Result<()> {
        let before = self.receiver.webhooks().len();
        self.receiver.got(before + 20, LIMIT).await.map(drop)
    }

    /// Writes go on while `fault` takes its course, and a while longer. They are all accepted,
    /// none waits for the broker, it is used again in the end, and everything is delivered.
    async fn survives(mut self, fault: impl AsyncFnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (url, http) = (self.sidehook.plan.gateway_url("/people"), self.sidehook.http.clone());
        let writes = (0_u32..).map(|number| {
            let (http, url) = (http.clone(), url.clone());
            async move {
                let name = format!("person {number}");
                let start = Stopwatch::start();
                let answered = http.post(&url, &json!({ "name": name })).await;
                let took = start.elapsed();
                tokio::time::sleep(REST).await;
                (name, took, answered)
            }
        });
        let mut writes = pin!(stream::iter(writes).buffer_unordered(WRITERS));
        let (mut accepted, mut slowest) = (BTreeSet::new(), Duration::ZERO);
        let start = Stopwatch::start();
        {
            let mut fault = pin!(async {
                self.goes_on().await?;
                fault(&mut self).await?;
                self.sidehook.has_its_broker(true).await?;
                let before = self.counted("confirmed").await?;
                // What comes at first may have been handed round it still.
                let again = Stopwatch::start();
                while self.counted("confirmed").await? <= before {
                    ensure!(again.elapsed() < LIMIT, "the broker is not used again");
                    self.goes_on().await?;
                }
                Ok(())
            });
            loop {
                tokio::select! {
                    done = &mut fault => break done?,
                    Some((name, took, answered)) = writes.next() => {
                        let answer = answered.context("a write")?;
                        ensure!(answer.status == 201, "a write was answered {}", answer.status);
                        accepted.insert(name);
                        slowest = slowest.max(took);
                    }
                }
            }
        }
        let took = start.elapsed();
        ensure!(slowest < HOLD, "a write took {slowest:?}");
        // What the broker lost comes when its lease ends, and until then there is nothing to be done.
        drop(self.machine);
        let delivered = balance(&self.sidehook, &self.receiver, &accepted, LEASE).await?;
        let writes = accepted.len();
        say::line(format!(
            "{writes} writes in {took:?}, the slowest took {slowest:?}; {delivered}"
        ));
        self.sidehook.stop().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_again_and_again_loses_nothing() -> Result<()> {
    let fault = async |stage: &mut Stage| {
        stage.sidehook.settles_its_broker().await?;
        for _ in 0..3 {
            stage.kill().await?;
            stage.sidehook.has_its_broker(false).await?;
            stage.goes_on().await?;
            stage.broker()?.start_again().await?;
            stage.sidehook.has_its_broker(true).await?;
            stage.goes_on().await?;
        }
        Ok(())
    };
    Stage::set().await?.survives(fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_is_noticed_and_done_without() -> Result<()> {
    let fault = async |stage: &mut Stage| {
        stage.broker()?.node().signal(Signal::STOP)?;
        let noticed = stage.sidehook.has_its_broker(false).await;
        let went_on = if noticed.is_ok() { stage.goes_on().await } else { Ok(()) };
        // Whatever happened, so that it can be stopped in order.
        stage.broker()?.node().signal(Signal::CONT)?;
        noticed.and(went_on)
    };
    Stage::set().await?.survives(fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_short_of_disk_is_done_without_until_it_is_not() -> Result<()> {
    let fault = async |stage: &mut Stage| {
        // More than any machine has.
        stage.control(&["set_disk_free_limit", "mem_relative", "100000"]).await?;
        stage.sidehook.has_its_broker(false).await?;
        let said = stage.sidehook.is_ready(200).await?;
        ensure!(said.contains("it takes no messages (low on disk)"), "{said}");
        // For so long that whatever waited for the broker would show.
        let (start, bypassed) = (Stopwatch::start(), stage.counted("bypassed").await?);
        while start.elapsed() < 3 * HOLD {
            stage.goes_on().await?;
            let said = stage.sidehook.is_ready(200).await?;
            ensure!(said.contains("it takes no messages"), "the alarm was forgotten: {said}");
        }
        ensure!(stage.counted("bypassed").await? > bypassed, "nothing went round the broker");
        stage.control(&["set_disk_free_limit", "50MB"]).await
    };
    Stage::set().await?.survives(fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_that_are_deleted_lose_nothing() -> Result<()> {
    let fault = async |stage: &mut Stage| {
        for queue in ["sidehook.dispatch.v1", "sidehook.deliveries.v1"] {
            stage.control(&["delete_queue", queue]).await?;
            stage.goes_on().await?;
        }
        Ok(())
    };
    Stage::set().await?.survives(fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_has_forgotten_everything_loses_nothing() -> Result<()> {
    let fault = async |stage: &mut Stage| {
        stage.kill().await?;
        stage.broker()?.start_wiped().await
    };
    Stage::set().await?.survives(fault).await
}
