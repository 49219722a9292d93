//! Dead letters on their way to their exchange: what tells of deaths, and what was malformed.
//!
//! Invariant: a letter is said to be kept only when the broker has confirmed it.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use sidehook_event::Event;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{publisher::Piece, wire};
use crate::queue::Unburied;

/// How long whoever dispatches waits for the broker.
const PATIENCE: Duration = Duration::from_secs(2);

/// A letter, and whom to tell that the broker has it. Dropped untold, it may not.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) message: wire::Message,
    kept: oneshot::Sender<()>,
}

impl Letter {
    /// The broker has it.
    pub(super) fn confirmed(self) {
        // Whoever waited for it may have lost patience.
        let _ = self.kept.send(());
    }
}

/// Publishes what tells of deaths and waits until all of it is kept.
pub(super) async fn bury(
    events: Vec<Arc<Event>>,
    outbox: &mpsc::UnboundedSender<Piece>,
) -> Result<(), Unburied> {
    let letters: Result<Vec<_>, _> = events.iter().map(|event| wire::letter(event)).collect();
    let letters = letters.map_err(|flaw| {
        tracing::debug!(%flaw, "what tells of a death has no form as a message");
        Unburied
    })?;
    keep(letters, outbox).await
}

/// Publishes letters and waits until all of them are kept.
pub(super) async fn keep(
    letters: Vec<wire::Message>,
    outbox: &mpsc::UnboundedSender<Piece>,
) -> Result<(), Unburied> {
    let confirmations = letters.into_iter().map(|message| {
        let (kept, confirmation) = oneshot::channel();
        // The publisher ends with the queue; then the letter is dropped, which is noticed.
        let _ = outbox.send(Piece::Letter(Box::new(Letter { message, kept })));
        confirmation
    });
    let confirmed = timeout(PATIENCE, join_all(confirmations)).await.map_err(|_| Unburied)?;
    if confirmed.iter().all(Result::is_ok) { Ok(()) } else { Err(Unburied) }
}
