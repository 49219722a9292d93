//! A resource to watch, as the command line names it: `people=/people`.
//!
//! Invariant: a path has whole segments, each literal or a `{parameter}`, and nothing that
//! normalisation at the gateway would change.

use std::{fmt::Write as _, str::FromStr};

use sidehook_event::event_type;
use thiserror::Error;

/// A resource and where the API keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What its events are called after: `people` in `people.created`.
    pub name: String,
    /// The path of the collection, without a slash at its end: `/orgs/{org}/people`.
    pub path: String,
}

/// Why a text names no resource.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidResource {
    /// There is no `=`.
    #[error("must be a name and a path, such as people=/people")]
    Incomplete,
    /// Not a name that events can be called after.
    #[error("the name may have lower-case letters, digits, '_' and '-', nothing else")]
    Name,
    /// A name that Sidehook's own events are called after.
    #[error("the name 'sidehook' is kept for what Sidehook tells of itself")]
    Reserved,
    /// Not a path from the root.
    #[error("the path must begin with '/' and name at least one segment")]
    Root,
    /// A query or a fragment.
    #[error("the path must not have a query or fragment")]
    Query,
    /// A segment that cannot arrive at the filter, or could be read in two ways.
    #[error(
        "the path's segment '{0}' must be of letters, digits and -._~!$&'()*+,:=@, \
         or a parameter such as {{org}}"
    )]
    Segment(String),
}

impl Resource {
    /// The regular expression (RE2, matching the whole path without its query) of everything at
    /// or below the path, in any case, with or without `;` parameters.
    ///
    /// It takes in more than the filter's rules do: what the API may read as this resource and
    /// the rules don't has to reach the filter to be counted.
    pub fn pattern(&self) -> String {
        let mut pattern = "(?i)".to_owned();
        for segment in self.path.split('/').skip(1) {
            pattern.push('/');
            if is_parameter(segment) {
                pattern.push_str("[^/]+");
            } else {
                segment.chars().for_each(|c| push_literal(&mut pattern, c));
                // Parameters of a segment: `/people;v=1/42`.
                pattern.push_str("(?:;[^/]*)?");
            }
        }
        pattern.push_str("(?:/.*)?");
        pattern
    }

    /// Whether a request could be meant for both.
    pub fn collides_with(&self, other: &Self) -> bool {
        self.pattern().eq_ignore_ascii_case(&other.pattern())
    }
}

impl FromStr for Resource {
    type Err = InvalidResource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').ok_or(InvalidResource::Incomplete)?;
        event_type::check_part(name).map_err(|_| InvalidResource::Name)?;
        if event_type::is_reserved(name) {
            return Err(InvalidResource::Reserved);
        }
        if path.contains(['?', '#']) {
            return Err(InvalidResource::Query);
        }
        let segments = path.strip_prefix('/').ok_or(InvalidResource::Root)?;
        let segments = segments.strip_suffix('/').unwrap_or(segments);
        if segments.is_empty() {
            return Err(InvalidResource::Root);
        }
        if let Some(bad) = segments.split('/').find(|segment| !is_segment(segment)) {
            return Err(InvalidResource::Segment(bad.escape_default().to_string()));
        }
        Ok(Self { name: name.to_owned(), path: format!("/{segments}") })
    }
}

fn is_parameter(segment: &str) -> bool {
    segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| event_type::check_part(name).is_ok())
}

fn is_segment(segment: &str) -> bool {
    // RFC 3986's pchar, without '%' and ';'.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,:=@".contains(c);
    is_parameter(segment) || (!matches!(segment, "" | "." | "..") && segment.chars().all(allowed))
}

fn push_literal(pattern: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || "-_~".contains(c) {
        pattern.push(c);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(pattern, "\\{c}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> Resource {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_and_a_path() {
        let expected = Resource { name: "people".to_owned(), path: "/people".to_owned() };
        assert_eq!(resource("people=/people"), expected);
        assert_eq!(resource("people=/people/"), expected);
        assert_eq!(resource("members=/orgs/{org}/people").path, "/orgs/{org}/people");
        assert_eq!(resource("odd=/a=b").path, "/a=b");
    }

    #[test]
    fn what_is_not_one_is_refused_with_its_reason() {
        use InvalidResource::{Incomplete, Name, Query, Reserved, Root, Segment};
        for (text, reason) in [
            ("people", Incomplete),
            ("=/people", Name),
            ("People=/people", Name),
            ("a.b=/people", Name),
            ("sidehook=/people", Reserved),
            ("people=people", Root),
            ("people=", Root),
            ("people=/", Root),
            ("people=/people?x", Query),
            ("people=/people#x", Query),
            ("people=//people", Segment(String::new())),
            ("people=/a/../b", Segment("..".to_owned())),
            ("people=/a%2fb", Segment("a%2fb".to_owned())),
            ("people=/{}", Segment("{}".to_owned())),
            ("people=/a b", Segment("a b".to_owned())),
            ("people=/a\n", Segment("a\\n".to_owned())),
        ] {
            assert_eq!(text.parse::<Resource>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn the_pattern_takes_in_all_at_or_below_the_path() {
        assert_eq!(resource("p=/people").pattern(), "(?i)/people(?:;[^/]*)?(?:/.*)?");
        assert_eq!(
            resource("p=/orgs/{org}/v1.0").pattern(),
            r"(?i)/orgs(?:;[^/]*)?/[^/]+/v1\.0(?:;[^/]*)?(?:/.*)?"
        );
    }

    #[test]
    fn the_same_path_in_other_words_collides() {
        let people = resource("people=/orgs/{org}/people");
        assert!(people.collides_with(&resource("staff=/Orgs/{id}/people/")));
        assert!(!people.collides_with(&resource("people=/people")));
    }
}
