//! The seam to time and chance. Whatever decides by them is handed a value; whatever waits asks
//! the clock.
//!
//! Invariant: no other file reads the system's clock or throws dice.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use sidehook_event::{TypeId, UnixMicros};

/// Time and chance.
#[async_trait]
pub trait Clock: Send + Sync + Debug + 'static {
    /// The time, to the nanosecond if the system gives it, since the Unix epoch.
    fn unix_nanos(&self) -> u64;

    /// Time that never goes back and has no meaning but its differences.
    fn monotonic(&self) -> Duration;

    /// 64 random bits, fit for secrets.
    fn dice(&self) -> u64;

    /// Waits.
    async fn sleep(&self, duration: Duration);

    /// The time.
    fn now(&self) -> UnixMicros {
        UnixMicros::from_nanos(self.unix_nanos())
    }
}

/// Mints an id from the time and the dice of `clock`.
pub fn mint<Id: TypeId>(clock: &dyn Clock) -> Id {
    Id::mint(clock.unix_nanos(), clock.dice())
}

/// The clock of the machine and the dice of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// The clock; its monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_nanos(&self) -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn dice(&self) -> u64 {
        rand::random()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
