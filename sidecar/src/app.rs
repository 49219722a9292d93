//! The composition root: the one place that knows which store, which queue and which clock.
//!
//! Invariant: nothing listens before everything it needs is open; at the end what was accepted
//! is stored and what was sent is recorded, or it is repeated at the next start.

use std::{error::Error, path::Path, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    clock::{Clock, SystemClock},
    config::{Config, QueueUrl, StoreUrl},
    deliver::{self, Client, Deliverer, egress::Rule},
    dispatch::Dispatcher,
    ingest::{self, Committer},
    lifecycle,
    observe::Metrics,
    queue::{
        Lanes, Queue,
        local::LocalQueue,
        rabbitmq::{self, RabbitQueue},
    },
    route::Table,
    store::{Store, seal::Keyring, sqlite::SqliteStore},
    sweep::Sweeper,
};

/// Serves until `stop`, then ends in order.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = open(&config, &clock).await?;
    let lost = store.recover(clock.now()).await.context("taking up what was left")?;
    if lost > 0 {
        tracing::info!(lost, "took up what an earlier process had in hand");
    }
    let table = Arc::new(Table::default());
    table.reload_all(&*store).await.context("reading the subscriptions")?;
    let local: Arc<dyn Queue> = Arc::new(LocalQueue::default());
    let rabbitmq = connect(&config, &local, &clock).await?;
    let queue = rabbitmq.clone().map_or(local, |rabbitmq| rabbitmq);
    let rule = Rule::allowing(config.egress_allow.clone());
    let mut metrics = Metrics::new();

    let (ingest, committer) = ingest::ingest(
        Arc::clone(&store),
        Arc::clone(&queue),
        Arc::clone(&clock),
        ingest::Metrics::register(metrics.registry()),
    );
    let dispatcher = Dispatcher {
        store: Arc::clone(&store),
        queue: Arc::clone(&queue),
        clock: Arc::clone(&clock),
        table: Arc::clone(&table),
    };
    let deliverer = Deliverer {
        store: Arc::clone(&store),
        queue: Arc::clone(&queue),
        clock: Arc::clone(&clock),
        table: Arc::clone(&table),
        client: Client::new(Arc::new(rule.clone()))
            .context("reading the platform's certificates")?,
        metrics: deliver::Metrics::register(metrics.registry()),
    };
    let sweeper = Sweeper { store: Arc::clone(&store), queue, clock: Arc::clone(&clock) };
    let (api_token, ingest_token) = (config.api_token.as_ref(), config.ingest_token.as_ref());
    let router = api::router(api::Context {
        store: Arc::clone(&store),
        clock,
        routes: table,
        egress: rule,
        defaults: api::Defaults { retry: config.retry.clone(), ..api::Defaults::default() },
        token: config.api_token.clone(),
    })
    .merge(api::ingest(ingest, ingest_token))
    .merge(api::health(store, stop.clone()))
    .merge(api::metrics(metrics.expose(), api_token));
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {}", config.listen))?;
    tracing::info!(listen = %listener.local_addr()?, "serving");
    let ended = Workers { committer, dispatcher, deliverer, sweeper }
        .run_beside(listener, router, &config, stop)
        .await;
    if let Some(rabbitmq) = rabbitmq {
        rabbitmq.close().await;
    }
    ended
}

/// Seals with the first key whatever secrets in the store are not. Returns of how many
/// subscriptions those were.
pub async fn reseal(config: &Config) -> anyhow::Result<u64> {
    ensure!(!config.secret_keys.is_empty(), "secret_keys holds no key to seal with");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = open(config, &clock).await?;
    store.reseal().await.context("sealing anew")
}

/// The queue on RabbitMQ, if there is to be one; `local` helps out while the broker is away.
async fn connect(
    config: &Config,
    local: &Arc<dyn Queue>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<RabbitQueue>>> {
    let QueueUrl::RabbitMq(url) = &config.queue else { return Ok(None) };
    let rabbitmq = rabbitmq::Config {
        url: url.clone(),
        prefix: config.queue_prefix.clone(),
        capacity: rabbitmq::CAPACITY,
        lanes: Lanes::ALL,
    };
    let queue = RabbitQueue::connect(rabbitmq, Arc::clone(local), Arc::clone(clock));
    Ok(Some(Arc::new(queue.await.context("using RabbitMQ")?)))
}

async fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    let keyring = Keyring::new(config.secret_keys.iter().cloned(), Arc::clone(clock));
    let StoreUrl::Sqlite(path) = &config.store;
    let path: &Path = path;
    let store = SqliteStore::open(path, keyring)
        .await
        .with_context(|| format!("opening the store sqlite:{}", path.display()))?;
    Ok(Arc::new(store))
}

struct Workers {
    committer: Committer,
    dispatcher: Dispatcher,
    deliverer: Deliverer,
    sweeper: Sweeper,
}

impl Workers {
    async fn run_beside(
        self,
        listener: TcpListener,
        router: axum::Router,
        config: &Config,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { committer, dispatcher, deliverer, sweeper } = self;
        let sweeper = Arc::new(sweeper);
        let sweeping = Arc::clone(&sweeper);
        // These have no end of their own, and lose nothing by being dropped.
        let mut endless = JoinSet::new();
        endless.spawn(async move { dispatcher.run().await });
        endless.spawn(async move { sweeping.run_events().await });
        endless.spawn(async move { sweeper.run_deliveries().await });
        // These end by themselves: the server at the stop, the committer when no one can hand
        // anything over any more, the deliverer when its last attempt is recorded.
        let ending = stop.child_token();
        let server =
            axum::serve(listener, router).with_graceful_shutdown(ending.clone().cancelled_owned());
        let mut orderly = JoinSet::new();
        orderly.spawn(async move { server.await.map_err(anyhow::Error::from) });
        orderly.spawn(async move {
            committer.run().await;
            Ok(())
        });
        let concurrency = config.concurrency;
        let delivering = ending.clone();
        orderly.spawn(async move {
            deliverer.run(concurrency, delivering).await;
            Ok(())
        });

        let broken = tokio::select! {
            // A stop ends the others too: it is looked at first, so that it is not taken for theirs.
            biased;
            () = stop.cancelled() => None,
            Some(ended) = endless.join_next() => Some(reason(ended.map(Ok))),
            Some(ended) = orderly.join_next() => Some(reason(ended)),
        };
        ending.cancel();
        lifecycle::within(config.drain_timeout, async {
            while let Some(ended) = orderly.join_next().await {
                if let Err(error) = ended.map_err(anyhow::Error::from).flatten() {
                    let error: &dyn Error = error.as_ref();
                    tracing::error!(error, "ended with an error");
                }
            }
        })
        .await;
        match broken {
            None => Ok(()),
            Some(reason) => bail!("a part of the process ended by itself: {reason}"),
        }
    }
}

fn reason(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it had nothing to do any more".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}
