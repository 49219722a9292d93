//! What is written on a receipt: from which connection a piece came, under which tag.
//!
//! Invariant: a receipt of this queue is never taken for one of the queue inside the process,
//! which counts its receipts from zero.

use crate::queue::Receipt;

/// Set in the receipts of this queue.
const OURS: u64 = 1 << 63;
const TAG_BITS: u32 = 48;
const TAG: u64 = (1 << TAG_BITS) - 1;
/// A worker would have to reconnect so often within one piece of work to mix up two connections.
const EPOCH: u64 = (1 << 15) - 1;

/// The receipt of what came on connection `epoch` as `tag`.
pub(super) fn of(epoch: u64, tag: u64) -> Receipt {
    Receipt(OURS | ((epoch & EPOCH) << TAG_BITS) | (tag & TAG))
}

/// Whether this queue wrote it.
pub(super) fn is_ours(receipt: Receipt) -> bool {
    receipt.0 & OURS != 0
}

/// The tag, if it came on connection `epoch`.
pub(super) fn tag(receipt: Receipt, epoch: u64) -> Option<u64> {
    let tag = receipt.0 & TAG;
    (of(epoch, tag) == receipt).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_good_for_its_own_connection_alone() {
        let receipt = of(7, 123);
        assert_eq!(tag(receipt, 7), Some(123));
        assert_eq!(tag(receipt, 8), None);
        assert!(is_ours(receipt));
    }

    #[test]
    fn a_receipt_of_the_other_queue_is_not_ours() {
        assert!(!is_ours(Receipt(123)));
        assert_eq!(tag(Receipt(123), 0), None);
    }
}
