//! Connections to the database: lent to one call at a time, and replaced when one breaks.
//!
//! A pool of our own, for three things that a call needs of it. A call that is given up leaves a
//! connection in the middle of something: that one is closed on the spot, for to bring it in order
//! would mean to wait for a server that may be frozen. A connection that was used a moment ago is
//! not asked again whether it lives, and costs no round trip. And each new one is asked whether the
//! server still syncs its commits, since it may have been restarted with other settings.
//!
//! Invariant: what is given back is at rest: no statement is under way on it, and no transaction.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::durability;
use crate::{clock::Clock, store::figures::Connections};

/// How many calls are under way at a time.
const SIZE: usize = 10;
/// After which rest a connection is asked whether it lives.
const FRESH: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PING_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pool {
    options: PgConnectOptions,
    clock: Arc<dyn Clock>,
    /// The one used last is lent first, so that those that few need grow old.
    idle: Mutex<Vec<Idle>>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Duration,
}

/// A connection that is closed unless it is given back.
#[derive(Debug)]
pub(super) struct Lent<'p> {
    pool: &'p Pool,
    connection: PgConnection,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, idle: Mutex::default(), permits: Semaphore::new(SIZE) }
    }

    /// Waits for a connection; the caller limits how long.
    pub(super) async fn lend(&self) -> sqlx::Result<Lent<'_>> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.living().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lent { pool: self, connection, _permit: permit })
    }

    /// How many there are at the moment.
    pub(super) fn connections(&self) -> Connections {
        let used = SIZE.saturating_sub(self.permits.available_permits());
        Connections { used, idle: self.idle().len(), most: SIZE }
    }

    /// Closes what is idle: one of them was found dead, and the others are as old.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// Ends what is idle in order, and lends no more.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for Idle { connection, .. } in idle {
            // Whether it says goodbye or not, it is gone.
            let _ = timeout(PING_LIMIT, connection.close()).await;
        }
    }

    async fn living(&self) -> Option<PgConnection> {
        let Idle { mut connection, since } = self.idle().pop()?;
        if self.clock.monotonic().saturating_sub(since) < FRESH {
            return Some(connection);
        }
        if let Ok(Ok(())) = timeout(PING_LIMIT, connection.ping()).await {
            return Some(connection);
        }
        self.forget_idle();
        None
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        durability::check(&mut connection).await?;
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nobody panics while it is held, and a list of connections is never half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    /// Gives the connection back and passes `value` on.
    pub(super) fn done<T>(self, value: T) -> T {
        let since = self.pool.clock.monotonic();
        self.pool.idle().push(Idle { connection: self.connection, since });
        value
    }
}

impl Deref for Lent<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
