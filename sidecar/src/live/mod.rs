//! What happens in this process, told as it happens to whoever listens.
//!
//! Those who tell never wait: a listener that does not keep up misses some, and learns how many.
//! Nothing is kept for those who come later; what has happened is in the store.
//!
//! Invariant: while nobody listens, telling is one look at a counter; whoever listens, the memory
//! that it takes is bounded.

mod happening;
mod wanted;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use thiserror::Error;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

pub use happening::{About, Happening, Kind, What, of_verdicts};
pub use wanted::{OfOutcome, Wanted};

/// The most that listen at a time. Each costs a task and a connection, and what all hear is
/// written anew for each.
pub const LISTENERS: usize = 32;

/// How many happenings a listener may lag behind before it misses the oldest.
pub const LAG: usize = 4096;

/// Why somebody cannot listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// As many listen as may.
    #[error("{LISTENERS} listen already, and that is the most")]
    Crowded,
    /// The process is about to end.
    #[error("shutting down")]
    Ended,
}

/// Where happenings are told. Clones tell to the same listeners.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listeners: AtomicUsize,
    happenings: broadcast::Sender<Arc<Happening>>,
    ended: CancellationToken,
}

/// One who listens, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    happenings: broadcast::Receiver<Arc<Happening>>,
    shared: Arc<Shared>,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something happened.
    Happening(Arc<Happening>),
    /// So many happened that it was too slow for.
    Missed(u64),
    /// The process is about to end, and tells no more.
    End,
}

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(Shared {
            listeners: AtomicUsize::new(0),
            happenings: broadcast::Sender::new(LAG),
            ended: CancellationToken::new(),
        }))
    }
}

impl Live {
    /// Whether anybody listens at the moment.
    pub fn is_heard(&self) -> bool {
        self.0.listeners.load(Ordering::Relaxed) > 0
    }

    /// Tells what `happenings` makes. It is made only if anybody listens.
    pub fn tell<I: IntoIterator<Item = Happening>>(&self, happenings: impl FnOnce() -> I) {
        if self.is_heard() {
            for happening in happenings() {
                // Whoever listened may just have left.
                let _ = self.0.happenings.send(Arc::new(happening));
            }
        }
    }

    /// Listens to what happens from now on.
    pub fn listen(&self) -> Result<Listener, Refused> {
        if self.0.ended.is_cancelled() {
            return Err(Refused::Ended);
        }
        let one_more = |count| (count < LISTENERS).then_some(count + 1);
        let counted = self.0.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map_err(|_| Refused::Crowded)?;
        Ok(Listener { happenings: self.0.happenings.subscribe(), shared: Arc::clone(&self.0) })
    }

    /// Ends the listening of all, since the process ends.
    pub fn end(&self) {
        self.0.ended.cancel();
    }
}

impl Listener {
    /// Waits for something to hear. Nothing is lost if it is given up.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            () = self.shared.ended.cancelled() => Heard::End,
            heard = self.happenings.recv() => match heard {
                Ok(happening) => Heard::Happening(happening),
                Err(RecvError::Lagged(count)) => Heard::Missed(count),
                Err(RecvError::Closed) => Heard::End,
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use happening::testing::event;

    #[tokio::test]
    async fn who_listens_hears_in_order_what_happens_from_then_on() {
        let live = Live::default();
        live.tell(|| [event(1)]);
        let mut listener = live.listen().unwrap();
        live.tell(|| [event(2), event(3)]);
        for number in [2, 3] {
            let Heard::Happening(heard) = listener.next().await else { panic!("nothing heard") };
            assert_eq!(*heard, event(number));
        }
        assert!(listener.next().now_or_never().is_none());
    }

    #[test]
    fn while_nobody_listens_nothing_is_made() {
        let live = Live::default();
        let never = || -> [Happening; 1] { panic!("made, although nobody listens") };
        live.tell(never);
        drop(live.listen().unwrap());
        live.tell(never);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_many_it_missed() {
        let live = Live::default();
        let (mut slow, mut quick) = (live.listen().unwrap(), live.listen().unwrap());
        for number in 0..LAG as u128 + 10 {
            live.tell(|| [event(number)]);
            assert!(matches!(quick.next().await, Heard::Happening(_)));
        }
        assert!(matches!(slow.next().await, Heard::Missed(10)));
        let Heard::Happening(heard) = slow.next().await else { panic!("nothing heard") };
        assert_eq!(*heard, event(10));
    }

    #[test]
    fn no_more_listen_than_may_until_one_leaves() {
        let live = Live::default();
        let mut all: Vec<_> = (0..LISTENERS).map(|_| live.listen().unwrap()).collect();
        assert_eq!(live.listen().err(), Some(Refused::Crowded));
        all.pop();
        assert!(live.listen().is_ok());
    }

    #[tokio::test]
    async fn at_the_end_all_are_told_and_nobody_comes() {
        let live = Live::default();
        let mut listener = live.listen().unwrap();
        live.end();
        assert!(matches!(listener.next().await, Heard::End));
        assert_eq!(live.listen().err(), Some(Refused::Ended));
    }
}
