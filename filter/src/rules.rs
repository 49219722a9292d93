//! Which rule a write falls under: path template and method in, resource, change and id out. Pure.
//!
//! Paths are compared as an API is likely to read them: without query, without empty and dot
//! segments, percent-encoding undone. Being generous here can't invent an event, for one is only
//! made when the API answers 2xx; being strict would lose one. Upper and lower case differ.
//!
//! Invariant: of the rules that fit a path the most literal one is found, and no two fit equally.

mod path;
mod template;

use std::{borrow::Cow, cmp::Reverse};

use serde::Deserialize;

pub use path::last_segment;
pub use template::Template;
use template::{Segment, fits};

/// The methods that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Creates, or does what a rule names.
    Post,
    /// Replaces, or creates at a place of the client's choice.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// `None` for methods that do not write. Methods are case-sensitive (RFC 9110, section 9.1).
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"POST" => Some(Self::Post),
            b"PUT" => Some(Self::Put),
            b"PATCH" => Some(Self::Patch),
            b"DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// As it stands in the request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a rule makes of the writes on its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// POST on the path creates; PUT, PATCH and DELETE on `path/{id}` update and delete.
    Resource,
    /// One method on the path is one named event.
    Named {
        /// The method.
        method: Method,
        /// Whether the id in a body or in `Location` goes before the one in the path.
        id_from_body: bool,
    },
}

/// What a write does if it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Something new.
    Created,
    /// Something new if the answer is 201, else something changed.
    Replaced,
    /// Something changed.
    Updated,
    /// Something gone.
    Deleted,
    /// What the rule's event says.
    Named,
}

/// Where the resource is, as far as the path tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The parents of an id found elsewhere: `people`, `orgs/7/people`.
    under: Option<String>,
    /// The resource that the path itself names: `people/42`, `orgs/7/people/42`.
    here: Option<String>,
    /// Whether an id found elsewhere goes before `here`.
    elsewhere_first: bool,
    /// What the resource belongs to: the names of parameters and what stands there.
    parents: Vec<(String, String)>,
}

impl Place {
    /// The subject of the event; `elsewhere` looks for an id in bodies and headers, and is asked
    /// only if it matters.
    pub fn subject(&self, elsewhere: impl FnOnce() -> Option<String>) -> Option<String> {
        if self.here.is_some() && !self.elsewhere_first {
            return self.here.clone();
        }
        let found = elsewhere().map(|id| {
            // As a path would write it, so that it stays one segment.
            let id = if id.contains('/') { id.replace('/', "%2F") } else { id };
            match &self.under {
                Some(under) => [under, "/", &id].concat(),
                None => id,
            }
        });
        found.or_else(|| self.here.clone())
    }

    /// The subject without its id, if that is found elsewhere.
    pub fn under(&self) -> Option<&str> {
        self.under.as_deref()
    }

    /// What the resource belongs to, outermost first: the parameter's name and what stands there.
    pub fn parents(&self) -> &[(String, String)] {
        &self.parents
    }
}

/// What was found for a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It falls under a rule.
    Rule {
        /// Its position among the rules.
        index: usize,
        /// What the write does.
        change: Change,
        /// To what.
        place: Place,
    },
    /// It is on a path that rules watch over, but none fits: a hole, perhaps.
    Missed,
    /// No rule has to do with it.
    Unwatched,
}

/// Two rules that fit the same writes equally well, by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier rule.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

/// All rules, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    patterns: Vec<Pattern>,
    watched: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Pattern {
    segments: Vec<Segment>,
    index: usize,
    answers: Answers,
}

#[derive(Debug, Clone, Copy)]
enum Answers {
    Collection,
    Item,
    Named { method: Method, id_from_body: bool },
}

