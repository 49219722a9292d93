//! The end of the process: the signals that ask for it, and the time it may take.
//!
//! Invariant: the first signal starts an orderly end, the second one ends at once; an orderly
//! end never takes longer than its deadline.

use std::{future::Future, io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by SIGINT or SIGTERM. A second signal ends the process at once, as if there were no
/// handler.
pub fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "stopping, once more stops at once");
        stopping.cancel();
        let name = next().await;
        tracing::warn!(signal = name, "stopped at once, what was under way will be repeated");
        // 128 and the number of the signal, as shells report it.
        std::process::exit(if name == "SIGINT" { 130 } else { 143 });
    });
    Ok(stop)
}

/// Waits for `drain`, but no longer than `deadline`. Says whether it came to its end.
pub async fn within(deadline: Duration, drain: impl Future<Output = ()>) -> bool {
    let ended = tokio::time::timeout(deadline, drain).await.is_ok();
    if !ended {
        let deadline = humantime::format_duration(deadline);
        tracing::warn!(%deadline, "not everything ended in time, what is left will be repeated");
    }
    ended
}
