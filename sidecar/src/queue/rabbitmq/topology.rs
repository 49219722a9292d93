//! The exchanges and queues, declared on each connection.
//!
//! Invariant: whatever is declared here is never declared with other arguments under the same
//! name; a queue whose arguments change gets another version in its name.

use std::time::Duration;

use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{Error, link::within};

/// The arguments of the queues; part of their names.
const VERSION: &str = "v1";
/// The most messages that a queue holds. Beyond it the broker refuses, and the sweep finds them
/// in the store when their leases end.
const MAX_LENGTH: i64 = 1_000_000;
/// How often a message is handed out again before it is a dead letter. It is done only when a
/// connection breaks, so this many in a row are a message that breaks it.
const DELIVERY_LIMIT: i64 = 5;
/// In the queues that people look into nothing is ever handed out too often. Said explicitly:
/// without it `RabbitMQ` 4 drops a message at the 21st time.
const UNLIMITED: i64 = 1_000_000;
/// The same for messages of others, which are nowhere else. A message is handed out again also when
/// the store is away for so long that the broker loses patience (half an hour), so that
/// this many are four days; one that breaks connections is out of the way in some minutes.
const INBOUND_LIMIT: i64 = 200;
/// Longer prefixes would make names that AMQP cannot carry.
const LONGEST_PREFIX: usize = 200;

/// The names of all that is declared.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

/// The routing key of events to be dispatched.
pub(super) const EVENT: &str = "event";
/// The routing key of deliveries.
pub(super) const DELIVERY: &str = "delivery";
/// Under which messages of others are among the dead letters.
pub(super) const INBOUND: &str = "pipeline.inbound";

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, Error> {
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            return Err(Error::Prefix(LONGEST_PREFIX));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// Where events are announced to others.
    pub(super) fn events(&self) -> ShortString {
        self.named("events")
    }

    pub(super) fn dispatch(&self) -> ShortString {
        self.named("dispatch")
    }

    pub(super) fn deliveries(&self) -> ShortString {
        self.named("deliveries")
    }

    pub(super) fn dispatch_queue(&self) -> ShortString {
        self.versioned("dispatch")
    }

    pub(super) fn deliveries_queue(&self) -> ShortString {
        self.versioned("deliveries")
    }

    fn inbound(&self) -> ShortString {
        self.named("inbound")
    }

    pub(super) fn inbound_queue(&self) -> ShortString {
        self.versioned("inbound")
    }

    pub(super) fn dead_letters(&self) -> ShortString {
        self.named("dead-letters")
    }

    fn unroutable(&self) -> ShortString {
        self.named("unroutable")
    }

    fn versioned(&self, name: &str) -> ShortString {
        self.named(&format!("{name}.{VERSION}"))
    }

    fn named(&self, name: &str) -> ShortString {
        // Too long for nothing: the prefix is checked.
        ShortString::try_new(format!("{}.{name}", self.prefix)).unwrap_or_default()
    }
}

/// Declares everything, or finds it declared the same way.
pub(super) async fn declare(channel: &Channel, names: &Names) -> Result<(), Error> {
    let declaring = Declaring { channel, names };
    declaring.exchange(names.unroutable(), ExchangeKind::Fanout, false).await?;
    declaring.exchange(names.dead_letters(), ExchangeKind::Topic, false).await?;
    declaring.exchange(names.dispatch(), ExchangeKind::Direct, true).await?;
    declaring.exchange(names.deliveries(), ExchangeKind::Direct, true).await?;

    let dead_letters = names.versioned("dead-letters");
    let unroutable = names.versioned("unroutable");
    declaring.queue(&dead_letters, kept()).await?;
    declaring.queue(&unroutable, kept()).await?;
    declaring
        .queue(&names.dispatch_queue(), names.worked_off("pipeline.events", DELIVERY_LIMIT))
        .await?;
    declaring
        .queue(&names.deliveries_queue(), names.worked_off("pipeline.deliveries", DELIVERY_LIMIT))
        .await?;

    declaring.bind(dead_letters, names.dead_letters(), "#").await?;
    declaring.bind(unroutable, names.unroutable(), "").await?;
    declaring.bind(names.dispatch_queue(), names.dispatch(), EVENT).await?;
    declaring.bind(names.deliveries_queue(), names.deliveries(), DELIVERY).await
}

