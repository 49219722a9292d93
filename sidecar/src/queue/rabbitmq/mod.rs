//! Work spread among many processes through `RabbitMQ`, and inside this one while that is away.
//!
//! Three connections are kept up, one that publishes and one for each lane, which consumes it if
//! this process takes from it and measures it in any case, each by a
//! loop of its own: connect, work until anything fails, hang up, rest, connect again. While any
//! of them is down all new work goes to the queue inside the process, which is handed in; takers
//! take from both at all times. What was published and not confirmed when a connection broke
//! goes there too. A fourth connection takes in what others publish, if this process does that;
//! whether it is up is no matter for the rest.
//!
//! Events that this process can dispatch in a moment stay with it: they are in the store, and the
//! deliveries that come of them are spread. The broker gets those that would wait here.
//!
//! Invariant: nobody who publishes or takes ever waits for the broker.

mod account;
mod acks;
mod announce;
mod bundle;
mod consumer;
mod error;
mod foreign;
mod inbound;
mod lane;
mod letters;
mod link;
mod metrics;
mod publisher;
mod receipt;
mod standing;
mod topology;
mod wire;

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use sidehook_event::Event;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    account::Account,
    consumer::Side,
    inbound::Inbound,
    lane::LaneOf,
    link::Address,
    metrics::{Kind, Metrics},
    publisher::Piece,
    standing::{Link, Links},
    topology::Names,
};
pub use self::{error::Error, standing::Standing};
use super::{Lane, Lanes, Queue, Receipt, Taken, Unburied, inbound::TakeIn};
use crate::{clock::Clock, model::DueDelivery};

/// How many pieces a lane holds unless told otherwise, in the broker and on the way to it.
pub const CAPACITY: usize = 16_384;

/// How many events a process keeps to itself that dispatches them: those of a moment.
pub const NEAR: usize = 512;

/// How long an orderly end may take.
pub const CLOSE: Duration = Duration::from_secs(3);

/// Where the broker is, and what is used of it.
#[derive(Debug, Clone)]
pub struct Config {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS.
    pub url: SecretString,
    /// What the names of exchanges and queues begin with.
    pub prefix: String,
    /// How many pieces a lane holds.
    pub capacity: usize,
    /// From which lanes this process takes. To the others it may publish all the same.
    pub lanes: Lanes,
    /// How many events this process keeps to itself, if it takes from their lane.
    pub near: usize,
    /// Whether events are announced to whoever binds a queue to their exchange.
    pub announce: bool,
    /// Whether this process [takes in](RabbitQueue::take_in) what others publish.
    pub inbound: bool,
}

/// The queue that spreads work through `RabbitMQ`.
#[derive(Debug)]
pub struct RabbitQueue {
    shared: Arc<Shared>,
    outbox: mpsc::UnboundedSender<Piece>,
    /// Dropped with the queue, which ends them.
    links: Mutex<JoinSet<()>>,
}

/// What all links share.
#[derive(Debug)]
struct Shared {
    address: Address,
    names: Names,
    clock: Arc<dyn Clock>,
    links: Links,
    metrics: Metrics,
    closing: CancellationToken,
    events: LaneOf<Arc<Event>>,
    deliveries: LaneOf<DueDelivery>,
    fallback: Arc<dyn Queue>,
    /// Events stay here as long as the fallback has more room than this.
    far: usize,
    /// Places for announcements, if there are any.
    announcing: Option<Arc<Semaphore>>,
}

