//! What a check found, and how it is told.
//!
//! Invariant: whatever is not in order comes with what to do about it.

use std::fmt;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// In order.
    Fine(String),
    /// Works, but not as it should.
    Warning { what: String, remedy: String },
    /// Doesn't work, or loses events.
    Problem { what: String, remedy: String },
}

impl Finding {
    pub(super) fn fine(what: impl Into<String>) -> Self {
        Self::Fine(what.into())
    }

    pub(super) fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Warning { what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Problem { what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn is_problem(&self) -> bool {
        matches!(self, Self::Problem { .. })
    }

    fn is_warning(&self) -> bool {
        matches!(self, Self::Warning { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine(what) => write!(f, "ok       {what}"),
            Self::Warning { what, remedy } => write!(f, "warning  {what}\n         → {remedy}"),
            Self::Problem { what, remedy } => write!(f, "problem  {what}\n         → {remedy}"),
        }
    }
}

/// How it stands, in one line.
pub(super) fn summary(findings: &[Finding]) -> String {
    let problems = findings.iter().filter(|finding| finding.is_problem()).count();
    let warnings = findings.iter().filter(|finding| finding.is_warning()).count();
    format!("{}, {}", counted(problems, "problem"), counted(warnings, "warning"))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
