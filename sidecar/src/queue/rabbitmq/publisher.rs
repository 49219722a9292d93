//! Publishes what is in the outbox, and sees that the broker confirms it.
//!
//! Invariant: whatever the broker did not confirm is given to the queue inside the process. It
//! may then be worked on twice, and is never forgotten by both.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all};
use lapin::{
    Channel, Confirmation, Connection, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use sidehook_event::Event;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::{
    Error, Shared,
    letters::Letter,
    link::{dial, hang_up, rest, within},
    metrics::Kind,
    standing::Link,
    topology::{self, DELIVERY, EVENT},
    wide, wire,
};
use crate::{model::DueDelivery, queue::Lane};

/// The most messages that wait for the broker's confirmation.
const WINDOW: usize = 512;
/// The most messages that are sent in one go.
const TOGETHER: usize = 64;
/// How long the broker may take for anything.
const STEP: Duration = Duration::from_secs(10);

/// How often is looked whether the connection stands.
const PERIOD: Duration = Duration::from_secs(1);

/// Something to be published.
#[derive(Debug)]
pub(super) enum Piece {
    /// What one message holds.
    Events(Vec<Arc<Event>>),
    /// The same.
    Deliveries(Vec<DueDelivery>),
    /// For whoever asks for it; a place among those that may be on their way.
    Announcement(Arc<Event>, OwnedSemaphorePermit),
    Letter(Box<Letter>),
}

impl Piece {
    fn kind(&self) -> Kind {
        match self {
            Self::Events(_) => Kind::Work(Lane::Events),
            Self::Deliveries(_) => Kind::Work(Lane::Deliveries),
            Self::Announcement(..) => Kind::Announcement,
            Self::Letter(_) => Kind::Letter,
        }
    }

    /// How much work it is.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Announcement(..) | Self::Letter(_) => 1,
            Self::Events(events) => events.len(),
            Self::Deliveries(deliveries) => deliveries.len(),
        }
    }

    /// The broker has it.
    fn confirmed(self) {
        match self {
            Self::Letter(letter) => letter.confirmed(),
            Self::Announcement(_, place) => drop(place),
            Self::Events(_) | Self::Deliveries(_) => {}
        }
    }
}

/// What was handed to [`Shared`] to be published. Bounded by the room that was granted for it, and
/// letters by those who wait for them.
pub(super) type Outbox = mpsc::UnboundedReceiver<Piece>;

/// Publishes for ever. What cannot be published meanwhile goes to the queue inside the process.
pub(super) async fn run(shared: Arc<Shared>, mut outbox: Outbox) {
    loop {
        match beside(&shared, &mut outbox, connect(&shared)).await {
            Ok((connection, channel)) => {
                shared.metrics.connected(Link::Publisher.name());
                shared.links.up(Link::Publisher);
                publish(&shared, &connection, &channel, &mut outbox).await;
                // While it is short of disk or memory a new connection would fare no better.
                beside(&shared, &mut outbox, unblocked(&shared, &connection)).await;
                beside(&shared, &mut outbox, hang_up(connection)).await;
            }
            Err(failure) => shared.links.down(Link::Publisher, &failure.to_string()),
        }
        beside(&shared, &mut outbox, rest(&*shared.clock)).await;
    }
}

async fn connect(shared: &Shared) -> Result<(Connection, Channel), Error> {
    let connection = dial(&shared.address, "publisher").await?;
    let channel = within(STEP, connection.create_channel()).await?;
    within(STEP, channel.confirm_select(ConfirmSelectOptions::default())).await?;
    topology::declare(&channel, &shared.names).await?;
    if shared.announcing.is_some() {
        topology::declare_announcements(&channel, &shared.names).await?;
    }
    Ok((connection, channel))
}

/// Does something while nothing can be published.
async fn beside<T>(shared: &Shared, outbox: &mut Outbox, work: impl Future<Output = T>) -> T {
    let giving_back = async {
        let mut pieces = Vec::new();
        while outbox.recv_many(&mut pieces, WINDOW).await > 0 {
            shared.give_back(pieces.drain(..)).await;
        }
        // Nobody is left to publish anything: this task will be ended.
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        done = work => done,
        never = giving_back => match never {},
    }
}

/// Publishes until something fails, and gives back what was not confirmed by then.
async fn publish(shared: &Shared, connection: &Connection, channel: &Channel, outbox: &mut Outbox) {
    let (sent, mut unconfirmed) = mpsc::channel(WINDOW);
    let (mut sending, mut confirming) = (VecDeque::new(), None);
    let failure = tokio::select! {
        failure = send(shared, channel, outbox, &sent, &mut sending) => failure,
        failure = confirm(shared, &mut unconfirmed, &mut confirming) => failure,
        failure = broken(shared, connection) => failure,
    };
    // Said before anything is given back, so that nothing new comes in between.
    shared.links.down(Link::Publisher, &failure.to_string());
    drop(sent);
    let mut pieces: Vec<Piece> = confirming.into_iter().collect();
    while let Some((piece, ..)) = unconfirmed.recv().await {
        pieces.push(piece);
    }
    pieces.extend(sending);
    shared.give_back(pieces).await;
}