/// Declares where events are announced, besides what [`declare`] does. What nobody asks for is
/// nobody's.
pub(super) async fn declare_announcements(channel: &Channel, names: &Names) -> Result<(), Error> {
    Declaring { channel, names }.exchange(names.events(), ExchangeKind::Topic, false).await
}

/// Declares where others publish, besides what [`declare`] does.
pub(super) async fn declare_inbound(channel: &Channel, names: &Names) -> Result<(), Error> {
    let declaring = Declaring { channel, names };
    declaring.exchange(names.inbound(), ExchangeKind::Topic, true).await?;
    let arguments = names.worked_off(INBOUND, INBOUND_LIMIT);
    declaring.queue(&names.inbound_queue(), arguments).await?;
    declaring.bind(names.inbound_queue(), names.inbound(), "#").await
}

/// How many messages wait in the queue.
pub(super) async fn waiting(channel: &Channel, queue: ShortString) -> Result<usize, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let state = within(STEP, channel.queue_declare(queue, passive, FieldTable::default())).await?;
    Ok(usize::try_from(state.message_count()).unwrap_or(usize::MAX))
}

/// How long the broker may take for one declaration.
const STEP: Duration = Duration::from_secs(10);

struct Declaring<'a> {
    channel: &'a Channel,
    names: &'a Names,
}

impl Declaring<'_> {
    async fn exchange(
        &self,
        name: ShortString,
        kind: ExchangeKind,
        with_alternate: bool,
    ) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        if with_alternate {
            let alternate = self.names.unroutable().as_str().into();
            arguments.insert("alternate-exchange".into(), AMQPValue::LongString(alternate));
        }
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = self.channel.exchange_declare(name.clone(), kind, options, arguments);
        within(STEP, declared).await.map_err(|error| incompatible(error, "exchange", &name))
    }

    async fn queue(&self, name: &ShortString, arguments: FieldTable) -> Result<(), Error> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(name.clone(), options, arguments);
        let declared = within(STEP, declared).await;
        declared.map(drop).map_err(|error| incompatible(error, "queue", name))
    }

    async fn bind(
        &self,
        queue: ShortString,
        exchange: ShortString,
        key: &str,
    ) -> Result<(), Error> {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        within(STEP, self.channel.queue_bind(queue, exchange, key.into(), options, none)).await
    }
}

impl Names {
    /// The arguments of a queue that the workers consume.
    fn worked_off(&self, dead_letter_key: &str, delivery_limit: i64) -> FieldTable {
        let mut arguments = quorum(delivery_limit);
        let dead_letters = self.dead_letters();
        for (name, value) in [
            ("x-dead-letter-exchange", dead_letters.as_str()),
            // Tells the pipeline's own failures from those of receivers.
            ("x-dead-letter-routing-key", dead_letter_key),
            ("x-dead-letter-strategy", "at-least-once"),
            // What at-least-once asks for.
            ("x-overflow", "reject-publish"),
        ] {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        arguments
    }
}

/// The arguments of a queue that people look into: the oldest give way, so that it never stops
/// the others.
fn kept() -> FieldTable {
    let mut arguments = quorum(UNLIMITED);
    arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    arguments
}

fn quorum(delivery_limit: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(delivery_limit));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MAX_LENGTH));
    arguments
}

/// AMQP 0-9-1, `precondition-failed`: it exists and is not the same.
const PRECONDITION_FAILED: u16 = 406;

fn incompatible(error: Error, kind: &'static str, name: &ShortString) -> Error {
    match &error {
        Error::Amqp(amqp) => match amqp.kind() {
            ErrorKind::ProtocolError(said) if said.get_id() == PRECONDITION_FAILED => {
                Error::Incompatible {
                    kind,
                    name: name.to_string(),
                    said: said.get_message().to_string(),
                }
            }
            _ => error,
        },
        Error::Address
        | Error::Prefix(_)
        | Error::Refused(_)
        | Error::Incompatible { .. }
        | Error::Blocked(_)
        | Error::Silent(_)
        | Error::Ended(_) => error,
    }
}
