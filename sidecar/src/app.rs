//! The composition root: the one place that knows which store, which queue and which clock.
//!
//! Invariant: nothing listens before everything it needs is open; at the end what was accepted
//! is stored and what was sent is recorded, or it is repeated at the next start.

mod fronts;
mod scripts;
mod store;
mod traces;
mod workers;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::Router;
use futures::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;

use crate::{
    access::Access,
    api::{self, Gate},
    clock::{Clock, SystemClock},
    config::{Config, QueueUrl, Role},
    deliver::{self, Client, Deliverer, egress::Rule, holds::Holding, making::Maker},
    dispatch::Dispatcher,
    expire::{self, Expirer},
    ingest::{
        self, Ingest,
        inbound::{self, Inbound},
    },
    lifecycle,
    live::Live,
    measure::{Measurer, PerSubscription},
    observe::Metrics,
    queue::{
        self, Lanes, Queue,
        inbound::TakeIn,
        local::{self, LocalQueue},
        rabbitmq::{self, RabbitQueue},
    },
    route::{Follower, Table},
    store::{Store, metered::Metered},
    sweep::Sweeper,
    transform::Scripts,
};
use fronts::Served;
pub(crate) use scripts::usual_cache;
pub use store::migrate;
use traces::Telling;
use workers::{TakingIn, Workers};

/// How long giving back to the store may take that is left at the end.
const PUT_BACK: Duration = Duration::from_secs(5);

/// Serves until `stop`, then ends in order.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let certificates = fronts::certificates(&config)?;
    let mut metrics = Metrics::new();
    let process = Process::open(config, &mut metrics).await?;
    queue::metrics::register(process.queue(), metrics.registry());
    if let Some(rabbitmq) = &process.rabbitmq {
        rabbitmq.register(metrics.registry());
    }
    let (workers, ingest) = process.workers(&mut metrics);
    let served = process.served(metrics, ingest, &stop);
    let fronts = fronts::open(&process.config, served, certificates, &process.gate).await?;
    let ended = workers.run_beside(fronts, &process.config, stop).await;
    if let Some(rabbitmq) = &process.rabbitmq {
        rabbitmq.close().await;
    }
    process.put_back().await;
    process.telling.finish().await;
    ended
}

/// What all parts of the process work with.
struct Process {
    config: Config,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    table: Arc<Table>,
    access: Arc<Access>,
    gate: Gate,
    client: Client,
    scripts: Arc<Scripts>,
    telling: Telling,
    live: Live,
    per_subscription: Option<Arc<PerSubscription>>,
    /// The queue inside the process. Work is spread through it, or, where there is a broker, only
    /// while that is away.
    local: Arc<dyn Queue>,
    rabbitmq: Option<Arc<RabbitQueue>>,
}

