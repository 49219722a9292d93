//! Tells of changes of subscriptions, whichever sidecar made them.
//!
//! Postgres sends a notification with each change, to a connection that listens for them; one that
//! breaks is replaced. Notifications are numbered. A gap in the numbers, or a number that is
//! behind the count in the database when that is looked up, means that some were missed, as they
//! are when the connection is dead and nobody has noticed: then everything is said to have changed.
//!
//! Invariant: after a change is committed, it is told of within seconds, even if no notification
//! ever arrives.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use sidehook_event::TypeId as _;
use sqlx::{
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    types::Uuid,
};
use tokio::time::timeout;

use super::pool::Pool;
use crate::{clock::Clock, model::SubscriptionId, store::Change};

/// The channel's name stands in the migrations too.
const CHANNEL: &str = "sidehook_subscriptions";
/// How often the count is looked up.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a connection that listens may take to come about.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) const COUNT: &str = "SELECT count FROM subscription_changes WHERE only_row";

#[derive(Debug)]
pub(super) struct Changes {
    pool: Arc<Pool>,
    options: PgConnectOptions,
    clock: Arc<dyn Clock>,
    listener: Option<PgListener>,
    /// The number of the last change that was told of.
    told: Option<i64>,
}

/// What there is to go by.
enum Sign {
    /// A notification.
    Said(String),
    /// It is time to look.
    Time,
    /// The connection is gone.
    Deaf,
}

impl Changes {
    pub(super) fn new(pool: Arc<Pool>, options: PgConnectOptions, clock: Arc<dyn Clock>) -> Self {
        Self { pool, options, clock, listener: None, told: None }
    }

    /// Waits for the next change. The first one is always [`Change::Any`], once it listens.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            if self.listener.is_none() {
                self.listen().await;
            }
            let change = match self.sign().await {
                Sign::Said(payload) => self.weigh(&payload),
                Sign::Time => self.look().await,
                Sign::Deaf => {
                    self.listener = None;
                    None
                }
            };
            if let Some(change) = change {
                return change;
            }
        }
    }

    async fn listen(&mut self) {
        match timeout(LIMIT, listener(self.options.clone())).await {
            Ok(Ok(listener)) => self.listener = Some(listener),
            Ok(Err(error)) => tracing::debug!(%error, "cannot listen for changes, looking instead"),
            Err(_) => tracing::debug!("cannot listen for changes in time, looking instead"),
        }
    }

    async fn sign(&mut self) -> Sign {
        let Some(listener) = &mut self.listener else {
            self.clock.sleep(PERIOD).await;
            return Sign::Time;
        };
        if self.told.is_none() {
            // Listening has begun: whatever changed before is not told of by it.
            return Sign::Time;
        }
        tokio::select! {
            said = listener.try_recv() => match said {
                Ok(Some(notification)) => Sign::Said(notification.payload().to_owned()),
                Ok(None) | Err(_) => Sign::Deaf,
            },
            () = self.clock.sleep(PERIOD) => Sign::Time,
        }
    }

    fn weigh(&mut self, payload: &str) -> Option<Change> {
        let Some((number, id)) = parse(payload) else {
            return Some(Change::Any);
        };
        let told = self.told.replace(number).unwrap_or(i64::MIN);
        if number <= told {
            // All was read after that change.
            self.told = Some(told);
            return None;
        }
        Some(if number - 1 == told { Change::One(id) } else { Change::Any })
    }

    async fn look(&mut self) -> Option<Change> {
        let Ok(Ok(count)) = timeout(LIMIT, count(&self.pool)).await else {
            // Told when the store is back, if something changed meanwhile.
            self.clock.sleep(PERIOD).await;
            return None;
        };
        let told = self.told.replace(count);
        if told == Some(count) {
            return None;
        }
        if told.is_some() {
            // Nothing was heard of it: whoever listened may be deaf.
            self.listener = None;
        }
        Some(Change::Any)
    }
}

async fn listener(options: PgConnectOptions) -> sqlx::Result<PgListener> {
    // Pools are all that it takes connections from.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LIMIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

async fn count(pool: &Pool) -> sqlx::Result<i64> {
    let mut connection = pool.lend().await?;
    let count = sqlx::query_scalar(COUNT).fetch_one(&mut *connection).await?;
    Ok(connection.done(count))
}

/// The number of a change, and what it changed.
fn parse(payload: &str) -> Option<(i64, SubscriptionId)> {
    let (number, id) = payload.split_once(' ')?;
    let id = Uuid::from_str(id).ok()?;
    Some((number.parse().ok()?, SubscriptionId::from_bits(id.as_u128())))
}
