//! What is wrong with what was sent, and where.
//!
//! Invariant: a flaw names the member it is about by its path from the top, and never repeats
//! what was sent, which may be a secret; but for the line of a script that cannot be run.

use std::fmt::{self, Display};

use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// The path of the member, such as `retry.schedule[2]`; empty for the whole.
    pub field: String,
    /// What is wrong with it, a sentence without its subject: "must be a string".
    pub message: String,
    /// Where in its text, if it is one of several lines.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
}

/// A place in a text that was sent, and what may help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line itself.
    pub text: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// All that is wrong, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaws(Vec<Flaw>);

impl Flaws {
    /// Something is wrong with the value itself.
    pub fn here(message: impl Display) -> Self {
        Self(vec![Flaw { field: String::new(), message: message.to_string(), place: None }])
    }

    /// Something is wrong at this place of the text.
    pub fn at_place(message: impl Display, place: Place) -> Self {
        let (message, place) = (message.to_string(), Some(Box::new(place)));
        Self(vec![Flaw { field: String::new(), message, place }])
    }

    /// Something is wrong with its member `field`.
    pub fn at(field: &str, message: impl Display) -> Self {
        Self::here(message).within(field)
    }

    /// The same, seen from the value that has this one as its member `field` (`[2]` in an
    /// array).
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        for flaw in &mut self.0 {
            let dot = if flaw.field.is_empty() || flaw.field.starts_with('[') { "" } else { "." };
            flaw.field = format!("{field}{dot}{}", flaw.field);
        }
        self
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// One after the other.
    pub fn into_list(self) -> Vec<Flaw> {
        self.0
    }

    /// Each in words, behind the path of its member.
    #[cfg(test)]
    pub(crate) fn told(self) -> Vec<String> {
        self.0.into_iter().map(|flaw| format!("{} {}", flaw.field, flaw.message)).collect()
    }
}

/// In one line: `url is required; enabled must be true or false`.
impl Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, flaw) in self.0.iter().enumerate() {
            let between = if n == 0 { "" } else { "; " };
            let field = if flaw.field.is_empty() { "the body" } else { &flaw.field };
            write!(f, "{between}{field} {}", flaw.message)?;
        }
        Ok(())
    }
}

/// Everything that was read, or everything that is wrong.
pub(crate) fn all<T, C: FromIterator<T>>(
    results: impl Iterator<Item = Result<T, Flaws>>,
) -> Result<C, Flaws> {
    let mut flaws = None;
    let read =
        results.filter_map(|result| result.map_err(|more| note(&mut flaws, more)).ok()).collect();
    flaws.map_or(Ok(read), Err)
}

/// Adds `more` to what was noted before.
pub(crate) fn note(noted: &mut Option<Flaws>, more: Flaws) {
    *noted = Some(match noted.take() {
        Some(earlier) => earlier.and(more),
        None => more,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_together_from_the_inside() {
        let flaws =
            Flaws::here("must be a duration").within("[2]").within("schedule").within("retry");
        let fields: Vec<_> = flaws.into_list().into_iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, ["retry.schedule[2]"]);
    }

    #[test]
    fn are_told_in_one_line() {
        let flaws = Flaws::here("must be a JSON object").and(Flaws::at("url", "is required"));
        assert_eq!(flaws.to_string(), "the body must be a JSON object; url is required");
    }

    #[test]
    fn all_flaws_are_kept() {
        let results = [Err(Flaws::at("a", "1")), Ok(7), Err(Flaws::at("b", "2"))];
        let read: Result<Vec<i32>, _> = all(results.into_iter());
        assert_eq!(read, Err(Flaws::at("a", "1").and(Flaws::at("b", "2"))));
        assert_eq!(all(std::iter::once(Ok(7))), Ok(vec![7]));
    }
}
