//! What servers that were asked say, as it is shown.
//!
//! Invariant: it is short, on one line, and a terminal obeys none of it.

use serde::Deserialize;

use super::terminal::escaped;

/// As much of an answer as is shown, in characters.
const EXCERPT: usize = 200;

/// The reason that an answer gives: a problem's detail, else its first words.
pub(super) fn reason_in(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
    }
    let problem = serde_json::from_str::<Problem>(body).ok();
    let reason = problem.and_then(|problem| problem.detail.or(problem.title));
    let reason: String =
        reason.unwrap_or_else(|| body.trim().to_owned()).chars().take(EXCERPT).collect();
    if reason.is_empty() {
        "no reason given".to_owned()
    } else {
        escaped(&reason.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_problems_own_and_harmless() {
        assert_eq!(reason_in(r#"{"title": "Not ready", "detail": "disk full"}"#), "disk full");
        assert_eq!(reason_in(r#"{"title": "Not ready"}"#), "Not ready");
        assert_eq!(reason_in("no\x1b[2J\nstore"), "no\\u001b[2J store");
        assert_eq!(reason_in(&"a".repeat(1000)).len(), EXCERPT);
        assert_eq!(reason_in(""), "no reason given");
    }
}
