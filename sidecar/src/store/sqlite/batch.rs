//! Statements over many rows at once: a row at a time, most of the work is the way to the row.
//!
//! Invariant: a statement comes in few sizes, so that all of its texts stay prepared.

use std::fmt::Write as _;

use sidehook_event::TypeId;

/// The rows of one statement, the most first.
const SIZES: [usize; 3] = [64, 8, 1];

/// A statement with a list of `VALUES`, in each of the [`SIZES`].
#[derive(Debug)]
pub(super) struct Batch {
    texts: [String; SIZES.len()],
}

impl Batch {
    /// The statement that is `head`, rows of so many `columns`, `tail`.
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let texts =
            SIZES.map(|size| format!("{head} {} {tail}", vec![row.as_str(); size].join(", ")));
        Self { texts }
    }

    /// The text for the most rows.
    #[cfg(test)]
    pub(super) fn largest(&'static self) -> &'static str {
        &self.texts[0]
    }

    /// Cuts `rows` into pieces for which there is a text.
    pub(super) fn split<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let mut sizes = SIZES.iter().zip(&self.texts);
            let (piece, rest, text) = sizes.find_map(|(size, text)| {
                let (piece, rest) = rows.split_at_checked(*size)?;
                Some((piece, rest, text))
            })?;
            rows = rest;
            Some((text.as_str(), piece))
        })
    }
}

/// A JSON list of ids, for `IN (SELECT unhex(value) FROM json_each(?))`.
pub(super) fn list<Id: TypeId>(ids: impl IntoIterator<Item = Id>) -> String {
    let mut list = String::from("[");
    for id in ids {
        let comma = if list.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(list, "{comma}\"{:032x}\"", id.bits());
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use sidehook_event::EventId;

    use super::*;

    static INSERT: LazyLock<Batch> = LazyLock::new(|| Batch::new("INSERT INTO t VALUES", 2, "x"));

    #[test]
    fn rows_are_cut_into_few_sizes_and_none_is_lost() {
        let rows: Vec<usize> = (0..155).collect();
        let pieces: Vec<_> = INSERT.split(&rows).collect();
        let sizes: Vec<_> = pieces.iter().map(|(_, piece)| piece.len()).collect();
        assert_eq!(sizes, [64, 64, 8, 8, 8, 1, 1, 1]);
        assert_eq!(pieces.iter().flat_map(|(_, piece)| *piece).count(), 155);
        assert_eq!(pieces.last().unwrap().0, "INSERT INTO t VALUES (?, ?) x");
        for (text, piece) in pieces {
            assert_eq!(text.matches('?').count(), 2 * piece.len());
        }
    }

    #[test]
    fn ids_are_listed_in_hex() {
        let ids = [1, 0xabc].map(EventId::from_bits);
        let expected = r#"["00000000000000000000000000000001","00000000000000000000000000000abc"]"#;
        assert_eq!(list(ids), expected);
        assert_eq!(list::<EventId>([]), "[]");
    }
}
