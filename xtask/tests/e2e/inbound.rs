//! Events that are published to RabbitMQ by somebody else become webhooks.
//!
//! Invariant: what the broker has confirmed to whoever published it is delivered, whichever server
//! is away meanwhile, and nothing of it ends among the dead letters.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use rustix::process::Signal;
use serde_json::json;
use xtask::{
    backend::Backend,
    clock::Stopwatch,
    ports,
    receiver::{Receiver, Webhook},
    services::rabbitmq::RabbitMq,
    stack::Sidecar,
};

use crate::support::{LIMIT, Sidehook, got, name_of, receiver, shared};

/// One who publishes.
struct Publisher {
    channel: Channel,
    _connection: Connection,
}

impl Publisher {
    async fn of(sidehook: &mut Sidehook) -> Result<Self> {
        let url = broker(sidehook)?.url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, _connection: connection })
    }

    /// Publishes an event about somebody of this name, and waits until the broker has it.
    async fn tells(&self, name: &str) -> Result<()> {
        let event = json!({
            "specversion": "1.0", "id": name, "source": "/importer", "type": "people.created",
            "time": "2025-11-23T09:29:00Z", "data": {"name": name},
        });
        let properties = BasicProperties::default()
            .with_content_type("application/cloudevents+json".into())
            .with_delivery_mode(2);
        let (options, body) = (BasicPublishOptions::default(), event.to_string());
        let exchange = "sidehook.inbound".into();
        let key = "people.created".into();
        let channel = &self.channel;
        let published = channel.basic_publish(exchange, key, options, body.as_bytes(), properties);
        ensure!(published.await?.await?.is_ack(), "the broker does not take {name}");
        Ok(())
    }
}

fn broker(sidehook: &mut Sidehook) -> Result<&mut RabbitMq> {
    sidehook.stack.servers().rabbitmq.as_mut().context("no RabbitMQ")
}

async fn stage(backend: Backend, sidecars: usize) -> Result<(Sidehook, Receiver)> {
    let mut more = Vec::new();
    for _ in 1..sidecars {
        more.push(Sidecar::all(ports::free()?));
    }
    let sidehook = Sidehook::before_people_with(|plan| {
        plan.backend = backend;
        plan.sidecars.extend(more);
    })
    .await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;
    sidehook.has_its_broker(true).await?;
    Ok((sidehook, receiver))
}

/// Waits until a webhook came for each of these, and none for others.
async fn delivered(
    sidehook: &Sidehook,
    receiver: &Receiver,
    names: &BTreeSet<String>,
) -> Result<()> {
    let delivered = sidehook.until("webhooks", async || {
        let webhooks = receiver.webhooks();
        let told = webhooks.iter().map(|webhook| name_of(&webhook.json()).to_owned());
        let told: BTreeSet<_> = told.collect();
        let missing = names.difference(&told).next();
        Ok(missing.map_or(Ok(told.len()), |name| Err(format!("{} came, not {name}", told.len()))))
    });
    ensure!(delivered.await? == names.len(), "there were others");
    Ok(())
}

/// Waits until no queue holds anything.
async fn all_is_done(sidehook: &mut Sidehook) -> Result<()> {
    let broker = sidehook.stack.servers().rabbitmq.as_ref().context("no RabbitMQ")?;
    let start = Stopwatch::start();
    loop {
        let said = broker.control(&["list_queues", "-q", "name", "messages"]).await?;
        let rows = said.lines().filter_map(|line| line.split_once('\t'));
        let left: Vec<_> = rows
            .filter(|(name, count)| name.starts_with("sidehook.") && count.trim() != "0")
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < LIMIT, "there is left {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_publish_is_delivered() -> Result<()> {
    let _machine = shared().await;
    let backend = Backend { rabbitmq: true, postgres: false };
    let (mut sidehook, receiver) = stage(backend, 1).await?;
    let publisher = Publisher::of(&mut sidehook).await?;
    // Sent twice, as by one who had no answer.
    publisher.tells("Ada").await?;
    publisher.tells("Ada").await?;
    publisher.tells("Grace").await?;
    let webhooks = got(&receiver, 2).await?;
    let types: Vec<_> = webhooks.iter().map(Webhook::event_type).collect();
    assert_eq!(types, ["people.created", "people.created"]);
    sidehook.lists("/events", 2).await?;
    all_is_done(&mut sidehook).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_publish_outlives_outages_of_the_store_and_the_broker() -> Result<()> {
    let _machine = shared().await;
    let backend = Backend { rabbitmq: true, postgres: true };
    let (mut sidehook, receiver) = stage(backend, 2).await?;
    sidehook.settles_its_broker().await?;
    let mut names = BTreeSet::new();
    let mut tell = async |sidehook: &mut Sidehook, batch: &str| {
        let publisher = Publisher::of(sidehook).await?;
        for number in 0..200 {
            let name = format!("{batch} {number}");
            publisher.tells(&name).await?;
            names.insert(name);
        }
        anyhow::Ok(())
    };
    tell(&mut sidehook, "all is well").await?;

    let postgres = sidehook.stack.servers().postgres.as_mut().context("no Postgres")?;
    postgres.server().signal(Signal::INT)?;
    postgres.server().ended().await?;
    tell(&mut sidehook, "without Postgres").await?;
    let port = sidehook.plan.sidecars.first().context("no sidecar")?.port;
    sidehook
        .until("messages that wait", async || {
            let name = "sidehook_inbound_messages_total{result=\"deferred\"}";
            let deferred = sidehook.metric(port, name).await?;
            Ok(if deferred > 0.0 { Ok(()) } else { Err("none is deferred".to_owned()) })
        })
        .await?;

    broker(&mut sidehook)?.node().signal(Signal::KILL)?;
    broker(&mut sidehook)?.node().ended().await?;
    broker(&mut sidehook)?.start_again().await?;
    tell(&mut sidehook, "after the broker was killed").await?;
    let postgres = sidehook.stack.servers().postgres.as_mut().context("no Postgres")?;
    postgres.restart().await?;
    delivered(&sidehook, &receiver, &names).await?;
    all_is_done(&mut sidehook).await?;
    sidehook.stop().await
}