impl RabbitQueue {
    /// Uses the broker of `config`, and `fallback` while that is away. A broker that cannot be
    /// reached is no error: it is looked for until it is there.
    ///
    /// # Errors
    ///
    /// Whatever will not mend itself: a wrong address, password or virtual host, and a queue or
    /// exchange that exists with other arguments.
    pub async fn connect(
        config: Config,
        fallback: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let address = Address::parse(&config.url)?;
        let names = Names::new(&config.prefix)?;
        match probe(&address, &names, &config).await {
            Ok(()) => {}
            Err(error) if error.passes() => tracing::warn!(
                %error,
                "RabbitMQ cannot be reached, work goes through the queue inside the process"
            ),
            Err(error) => return Err(error),
        }
        let (events, events_settled) = LaneOf::new(config.capacity);
        let (deliveries, deliveries_settled) = LaneOf::new(config.capacity);
        let links = Links::new("not connected yet");
        let closing = CancellationToken::new();
        let near = if config.lanes.events { config.near } else { 0 };
        let far = fallback.room(Lane::Events).saturating_sub(near);
        let announcing = config.announce.then(announce::places);
        let shared = Arc::new(Shared {
            address,
            names,
            clock,
            links,
            metrics: Metrics::default(),
            closing: closing.clone(),
            events,
            deliveries,
            fallback,
            far,
            announcing,
        });
        let (outbox, pieces) = mpsc::unbounded_channel();
        let events = Side {
            link: Link::Events,
            kind: Lane::Events,
            taking: config.lanes.events,
            queue: shared.names.dispatch_queue(),
            lane: |shared| &shared.events,
            decode: wire::decode_events,
        };
        let deliveries = Side {
            link: Link::Deliveries,
            kind: Lane::Deliveries,
            taking: config.lanes.deliveries,
            queue: shared.names.deliveries_queue(),
            lane: |shared| &shared.deliveries,
            decode: bundle::decode,
        };
        let mut links = JoinSet::new();
        let publishing = Box::pin(publisher::run(Arc::clone(&shared), pieces));
        links.spawn(async move {
            closing.run_until_cancelled_owned(publishing).await;
        });
        links.spawn(events.run(Arc::clone(&shared), events_settled));
        links.spawn(deliveries.run(Arc::clone(&shared), deliveries_settled));
        Ok(Self { shared, outbox, links: Mutex::new(links) })
    }

    /// Whether the broker is there, now and from now on.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.links.watch()
    }

    /// Takes in what others publish, until `stop` and a moment longer for what is under way.
    pub fn take_in(
        &self,
        take_in: TakeIn,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (shared, outbox) = (Arc::clone(&self.shared), self.outbox.clone());
        Inbound::new(shared, outbox, take_in).run(stop)
    }

    /// Registers what is counted under `sidehook_rabbitmq_…`.
    pub fn register(&self, registry: &mut Registry) {
        metrics::register(&self.shared, registry);
    }

    /// Acknowledges what is settled and ends the connections, so that none of it is handed out
    /// again. Takes no longer than [`CLOSE`].
    pub async fn close(&self) {
        self.shared.closing.cancel();
        let mut links = mem::take(&mut *self.links.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = async { while links.join_next().await.is_some() {} };
        if timeout(CLOSE, ended).await.is_err() {
            tracing::warn!("RabbitMQ was not told of all that is done, it may be repeated");
        }
    }

    /// Hands work to the publisher, as much as there is room for.
    fn publish<T>(
        &self,
        lane: &LaneOf<T>,
        mut work: Vec<T>,
        pieces: impl Fn(Vec<T>) -> Vec<Piece>,
    ) {
        work.truncate(lane.account.grant(work.len()));
        for piece in pieces(work) {
            lane.account.sent(piece.count());
            // The publisher ends with this queue.
            let _ = self.outbox.send(piece);
        }
    }
}

/// Looks once whether the broker would do.
async fn probe(address: &Address, names: &Names, config: &Config) -> Result<(), Error> {
    let connection = link::dial(address, "probe").await?;
    let declared = async {
        let channel = link::within(Duration::from_secs(10), connection.create_channel()).await?;
        topology::declare(&channel, names).await?;
        if config.announce {
            topology::declare_announcements(&channel, names).await?;
        }
        if config.inbound { topology::declare_inbound(&channel, names).await } else { Ok(()) }
    };
    let declared = declared.await;
    link::hang_up(connection).await;
    declared
}

impl Shared {
    fn account(&self, lane: Lane) -> &Account {
        match lane {
            Lane::Events => &self.events.account,
            Lane::Deliveries => &self.deliveries.account,
        }
    }

    fn bypassed(&self, lane: Lane, pieces: usize) {
        self.metrics.of(lane).bypassed.inc_by(wide(pieces));
    }