/// Waits until the connection is seen to be broken, which nothing else would notice with nothing
/// to publish, or until the broker says that it takes no messages: what is published then waits
/// for ever.
async fn broken(shared: &Shared, connection: &Connection) -> Error {
    let mut events = std::pin::pin!(connection.events_listener().fuse());
    while connection.status().connected() {
        tokio::select! {
            Some(event) = events.next() => if let lapin::Event::ConnectionBlocked(reason) = event {
                return Error::Blocked(reason);
            },
            () = shared.clock.sleep(PERIOD) => {}
        }
    }
    Error::Ended("the connection")
}

/// Waits until the broker takes messages again, or the connection is broken.
async fn unblocked(shared: &Shared, connection: &Connection) {
    while connection.status().blocked() && connection.status().connected() {
        shared.clock.sleep(PERIOD).await;
    }
}

/// A piece that was sent, what will say whether the broker has it, and when it was sent, by the
/// monotonic clock.
type Sent = (Piece, PublisherConfirm, Duration);

/// Sends. What is being sent lies in `sending`, so that it outlives this future.
async fn send(
    shared: &Shared,
    channel: &Channel,
    outbox: &mut Outbox,
    sent: &mpsc::Sender<Sent>,
    sending: &mut VecDeque<Piece>,
) -> Error {
    let mut pieces = Vec::new();
    loop {
        // Waits for a place in the window; this is the only one who fills it.
        if sent.reserve().await.is_err() {
            return Error::Ended("publishing");
        }
        if outbox.recv_many(&mut pieces, sent.capacity().min(TOGETHER)).await == 0 {
            return std::future::pending().await;
        }
        let mut messages = Vec::with_capacity(pieces.len());
        let mut formless = Vec::new();
        for piece in pieces.drain(..) {
            match message(shared, &piece) {
                Ok(message) => {
                    messages.push(message);
                    sending.push_back(piece);
                }
                Err(flaw) => {
                    tracing::debug!(%flaw, "has no form as a message, stays inside the process");
                    formless.push(piece);
                }
            }
        }
        shared.give_back(formless).await;
        // Begun in their order, and awaited together: one turn of the connection for all of them.
        let published = messages.into_iter().map(async |(exchange, message)| {
            let wire::Message { routing_key, properties, body } = message;
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange, routing_key, options, &body, properties).await
        });
        let since = shared.clock.monotonic();
        let Ok(published) = timeout(STEP, join_all(published)).await else {
            return Error::Silent(STEP);
        };
        for published in published {
            match published {
                Ok(confirm) => {
                    let Some(piece) = sending.pop_front() else { continue };
                    shared.metrics.of(piece.kind()).published.inc_by(wide(piece.count()));
                    // There are as many places as were counted.
                    if let Err(failed) = sent.try_send((piece, confirm, since)) {
                        sending.push_front(failed.into_inner().0);
                        return Error::Ended("confirming");
                    }
                }
                Err(failure) => return Error::Amqp(failure),
            }
        }
    }
}

fn message(shared: &Shared, piece: &Piece) -> Result<(ShortString, wire::Message), wire::Flaw> {
    Ok(match piece {
        Piece::Events(events) => (shared.names.dispatch(), wire::events(events, EVENT.into())),
        Piece::Announcement(event, _) => (shared.names.events(), wire::announcement(event)?),
        Piece::Deliveries(deliveries) => {
            (shared.names.deliveries(), wire::deliveries(deliveries, DELIVERY.into()))
        }
        Piece::Letter(letter) => (shared.names.dead_letters(), letter.message.clone()),
    })
}

/// Awaits the confirmations in turn.
async fn confirm(
    shared: &Shared,
    unconfirmed: &mut mpsc::Receiver<Sent>,
    confirming: &mut Option<Piece>,
) -> Error {
    while let Some((piece, confirm, since)) = unconfirmed.recv().await {
        let (kind, count) = (piece.kind(), wide(piece.count()));
        *confirming = Some(piece);
        match within(STEP, confirm).await {
            Ok(Confirmation::Ack(_)) => {
                shared.metrics.of(kind).confirmed.inc_by(count);
                shared.metrics.took(shared.clock.monotonic().saturating_sub(since));
                if let Some(piece) = confirming.take() {
                    piece.confirmed();
                }
            }
            // The queue is full, or its quorum is lost: the broker stays.
            Ok(Confirmation::Nack(_)) => shared.give_back(confirming.take()).await,
            Ok(Confirmation::NotRequested) => return Error::Ended("confirming"),
            Err(failure) => return failure,
        }
    }
    Error::Ended("confirming")
}
