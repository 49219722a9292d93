//! Consumes what others publish, and acknowledges it when it is stored.
//!
//! Invariant: a message leaves the broker's queue only when its events are stored, or when the
//! dead letters have it for certain; nothing that is wrong with one keeps others waiting.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Connection, Consumer, ErrorKind,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Shared,
    consumer::sure,
    foreign::Original,
    letters,
    link::{dial, hang_up, rest, within},
    publisher::Piece,
    topology::{self, INBOUND},
};
use crate::queue::inbound::{Malformed, TakeIn};

/// The most messages that the broker hands over before they are settled: as many as go into one
/// commit.
const PREFETCH: u16 = 64;
/// A message whose frames the client library cannot parse breaks each connection that it is
/// handed to, until the broker counts it as handed out too often. Meanwhile messages are handed over
/// one by one, and until so many in a row are settled, so that no others are counted with it.
const WARY: u16 = PREFETCH;
/// How long the broker may take for anything.
const STEP: Duration = Duration::from_secs(10);
/// How often the queue is measured, which also tells whether the broker still answers.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a stop waits for what is under way.
const GRACE: Duration = Duration::from_secs(2);

/// The name of this link in metrics.
const LINK: &str = "inbound";

/// Where others publish, on this side.
pub(super) struct Inbound {
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: mpsc::UnboundedSender<Piece>,
    pub(super) take_in: TakeIn,
    /// How many messages are still to be settled one by one.
    wary: u16,
    /// Whether the log says that messages are taken, once it has said anything.
    told: Option<bool>,
}

impl Inbound {
    pub(super) fn new(
        shared: Arc<Shared>,
        outbox: mpsc::UnboundedSender<Piece>,
        take_in: TakeIn,
    ) -> Self {
        Self { shared, outbox, take_in, wary: 0, told: None }
    }

    /// Consumes until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let dialled = stop.run_until_cancelled(dial(&self.shared.address, LINK)).await;
            let failure = match dialled {
                None => return,
                Some(Ok(connection)) => {
                    let ended = self.consume(&connection, &stop).await;
                    hang_up(connection).await;
                    ended.err()
                }
                Some(Err(failure)) => Some(failure),
            };
            if let Some(failure) = failure {
                if is_unparsed(&failure) {
                    self.beware(&failure);
                } else if self.told.replace(false) != Some(false) {
                    tracing::warn!(%failure, "what others publish stays in RabbitMQ for a while");
                }
            }
            stop.run_until_cancelled(rest(&*self.shared.clock)).await;
        }
    }

    fn beware(&mut self, failure: &Error) {
        if self.wary == 0 {
            tracing::warn!(
                %failure,
                "a message that others published cannot be parsed; messages are taken one by one \
                 until the broker has made a dead letter of it"
            );
        }
        self.wary = WARY;
    }

    /// Consumes on one connection.
    async fn consume(
        &mut self,
        connection: &Connection,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let channel = within(STEP, connection.create_channel()).await?;
        topology::declare(&channel, &self.shared.names).await?;
        topology::declare_inbound(&channel, &self.shared.names).await?;
        let prefetch = if self.wary > 0 { 1 } else { PREFETCH };
        let mut consumer = self.start(&channel, prefetch).await?;
        self.shared.metrics.connected(LINK);
        let mut under_way: FuturesUnordered<BoxFuture<'static, Result<(), Error>>> =
            FuturesUnordered::new();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                message = consumer.next() => {
                    let Some(message) = message else { return Err(Error::Ended("consuming")) };
                    under_way.push(Box::pin(self.settle(message.map_err(Error::Amqp)?)));
                }
                Some(settled) = under_way.next() => {
                    settled?;
                    self.wary = self.wary.saturating_sub(1);
                    if self.wary == 0 && prefetch < PREFETCH {
                        // To consume anew: the prefetch of a consumer stays what it is.
                        return Ok(());
                    }
                }
                _ = ticks.tick() => {
                    let waiting = topology::waiting(&channel, self.shared.names.inbound_queue());
                    self.shared.metrics.waits_inbound(waiting.await?);
                    if !(connection.status().connected() && channel.status().connected()) {
                        return Err(Error::Ended("the connection"));
                    }
                    if self.told.replace(true) != Some(true) {
                        tracing::info!("taking what others publish to RabbitMQ");
                    }
                }
            }
        }
        // What is not stored by then the broker hands to others when the connection ends.
        let _ = timeout(GRACE, async { while under_way.next().await.is_some() {} }).await;
        Ok(())
    }

    async fn start(&self, channel: &Channel, prefetch: u16) -> Result<Consumer, Error> {
        within(STEP, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let queue = self.shared.names.inbound_queue();
        // The broker makes up a tag.
        let tag = ShortString::default();
        within(STEP, channel.basic_consume(queue, tag, options, none)).await
    }

    /// Settles one message, for as long as it takes.
    fn settle(&self, delivery: Delivery) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (shared, outbox) = (Arc::clone(&self.shared), self.outbox.clone());
        let take_in = Arc::clone(&self.take_in);
        async move {
            let acker = delivery.acker.clone();
            let original = Original::of(delivery);
            if let Err(malformed) = take_in(original.message()).await {
                bury(&shared, &outbox, &original, &malformed).await;
            }
            sure(within(STEP, acker.ack(BasicAckOptions::default())).await?)
        }
    }
}

/// Whether the broker sent something that the client library does not understand.
fn is_unparsed(failure: &Error) -> bool {
    matches!(failure, Error::Amqp(error) if matches!(error.kind(), ErrorKind::ParsingError(_)))
}

/// Puts a copy among the dead letters, over the connection that publishes: one that consumes must
/// not wait for a broker that is short of disk.
async fn bury(
    shared: &Shared,
    outbox: &mpsc::UnboundedSender<Piece>,
    original: &Original,
    malformed: &Malformed,
) {
    loop {
        let letter = original.letter(malformed, INBOUND);
        if shared.links.connected() && letters::keep(vec![letter], outbox).await.is_ok() {
            return;
        }
        rest(&*shared.clock).await;
    }
}
