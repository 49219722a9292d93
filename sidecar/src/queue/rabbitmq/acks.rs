//! Which acknowledgements to send for what was settled. Pure. A message with several pieces of work is
//! acknowledged when the last of them is settled.
//!
//! Invariant: nothing is acknowledged before it is settled, and nothing twice, since the broker
//! closes the channel on which that happens.

use std::collections::BTreeMap;

/// What was handed over on one channel and is not settled, by delivery tag.
#[derive(Debug)]
pub(super) struct Unsettled<A>(BTreeMap<u64, Message<A>>);

#[derive(Debug)]
struct Message<A> {
    with: A,
    /// How much of it is not settled.
    left: usize,
}

/// An acknowledgement to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ack<A> {
    pub(super) with: A,
    /// Also stands for all that was handed over before it.
    pub(super) multiple: bool,
}

impl<A> Unsettled<A> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// So many pieces were handed over under `tag`; they can be acknowledged with `with`.
    pub(super) fn insert(&mut self, tag: u64, with: A, pieces: usize) {
        self.0.insert(tag, Message { with, left: pieces });
    }

    /// A piece of each of these is settled. Everything before the oldest that is not takes one acknowledgement,
    /// everything behind it one each: it must not wait for the slowest.
    pub(super) fn settle(&mut self, tags: impl IntoIterator<Item = u64>) -> Vec<Ack<A>> {
        let known = tags.into_iter().filter_map(|tag| Some((tag, self.take_one(tag)?)));
        let mut known: Vec<_> = known.collect();
        known.sort_unstable_by_key(|(tag, _)| *tag);
        let oldest = self.0.keys().next().copied().unwrap_or(u64::MAX);
        let before = known.partition_point(|(tag, _)| *tag < oldest);
        let behind = known.split_off(before);
        let newest = known.pop().map(|(_, with)| Ack { with, multiple: true });
        let each = behind.into_iter().map(|(_, with)| Ack { with, multiple: false });
        newest.into_iter().chain(each).collect()
    }

    /// One piece fewer is left of it; if it was the last, how to acknowledge it.
    fn take_one(&mut self, tag: u64) -> Option<A> {
        let message = self.0.get_mut(&tag)?;
        message.left = message.left.saturating_sub(1);
        if message.left > 0 {
            return None;
        }
        self.0.remove(&tag).map(|message| message.with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed_over(tags: impl IntoIterator<Item = u64>) -> Unsettled<u64> {
        let mut unsettled = Unsettled::new();
        tags.into_iter().for_each(|tag| unsettled.insert(tag, tag, 1));
        unsettled
    }

    fn settle(unsettled: &mut Unsettled<u64>, tags: &[u64]) -> Vec<(u64, bool)> {
        let acks = unsettled.settle(tags.iter().copied());
        acks.into_iter().map(|Ack { with, multiple }| (with, multiple)).collect()
    }

    #[test]
    fn what_is_in_a_row_takes_one_acknowledgement() {
        let mut unsettled = handed_over(1..=5);
        assert_eq!(settle(&mut unsettled, &[3, 1, 2]), [(3, true)]);
        assert_eq!(settle(&mut unsettled, &[4, 5]), [(5, true)]);
    }

    #[test]
    fn what_overtook_a_slow_one_is_acknowledged_by_itself() {
        let mut unsettled = handed_over(1..=5);
        assert_eq!(settle(&mut unsettled, &[2, 4]), [(2, false), (4, false)]);
        assert_eq!(settle(&mut unsettled, &[1, 5]), [(1, true), (5, false)]);
        assert_eq!(settle(&mut unsettled, &[3]), [(3, true)]);
    }

    #[test]
    fn what_holds_several_is_acknowledged_with_the_last_of_them() {
        let mut unsettled = handed_over([1, 3]);
        unsettled.insert(2, 2, 3);
        assert_eq!(settle(&mut unsettled, &[2, 3, 2]), [(3, false)]);
        assert_eq!(settle(&mut unsettled, &[1]), [(1, true)]);
        assert_eq!(settle(&mut unsettled, &[2]), [(2, true)]);
    }

    #[test]
    fn what_is_unknown_or_settled_before_is_left_alone() {
        let mut unsettled = handed_over(1..=2);
        assert_eq!(settle(&mut unsettled, &[1]), [(1, true)]);
        assert_eq!(settle(&mut unsettled, &[1, 9]), []);
    }
}
