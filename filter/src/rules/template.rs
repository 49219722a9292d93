//! Path templates as the configuration writes them: `/orgs/{org}/people`. Pure.
//!
//! Invariant: a template has at least one literal segment, and no parameter twice.

use std::borrow::Cow;

use serde::Deserialize;

/// A path with parameters in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Segment>);

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Stands for itself.
    Literal(String),
    /// Stands for any one segment.
    Parameter(String),
}

impl Segment {
    /// Whether it stands for itself.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }
}

impl Template {
    /// Its segments.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The template of one resource in this collection.
    pub fn item(&self) -> Vec<Segment> {
        let mut segments = self.0.clone();
        segments.push(Segment::Parameter("id".into()));
        segments
    }

    /// The literals before the first parameter, in lower case.
    pub fn prefix(&self) -> Vec<String> {
        let literal = |segment: &Segment| match segment {
            Segment::Literal(text) => Some(text.to_lowercase()),
            Segment::Parameter(_) => None,
        };
        self.0.iter().map_while(literal).collect()
    }
}

/// Whether a path of these segments is one that the template describes.
pub(super) fn fits(template: &[Segment], path: &[Cow<'_, str>]) -> bool {
    let same = |(segment, part): (&Segment, &Cow<'_, str>)| match segment {
        Segment::Literal(text) => text == part,
        Segment::Parameter(_) => true,
    };
    template.len() == path.len() && template.iter().zip(path).all(same)
}

/// Whether two templates describe the same paths.
pub(super) fn same_shape(one: &[Segment], other: &[Segment]) -> bool {
    let same = |pair: (&Segment, &Segment)| match pair {
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (Segment::Parameter(_), Segment::Parameter(_)) => true,
        _ => false,
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

impl TryFrom<String> for Template {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let path = text.strip_prefix('/').ok_or("must start with '/'")?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments = path.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        if !segments.iter().any(Segment::is_literal) {
            return Err("must have a segment that is not a parameter");
        }
        let twice = |(at, segment): (usize, &Segment)| {
            let before = segments.iter().take(at);
            !segment.is_literal() && before.into_iter().any(|other| other == segment)
        };
        if segments.iter().enumerate().any(twice) {
            return Err("must not have the same parameter twice");
        }
        Ok(Self(segments))
    }
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = name.unwrap_or(text);
    if inner.is_empty() || matches!(inner, "." | "..") {
        return Err("must not have an empty segment, '.' or '..'");
    }
    if inner.contains(['{', '}', '?', '#', '%', '*', ';', '\\']) {
        return Err("may have '{name}' only as a whole segment, and no query, escape or wildcard");
    }
    Ok(match name {
        Some(name) => Segment::Parameter(name.to_owned()),
        None => Segment::Literal(text.to_owned()),
    })
}
