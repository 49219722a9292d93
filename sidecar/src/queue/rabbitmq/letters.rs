//! What tells of deaths, on its way to the exchange of the dead letters.
//!
//! Invariant: it is said to be kept only when the broker has confirmed it.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use sidehook_event::Event;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::publisher::Piece;
use crate::queue::Unburied;

/// How long whoever dispatches waits for the broker.
const PATIENCE: Duration = Duration::from_secs(2);

/// A letter, and whom to tell that the broker has it. Dropped untold, it may not.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) event: Arc<Event>,
    kept: oneshot::Sender<()>,
}

impl Letter {
    /// The broker has it.
    pub(super) fn confirmed(self) {
        // Whoever waited for it may have lost patience.
        let _ = self.kept.send(());
    }
}

/// Publishes letters and waits until all of them are kept.
pub(super) async fn bury(
    events: Vec<Arc<Event>>,
    outbox: &mpsc::UnboundedSender<Piece>,
) -> Result<(), Unburied> {
    let confirmations = events.into_iter().map(|event| {
        let (kept, confirmation) = oneshot::channel();
        // The publisher ends with the queue; then the letter is dropped, which is noticed.
        let _ = outbox.send(Piece::Letter(Letter { event, kept }));
        confirmation
    });
    let confirmed = timeout(PATIENCE, join_all(confirmations)).await.map_err(|_| Unburied)?;
    if confirmed.iter().all(Result::is_ok) { Ok(()) } else { Err(Unburied) }
}
