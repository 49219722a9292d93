//! Follows one sidecar's stream, and comes back to it when it has gone away.
//!
//! Invariant: what the sidecar refuses, and one that was never there, is not asked again; one that
//! went away is asked for ever, with pauses that grow.

use std::{sync::Arc, time::Duration};

use reqwest::Response;
use tokio::sync::mpsc;

use super::events::{Events, TooLong};
use crate::{
    cli::reach::{Reach, Unanswered},
    clock::Clock,
};

/// The pause before it is asked again the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows one sidecar.
pub(super) struct Follower {
    pub(super) reach: Reach,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) told: mpsc::Sender<Told>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is told, and which sidecar it is about.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) from: String,
    pub(super) what: What,
}

/// What a follower has to tell.
#[derive(Debug)]
pub(super) enum What {
    /// This happened, in the sidecar's own JSON.
    Happened(String),
    /// How it stands with the connection.
    Notice(String),
}

impl Follower {
    /// Follows until it must give up; says why.
    pub(super) async fn run(self) -> anyhow::Error {
        let from = self.reach.place();
        let query: Vec<_> = self.query.iter().map(|(name, wish)| (*name, wish.as_str())).collect();
        let (mut was_there, mut pause) = (false, FIRST_PAUSE);
        loop {
            let ended = match self.reach.listen(&["stream"], &query).await {
                Ok(stream) => {
                    let again =
                        if was_there { " again; what happened meanwhile is not shown" } else { "" };
                    self.tell(What::Notice(format!("listening at {from}{again}"))).await;
                    (was_there, pause) = (true, FIRST_PAUSE);
                    self.pass_on(stream).await
                }
                Err(Unanswered::Refused(reason)) => return reason,
                Err(Unanswered::Away(reason)) if !was_there => return reason,
                Err(Unanswered::Away(reason)) => format!("{reason:#}"),
            };
            let shown = humantime::format_duration(pause);
            self.tell(What::Notice(format!("{ended}; asking again in {shown}"))).await;
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Passes on what comes until the stream ends; says how it did.
    async fn pass_on(&self, mut stream: Response) -> String {
        let from = self.reach.place();
        let mut events = Events::default();
        loop {
            let bytes = match stream.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return format!("the sidecar at {from} ended the stream"),
                Err(error) => {
                    let error = anyhow::Error::from(error.without_url());
                    return format!("the stream of {from} broke: {error:#}");
                }
            };
            match events.feed(&bytes) {
                Ok(whole) => {
                    for data in whole {
                        self.tell(What::Happened(data)).await;
                    }
                }
                Err(TooLong) => return format!("what {from} sends is no stream of ours"),
            }
        }
    }

    async fn tell(&self, what: What) {
        // With nobody left to show it, the process is about to end.
        let _ = self.told.send(Told { from: self.reach.place(), what }).await;
    }
}
