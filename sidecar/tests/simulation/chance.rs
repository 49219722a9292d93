//! Chance and time of a run: everything that is not decided follows from its seed.
//!
//! Invariant: the same seed is asked for the same numbers in the same order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sidehook::clock::Clock;
use tokio::time::Instant;

/// When every run begins, in nanoseconds since the Unix epoch.
const BEGINNING: u64 = 1_763_890_200_000_000_000;

/// Numbers that follow from a seed (`SplitMix64`). Clones draw from the same row.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Arc<AtomicU64>);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    pub(crate) fn draw(&self) -> u64 {
        let z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn happens(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

/// A clock whose time passes when everybody waits.
#[derive(Debug, Clone)]
pub(crate) struct Virtual {
    start: Instant,
    chance: Chance,
}

impl Virtual {
    #[expect(clippy::disallowed_methods, reason = "this is the clock, and its time is made up")]
    pub(crate) fn start(chance: &Chance) -> Self {
        Self { start: Instant::now(), chance: chance.clone() }
    }
}

#[async_trait]
impl Clock for Virtual {
    fn unix_nanos(&self) -> u64 {
        BEGINNING + u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX - BEGINNING)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn dice(&self) -> u64 {
        self.chance.draw()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
