//! Consumes one lane's queue, if this process takes from it, and acknowledges what is settled.
//! Measures how much waits in it in any case.
//!
//! Invariant: a message is acknowledged only when its work is settled; one that cannot be read
//! goes to the dead letters at once and stands in nobody's way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use lapin::{
    Acker, Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions},
    types::{FieldTable, ShortString},
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Error, Shared,
    acks::{Ack, Unsettled},
    lane::{LaneOf, Settled},
    link::{dial, hang_up, rest, within},
    receipt,
    standing::Link,
    topology, wide, wire,
};
use crate::queue::{Lane, Receipt};

/// The most messages that the broker hands over before they are settled. More than there are
/// attempts at a time by default, so that a free slot never waits for the network.
const PREFETCH: u16 = 1000;
/// How long the broker may take for anything.
const STEP: Duration = Duration::from_secs(10);
/// How often the queue is measured, which also tells whether the broker still answers.
const PERIOD: Duration = Duration::from_secs(1);

/// What a consumer needs to know of its lane.
#[derive(Debug)]
pub(super) struct Side<T> {
    pub(super) link: Link,
    pub(super) kind: Lane,
    /// Whether this process takes from it. What it consumed otherwise would lie with it for ever.
    pub(super) taking: bool,
    pub(super) queue: ShortString,
    pub(super) lane: fn(&Shared) -> &LaneOf<T>,
    pub(super) decode: fn(Bytes) -> Result<Vec<T>, wire::Flaw>,
}

impl<T> Side<T> {
    /// Consumes until the queue is closed.
    pub(super) async fn run(self, shared: Arc<Shared>, mut settled: Settled) {
        while !shared.closing.is_cancelled() {
            match dial(&shared.address, self.queue.as_str()).await {
                Ok(connection) => {
                    let ended = self.consume(&shared, &connection, &mut settled).await;
                    let failure = ended.err().unwrap_or(Error::Ended("consuming"));
                    if !shared.closing.is_cancelled() {
                        shared.links.down(self.link, &failure.to_string());
                    }
                    hang_up(connection).await;
                }
                Err(failure) => shared.links.down(self.link, &failure.to_string()),
            }
            rest(&*shared.clock).await;
        }
    }

    /// Consumes on one connection.
    async fn consume(
        &self,
        shared: &Shared,
        connection: &Connection,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        let lane = (self.lane)(shared);
        let channel = within(STEP, connection.create_channel()).await?;
        topology::declare(&channel, &shared.names).await?;
        let mut consumer = if self.taking { Some(self.start(&channel).await?) } else { None };
        let mut epoch = Epoch { number: lane.next_epoch(), unsettled: Unsettled::new() };
        shared.metrics.connected(self.link.name());
        shared.links.up(self.link);

        let mut receipts = Vec::new();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, when nothing has happened yet.
        ticks.tick().await;
        loop {
            tokio::select! {
                message = next(&mut consumer) => {
                    let Some(message) = message else { return Ok(()) };
                    self.receive(shared, &mut epoch, message.map_err(Error::Amqp)?).await?;
                }
                count = settled.recv_many(&mut receipts, usize::from(PREFETCH)) => {
                    if count == 0 {
                        return Ok(());
                    }
                    epoch.acknowledge(receipts.drain(..).flatten()).await?;
                }
                () = shared.closing.cancelled() => {
                    settled.close();
                    while let Some(receipts) = settled.recv().await {
                        epoch.acknowledge(receipts.into_iter()).await?;
                    }
                    return Ok(());
                }
                _ = ticks.tick() => {
                    let waiting = topology::waiting(&channel, self.queue.clone()).await?;
                    if !(connection.status().connected() && channel.status().connected()) {
                        return Ok(());
                    }
                    lane.account.measured(waiting);
                }
            }
        }
    }

    async fn start(&self, channel: &Channel) -> Result<Consumer, Error> {
        within(STEP, channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        // The broker makes up a tag.
        let tag = ShortString::default();
        within(STEP, channel.basic_consume(self.queue.clone(), tag, options, none)).await
    }

    async fn receive(
        &self,
        shared: &Shared,
        epoch: &mut Epoch,
        message: Delivery,
    ) -> Result<(), Error> {
        let lane = (self.lane)(shared);
        let counters = shared.metrics.of(self.kind);
        let Delivery { delivery_tag: tag, acker, redelivered: is_again, data, .. } = message;
        match (self.decode)(data.into()) {
            Ok(work) => {
                if is_again {
                    counters.redelivered.inc_by(wide(work.len()));
                }
                epoch.unsettled.insert(tag, acker, work.len());
                lane.arrive(epoch.number, tag, work, is_again);
                Ok(())
            }
            Err(flaw) => {
                tracing::warn!(queue = %self.queue, %flaw, "a message is not what it should be, it goes to the dead letters");
                counters.unreadable.inc();
                lane.account.returned(1);
                let reject = BasicRejectOptions { requeue: false };
                sure(within(STEP, acker.reject(reject)).await?)
            }
        }
    }
}

/// The next message; never, if nothing is consumed.
async fn next(consumer: &mut Option<Consumer>) -> Option<lapin::Result<Delivery>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}

/// What was handed over on one connection.
struct Epoch {
    number: u64,
    unsettled: Unsettled<Acker>,
}

impl Epoch {
    async fn acknowledge(&mut self, receipts: impl Iterator<Item = Receipt>) -> Result<(), Error> {
        let number = self.number;
        let tags = receipts.filter_map(|receipt| receipt::tag(receipt, number));
        for Ack { with, multiple } in self.unsettled.settle(tags) {
            sure(within(STEP, with.ack(BasicAckOptions { multiple })).await?)?;
        }
        Ok(())
    }
}

/// An acknowledgement that was not sent means that the channel is closed.
pub(super) fn sure(sent: bool) -> Result<(), Error> {
    if sent { Ok(()) } else { Err(Error::Ended("acknowledging")) }
}