impl Rules {
    /// Prepares `rules`.
    pub fn new(rules: &[(Template, Writes)]) -> Result<Self, Conflict> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for (index, (template, writes)) in rules.iter().enumerate() {
            for pattern in Pattern::of(index, template, *writes) {
                let rival = patterns.iter().find(|other| other.rivals(&pattern));
                if let Some(Pattern { index: first, .. }) = rival {
                    let (first, second) = (*first, index);
                    return Err(Conflict { first, second });
                }
                patterns.push(pattern);
            }
        }
        // The sort is by where the literals stand: the further left, the earlier.
        patterns.sort_by_cached_key(|pattern| {
            let literal = pattern.segments.iter().map(Segment::is_literal);
            Reverse(literal.collect::<Vec<_>>())
        });
        let mut watched: Vec<_> = rules.iter().map(|(template, _)| template.prefix()).collect();
        watched.sort();
        watched.dedup();
        Ok(Self { patterns, watched })
    }

    /// The rule for a write with `method` on `path`, which may have a query.
    pub fn find(&self, method: Method, path: &str) -> Found {
        let segments = path::segments(path);
        let mut fitting = self.patterns.iter().filter(|p| fits(&p.segments, &segments));
        let answer = |p: &Pattern| {
            Some(Found::Rule {
                index: p.index,
                change: p.change(method)?,
                place: p.place(&segments),
            })
        };
        if let Some(found) = fitting.find_map(answer) {
            return found;
        }
        let loose = path::loosely(path);
        if self.watched.iter().any(|prefix| starts(&loose, prefix)) {
            return Found::Missed;
        }
        Found::Unwatched
    }
}

fn starts(path: &[Cow<'_, str>], prefix: &[String]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(part, literal)| part == literal)
}

impl Pattern {
    fn of(index: usize, template: &Template, writes: Writes) -> Vec<Self> {
        let pattern =
            |segments: &[Segment], answers| Self { segments: segments.to_vec(), index, answers };
        match writes {
            Writes::Resource => vec![
                pattern(template.segments(), Answers::Collection),
                pattern(&template.item(), Answers::Item),
            ],
            Writes::Named { method, id_from_body } => {
                vec![pattern(template.segments(), Answers::Named { method, id_from_body })]
            }
        }
    }

    fn change(&self, asked: Method) -> Option<Change> {
        match (self.answers, asked) {
            (Answers::Collection, Method::Post) => Some(Change::Created),
            (Answers::Item, Method::Put) => Some(Change::Replaced),
            (Answers::Item, Method::Patch) => Some(Change::Updated),
            (Answers::Item, Method::Delete) => Some(Change::Deleted),
            (Answers::Named { method, .. }, asked) if method == asked => Some(Change::Named),
            _ => None,
        }
    }

    fn rivals(&self, other: &Self) -> bool {
        const ALL: [Method; 4] = [Method::Post, Method::Put, Method::Patch, Method::Delete];
        let both = |&method: &Method| self.change(method).and(other.change(method)).is_some();
        template::same_shape(&self.segments, &other.segments) && ALL.iter().any(both)
    }

    fn place(&self, path: &[Cow<'_, str>]) -> Place {
        let parameters = || {
            let numbered = self.segments.iter().enumerate();
            numbered.filter_map(|(at, segment)| (!segment.is_literal()).then_some(at))
        };
        // A subject begins at the name of its outermost parent, or its own: `orgs/7/people/42`.
        let join = |end: usize| {
            let start = parameters().next().unwrap_or(end).checked_sub(1)?;
            Some(path.get(start..end)?.join("/"))
        };
        let here = || join(parameters().next_back()? + 1);
        let named = self.segments.iter().zip(path).filter_map(|(segment, part)| match segment {
            Segment::Parameter(name) => Some((name.clone(), part.clone().into_owned())),
            Segment::Literal(_) => None,
        });
        let mut parents: Vec<_> = named.collect();
        let is_the_resource = match self.answers {
            Answers::Collection => false,
            Answers::Item => true,
            Answers::Named { id_from_body, .. } => !id_from_body,
        };
        if is_the_resource {
            parents.pop();
        }
        match self.answers {
            Answers::Collection => Place { under: join(path.len()), parents, ..Place::default() },
            Answers::Item => Place { here: here(), parents, ..Place::default() },
            Answers::Named { id_from_body: elsewhere_first, .. } => {
                Place { under: join(path.len()), here: here(), elsewhere_first, parents }
            }
        }
    }
}

#[cfg(test)]
#[path = "rules/tests.rs"]
mod tests;
