//! What is there before an event of a case comes: subscriptions that ask for something else,
//! deliveries that wait.
//!
//! Invariant: both come into being as they do for anybody, through the sidecar's own interfaces.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::net::TcpSocket;

use super::{Stage, address, per};
use crate::{bench::pipeline::source, clock::Stopwatch, say};

/// Subscriptions that are made at a time.
const AT_A_TIME: usize = 64;
/// After so many one who waits is told.
const TOLD: usize = 25_000;
/// What is asked for by the receiver that is away.
const AWAY: &str = "backlog.created";
/// Between two looks at a backlog.
const PAUSE: Duration = Duration::from_millis(500);
/// A backlog that has not come to rest by then never does.
const LIMIT: Duration = Duration::from_mins(20);
/// The sidecar counts what waits this often, or a little more, and no further.
const FRESH: Duration = Duration::from_secs(6);
const COUNTED_TO: usize = 100_000;
/// So few are always due for a moment: their turn has come, and they are put off again.
const A_FEW: f64 = 500.0;

impl Stage {
    /// Makes so many subscriptions that ask for something else.
    pub(super) async fn have_others(&self, count: usize) -> Result<()> {
        let making = stream::iter(0..count).map(|number| async move {
            let url = self.receivers.url(number);
            let event_type = format!("orders-{number}.created");
            self.stack.subscribe(&json!({"url": url, "event_type": event_type})).await?;
            if number > 0 && number % TOLD == 0 {
                say::progress(format!("{number} of {count} subscriptions"));
            }
            anyhow::Ok(())
        });
        making.buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Has so many deliveries wait for a receiver that is away, and those that were tried or are
    /// due put off.
    pub(super) async fn have_pending(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        // A port that is taken and not listened at refuses whoever comes.
        let away = TcpSocket::new_v4()?;
        away.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let url = format!("http://{}/", away.local_addr()?);
        self.away = Some(away);
        self.stack.subscribe(&json!({"url": url, "event_type": AWAY})).await?;
        say::progress(format!("{count} events for a receiver that is away"));
        let numbers = self.next..self.next + count as u64;
        self.next = numbers.end;
        source::pile(address(self.stack.plan().api()), numbers, AWAY).await?;
        self.comes_to_rest(count.min(COUNTED_TO)).await?;
        if let Some(postgres) = &self.stack.servers_ref().postgres {
            let said = postgres.ask("SELECT count(*) FROM pending_deliveries").await?;
            ensure!(said.trim().parse() == Ok(count), "{} pending, not {count}", said.trim());
            // Within a minute it would do so by itself: each of them was put off a moment ago.
            postgres.ask("VACUUM pending_deliveries").await?;
        }
        Ok(())
    }

    /// Waits until so many deliveries are pending, hardly one of them is due, and all events are
    /// dispatched.
    async fn comes_to_rest(&self, count: usize) -> Result<()> {
        let start = Stopwatch::start();
        tokio::time::sleep(FRESH).await;
        loop {
            let told = self.exposition().await?;
            let gauge = |name| told.value(name).context("the sidecar does not tell its backlog");
            let waiting = gauge("sidehook_backlog_undispatched_events")?;
            let due = gauge("sidehook_backlog_due_deliveries")?;
            let pending = gauge("sidehook_backlog_pending_deliveries")?;
            if pending >= per(count) && waiting < 1.0 && due < A_FEW {
                return Ok(());
            }
            let waited = start.elapsed();
            ensure!(
                waited < LIMIT,
                "{waiting} events not dispatched, {pending} deliveries pending, {due} of them due \
                 after {waited:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}
