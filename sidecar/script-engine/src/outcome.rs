//! What a script came to, and how that is told to whoever is outside the sandbox.
//!
//! A report is four bytes, little-endian, that say how long its head is; the head, JSON; and the
//! body to be sent, as it is.
//!
//! Invariant: a head is small, however large the body, and whatever a script threw.

use serde::{Deserialize, Serialize};

/// The most bytes of a text that tells what is wrong or why an event was dropped.
const LONGEST_TEXT: usize = 500;

/// What a script came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It can be run. (The answer to a compilation.)
    Ready,
    /// The body is to be sent.
    Send {
        /// What the body is.
        content_type: String,
        /// Further headers, names as they were written.
        headers: Vec<(String, String)>,
    },
    /// Nothing is to be sent.
    Dropped {
        /// In the script's words.
        reason: String,
    },
    /// It cannot be run, or did not end well.
    Failed(Fault),
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In words.
    pub message: String,
    /// From 1; 0 if it is about no line.
    pub line: u32,
    /// From 1, in characters; 0 if it is about no place in the line.
    pub column: u32,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

/// What is told of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether it may depend on the subscription, as far as can be seen.
    pub reads_subscription: bool,
    /// Steps that it took, where somebody watches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operations: Option<u64>,
    /// What it printed, where somebody watches.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub log: Vec<String>,
    /// What is to be sent.
    #[serde(skip)]
    pub body: Vec<u8>,
}

impl Fault {
    /// One that is about no line.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: shortened(message.into()), line: 0, column: 0, hint: None }
    }
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Self {
        let (operations, log, body) = (None, Vec::new(), Vec::new());
        Self { outcome, reads_subscription: false, operations, log, body }
    }
}

impl Report {
    /// As it leaves the sandbox.
    pub fn encode(&self) -> Vec<u8> {
        // Texts, numbers and lists of them can always be written.
        let head = serde_json::to_vec(self).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(4 + head.len() + self.body.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(head);
        bytes.extend(&self.body);
        bytes
    }

    /// Reads what left it; `None` if it is no report.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (head, body) = rest.split_at_checked(length)?;
        let report: Self = serde_json::from_slice(head).ok()?;
        Some(Self { body: body.to_vec(), ..report })
    }
}

/// As much of a text as is told.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let send = Outcome::Send {
            content_type: "text/csv".to_owned(),
            headers: vec![("x-a".to_owned(), "1".to_owned())],
        };
        let reports = [
            Report { body: b"a,b".to_vec(), operations: Some(3), ..send.into() },
            Outcome::Dropped { reason: "no need".to_owned() }.into(),
            Outcome::Failed(Fault::new("broken")).into(),
            Report { reads_subscription: true, ..Outcome::Ready.into() },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }

    #[test]
    fn what_is_no_report_is_not_taken_for_one() {
        for bytes in [&b""[..], b"\x01", b"\xff\xff\xff\xff{}", b"\x02\0\0\0{}", b"\x01\0\0\0{}"] {
            assert_eq!(Report::decode(bytes), None);
        }
    }

    #[test]
    fn a_text_of_megabytes_is_told_in_part() {
        let fault = Fault::new("ß".repeat(1 << 20));
        assert!(fault.message.len() < 510 && fault.message.ends_with("ß…"));
    }
}