impl Process {
    async fn open(config: Config, metrics: &mut Metrics) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let store = store::open(&config, &clock).await?;
        let metered = Metered::new(store, Arc::clone(&clock), metrics.registry());
        let store: Arc<dyn Store> = Arc::new(metered);
        let lost = store.recover(clock.now()).await.context("taking up what was left")?;
        if lost > 0 {
            tracing::info!(lost, "took up what an earlier process had in hand");
        }
        let table = Arc::new(Table::default());
        table.reload_all(&*store).await.context("reading the subscriptions")?;
        let access = fronts::access(&config, &*store).await?;
        let gate = Gate::new(Arc::clone(&access), Arc::clone(&clock));
        let lanes = Lanes {
            events: config.roles.include(Role::Dispatch),
            deliveries: config.roles.include(Role::Deliver),
        };
        let local: Arc<dyn Queue> = Arc::new(LocalQueue::new(lanes, local::CAPACITY));
        let rabbitmq = connect(&config, lanes, &local, &clock).await?;
        let rule = Rule::allowing(config.egress_allow.clone()).https_only(config.egress_https_only);
        let rule = Arc::new(rule);
        let client = Client::through(rule, config.egress_proxy.clone())
            .context("reading the platform's certificates")?;
        let scripts = scripts::open(&config).await?;
        let telling = Telling::begin(config.traces.as_ref(), &clock, metrics)?;
        let live = Live::default();
        let per_subscription = config
            .metrics_per_subscription
            .then(|| PerSubscription::register(Arc::clone(&table), metrics.registry()));
        Ok(Self {
            config,
            clock,
            store,
            table,
            access,
            gate,
            client,
            scripts,
            telling,
            live,
            per_subscription,
            local,
            rabbitmq,
        })
    }

    fn queue(&self) -> Arc<dyn Queue> {
        match &self.rabbitmq {
            Some(rabbitmq) => Arc::clone(rabbitmq) as Arc<dyn Queue>,
            None => Arc::clone(&self.local),
        }
    }

    /// Those that do what the process is there for, and where events are handed to them.
    fn workers(&self, metrics: &mut Metrics) -> (Workers, Option<Ingest>) {
        let roles = &self.config.roles;
        self.scripts.metrics().register(metrics.registry());
        let (ingest, committer) = roles
            .include(Role::Ingest)
            .then(|| {
                ingest::ingest(
                    Arc::clone(&self.store),
                    self.queue(),
                    Arc::clone(&self.clock),
                    ingest::Metrics::register(metrics.registry()),
                )
            })
            .unzip();
        let committer = committer
            .map(|committer| committer.telling(self.telling.tracer.clone(), self.live.clone()));
        let inbound = ingest.clone().and_then(|ingest| self.inbound(ingest, metrics));
        let dispatcher =
            roles.include(Role::Dispatch).then(|| Arc::new(self.dispatcher(self.queue())));
        let committer = committer.map(|committer| committer.dispatching(dispatcher.clone()));
        let delivers = roles.include(Role::Deliver);
        let holding = Holding {
            holds: Arc::default(),
            table: Arc::clone(&self.table),
            metrics: deliver::Metrics::register(metrics.registry())
                .telling_apart(self.per_subscription.clone()),
        };
        let deliverer = delivers.then(|| self.deliverer(&holding));
        let sweeper = Sweeper {
            store: Arc::clone(&self.store),
            queue: self.queue(),
            clock: Arc::clone(&self.clock),
            holding,
        };
        let (access, store, clock) =
            (Arc::clone(&self.access), Arc::clone(&self.store), Arc::clone(&self.clock));
        let watch = async move { access.watch(&*store, &*clock).await }.boxed();
        let endless = [
            Some(watch),
            Some(self.follow()),
            Some(self.measure(metrics)),
            self.expire(metrics),
            self.watch_library(),
        ];
        let endless = endless.into_iter().flatten().collect();
        let live = self.live.clone();
        (Workers { committer, inbound, dispatcher, deliverer, sweeper, live, endless }, ingest)
    }

    /// Takes in what others publish to the broker, if there is one and that is wanted.
    fn inbound(&self, ingest: Ingest, metrics: &mut Metrics) -> Option<TakingIn> {
        let rabbitmq = self.rabbitmq.clone().filter(|_| self.config.inbound)?;
        let metrics = inbound::Metrics::register(metrics.registry());
        let inbound = Arc::new(Inbound::new(ingest, Arc::clone(&self.clock), metrics));
        let take_in: TakeIn = Arc::new(move |message| {
            let inbound = Arc::clone(&inbound);
            async move { inbound.take_in(message).await }.boxed()
        });
        Some(Box::new(move |stop| rabbitmq.take_in(take_in, stop).boxed()))
    }

    /// Learns what other processes change.
    fn follow(&self) -> BoxFuture<'static, ()> {
        let follower = Follower {
            table: Arc::clone(&self.table),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
        };
        async move { follower.run().await }.boxed()
    }

    /// Looks for changes in the folder of scripts, if there is one.
    fn watch_library(&self) -> Option<BoxFuture<'static, ()>> {
        let watch = scripts::Watch {
            folder: self.config.scripts.clone()?,
            scripts: Arc::clone(&self.scripts),
            table: Arc::clone(&self.table),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
        };
        Some(async move { watch.run().await }.boxed())
    }

    /// Counts what waits.
    fn measure(&self, metrics: &mut Metrics) -> BoxFuture<'static, ()> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let measurer = Measurer::register(store, clock, metrics.registry())
            .telling_apart(self.per_subscription.clone());
        async move { measurer.run().await }.boxed()
    }

    /// Deletes what is old, unless all is kept.
    fn expire(&self, metrics: &mut Metrics) -> Option<BoxFuture<'static, ()>> {
        let retention = self.config.retention?;
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let metrics = expire::Metrics::register(metrics.registry());
        let expirer = Expirer { store, clock, retention, metrics };
        Some(async move { expirer.run().await }.boxed())
    }

    fn dispatcher(&self, queue: Arc<dyn Queue>) -> Dispatcher {
        Dispatcher {
            store: Arc::clone(&self.store),
            queue,
            clock: Arc::clone(&self.clock),
            table: Arc::clone(&self.table),
            scripts: Arc::clone(&self.scripts),
            tracer: self.telling.tracer.clone(),
            live: self.live.clone(),
            per_subscription: self.per_subscription.clone(),
        }
    }

    fn deliverer(&self, holding: &Holding) -> Deliverer {
        Deliverer {
            store: Arc::clone(&self.store),
            queue: self.queue(),
            clock: Arc::clone(&self.clock),
            table: Arc::clone(&self.table),
            holds: Arc::clone(&holding.holds),
            maker: Arc::new(Maker::new(Arc::clone(&self.scripts), self.telling.tracer.clone())),
            courier: Arc::new(self.client.clone()),
            metrics: holding.metrics.clone(),
            tracer: self.telling.tracer.clone(),
            live: self.live.clone(),
        }
    }

    /// What is served, by the roles of the process.
    fn served(&self, metrics: Metrics, ingest: Option<Ingest>, stop: &CancellationToken) -> Served {
        let gate = &self.gate;
        let shared = api::health(Arc::clone(&self.store), self.queue(), stop.clone(), gate);
        let api = if self.config.roles.include(Role::Api) {
            shared.merge(self.api(ingest.clone()))
        } else {
            shared
        };
        let ingest = ingest.map(|ingest| api::ingest(ingest, gate));
        Served { api, metrics: api::metrics(metrics.expose(), gate), ingest }
    }

    fn api(&self, ingest: Option<Ingest>) -> Router {
        let retry = self.config.retry.clone();
        api::router(api::Context {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            routes: Arc::clone(&self.table),
            client: self.client.clone(),
            scripts: Arc::clone(&self.scripts),
            defaults: api::Defaults { retry, ..api::Defaults::default() },
            ingest,
            live: self.live.clone(),
            gate: self.gate.clone(),
        })
    }

    /// Gives back to the store what the queue inside the process still holds, so that others need
    /// not wait until its leases end.
    async fn put_back(&self) {
        let putting_back = async {
            self.dispatcher(Arc::clone(&self.local)).finish().await;
            deliver::put_back(&*self.local, &*self.store, &*self.clock).await;
        };
        lifecycle::within(PUT_BACK, putting_back).await;
    }
}

/// Seals with the first key whatever secrets in the store are not. Returns of how many
/// subscriptions those were.
pub async fn reseal(config: &Config) -> anyhow::Result<u64> {
    ensure!(!config.secret_keys.is_empty(), "secret_keys holds no key to seal with");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = store::open(config, &clock).await?;
    store.reseal().await.context("sealing anew")
}

/// The queue on RabbitMQ, if there is to be one; `local` helps out while the broker is away.
async fn connect(
    config: &Config,
    lanes: Lanes,
    local: &Arc<dyn Queue>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<RabbitQueue>>> {
    let QueueUrl::RabbitMq(url) = &config.queue else { return Ok(None) };
    let rabbitmq = rabbitmq::Config {
        url: url.clone(),
        prefix: config.queue_prefix.clone(),
        capacity: rabbitmq::CAPACITY,
        lanes,
        near: rabbitmq::NEAR,
        announce: config.announce,
        inbound: config.inbound && config.roles.include(Role::Ingest),
    };
    let queue = RabbitQueue::connect(rabbitmq, Arc::clone(local), Arc::clone(clock));
    Ok(Some(Arc::new(queue.await.context("using RabbitMQ")?)))
}
