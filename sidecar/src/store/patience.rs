//! Repeats a write until the store takes it. For workers, which have nobody to give an error to.
//!
//! Invariant: an outage is logged twice, when it begins and when it ends, however long it lasts.

use std::{error::Error, time::Duration};

use super::Result;
use crate::clock::Clock;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Calls `write` until it succeeds, waiting longer after each failure. `what` completes the
/// sentence "failed to …". The caller cancels it by dropping.
pub async fn until_stored<T, F: Future<Output = Result<T>>>(
    clock: &dyn Clock,
    what: &'static str,
    write: impl Fn() -> F,
) -> T {
    let mut wait = FIRST_WAIT;
    let mut failures = 0_u32;
    loop {
        match write().await {
            Ok(value) => {
                if failures > 0 {
                    tracing::info!(what, failures, "the store takes writes again");
                }
                return value;
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        "failed to {what}, trying again until the store is back"
                    );
                }
                failures = failures.saturating_add(1);
                clock.sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}