    /// Gives what the broker does not have to the queue inside the process.
    async fn give_back(&self, pieces: impl IntoIterator<Item = Piece>) {
        let (mut events, mut deliveries) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Events(bundle) => events.extend(bundle),
                Piece::Deliveries(bundle) => deliveries.extend(bundle),
                Piece::Announcement(..) => drop(self.metrics.of(Kind::Announcement).returned.inc()),
                // Whoever waits for it hears that it is not kept.
                Piece::Letter(letter) => drop(letter),
            }
        }
        for (lane, pieces) in [(Lane::Events, events.len()), (Lane::Deliveries, deliveries.len())] {
            self.account(lane).returned(pieces);
            self.metrics.of(lane).returned.inc_by(wide(pieces));
        }
        if !events.is_empty() {
            self.fallback.publish_events(events).await;
        }
        if !deliveries.is_empty() {
            self.fallback.publish_deliveries(deliveries).await;
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[async_trait]
impl Queue for RabbitQueue {
    fn trouble(&self) -> Option<String> {
        match &*self.shared.links.watch().borrow() {
            Standing::Connected => None,
            Standing::Away(reason) => Some(format!("rabbitmq is away: {reason}")),
        }
    }

    fn room(&self, lane: Lane) -> usize {
        if self.shared.links.connected() {
            self.shared.account(lane).room()
        } else {
            self.shared.fallback.room(lane)
        }
    }

    async fn has_room(&self, lane: Lane) {
        let mut standing = self.standing();
        loop {
            // Both registered before looking, so that no change falls between.
            let changed = self.shared.account(lane).changed();
            standing.mark_unchanged();
            if self.room(lane) > 0 {
                return;
            }
            let away = !self.shared.links.connected();
            tokio::select! {
                () = changed => {}
                // Its other end lives as long as this queue.
                _ = standing.changed() => {}
                () = self.shared.fallback.has_room(lane), if away => {}
            }
        }
    }

    fn announce(&self, events: &[Arc<Event>]) {
        self.tell_of(events);
    }

    async fn publish_events(&self, mut near: Vec<Arc<Event>>) {
        let room = self.shared.fallback.room(Lane::Events).saturating_sub(self.shared.far);
        let far = near.split_off(room.min(near.len()));
        self.shared.fallback.publish_events(near).await;
        if self.shared.links.connected() {
            let some = |all| bundle::of_events(all).into_iter().map(Piece::Events).collect();
            self.publish(&self.shared.events, far, some);
        } else {
            self.shared.bypassed(Lane::Events, far.len());
            self.shared.fallback.publish_events(far).await;
        }
    }

    async fn publish_deliveries(&self, deliveries: Vec<DueDelivery>) {
        if self.shared.links.connected() {
            let some =
                |due| bundle::of_deliveries(due).into_iter().map(Piece::Deliveries).collect();
            self.publish(&self.shared.deliveries, deliveries, some);
        } else {
            self.shared.bypassed(Lane::Deliveries, deliveries.len());
            self.shared.fallback.publish_deliveries(deliveries).await;
        }
    }

    async fn bury(&self, letters: Vec<Arc<Event>>) -> Result<(), Unburied> {
        if self.shared.links.connected() {
            letters::bury(letters, &self.outbox).await
        } else {
            Err(Unburied)
        }
    }

    async fn take_events(&self, limit: usize) -> Vec<Taken<Arc<Event>>> {
        tokio::select! {
            taken = self.shared.events.take(limit) => taken,
            taken = self.shared.fallback.take_events(limit) => taken,
        }
    }

    async fn take_deliveries(&self, limit: usize) -> Vec<Taken<DueDelivery>> {
        tokio::select! {
            taken = self.shared.deliveries.take(limit) => taken,
            taken = self.shared.fallback.take_deliveries(limit) => taken,
        }
    }

    async fn settle(&self, lane: Lane, receipts: Vec<Receipt>) {
        let (ours, local): (Vec<_>, Vec<_>) =
            receipts.into_iter().partition(|r| receipt::is_ours(*r));
        if !ours.is_empty() {
            match lane {
                Lane::Events => self.shared.events.settle(ours),
                Lane::Deliveries => self.shared.deliveries.settle(ours),
            }
        }
        if !local.is_empty() {
            self.shared.fallback.settle(lane, local).await;
        }
    }
}
