//! Which events a subscription wants, by what is in them: `{"data.role": "admin"}`.
//!
//! Invariant: a filter can be asked of any event, and only ever answers yes or no. What is missing
//! is equal to nothing, and neither more nor less than anything.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use sidehook_script_engine::path;
use thiserror::Error;

/// The most conditions of a filter, and how deeply they may stand within each other.
const MOST: (usize, usize) = (100, 8);

/// What is asked of an event.
#[derive(Debug, Clone)]
pub struct Filter {
    /// As it was written.
    written: Map<String, Value>,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    At(Vec<String>, Condition),
}

#[derive(Debug, Clone)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Equal(Value),
    In(Vec<Value>),
    Compared(Value, fn(Ordering) -> bool),
    Exists(bool),
    Prefix(String),
    Suffix(String),
    Contains(Value),
}

/// What is wrong with a filter, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place} {message}")]
pub struct FilterFlaw {
    /// The path of the member; empty for the whole.
    pub place: String,
    /// What is wrong with it: "must be a list".
    pub message: String,
}

type Parsed<T> = Result<T, FilterFlaw>;

impl Filter {
    /// Reads a filter.
    pub fn parse(written: Map<String, Value>) -> Result<Self, FilterFlaw> {
        let mut count = 0;
        let rule = rule(&written, 0, &mut count)?;
        Ok(Self { written, rule })
    }

    /// As it was written.
    pub fn written(&self) -> &Map<String, Value> {
        &self.written
    }

    /// Whether the event is wanted.
    pub fn matches(&self, event: &Value) -> bool {
        self.rule.holds(event)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

fn flaw<T>(message: impl Into<String>) -> Parsed<T> {
    Err(FilterFlaw { place: String::new(), message: message.into() })
}

/// The same, seen from the value that has it as its member `name`.
fn within<T>(name: &str, parsed: Parsed<T>) -> Parsed<T> {
    parsed.map_err(|flaw| {
        let between = if flaw.place.is_empty() || flaw.place.starts_with('[') { "" } else { "." };
        FilterFlaw { place: format!("[\"{name}\"]{between}{}", flaw.place), ..flaw }
    })
}

fn counted(depth: usize, count: &mut usize) -> Parsed<()> {
    *count += 1;
    if *count > MOST.0 {
        return flaw(format!("must not have more than {} conditions", MOST.0));
    }
    if depth > MOST.1 {
        return flaw(format!("must not be nested more than {} deep", MOST.1));
    }
    Ok(())
}

fn rule(written: &Map<String, Value>, depth: usize, count: &mut usize) -> Parsed<Rule> {
    counted(depth, count)?;
    let rules = written.iter().map(|(name, value)| {
        let rule = match name.as_str() {
            "all" => list(value, |value| inner(value, depth, count)).map(Rule::All),
            "any" => list(value, |value| inner(value, depth, count)).map(Rule::Any),
            "not" => inner(value, depth, count).map(|rule| Rule::Not(Box::new(rule))),
            at => match path::parse(at).filter(|steps| !steps.is_empty()) {
                Some(steps) => {
                    condition(value, depth + 1, count).map(|asked| Rule::At(steps, asked))
                }
                None => flaw("must be a path such as data.role, or all, any or not"),
            },
        };
        within(name, rule)
    });
    rules.collect::<Parsed<_>>().map(Rule::All)
}

fn inner(value: &Value, depth: usize, count: &mut usize) -> Parsed<Rule> {
    match value {
        Value::Object(written) => rule(written, depth + 1, count),
        _ => flaw("must be a filter, an object"),
    }
}

fn list<T>(value: &Value, mut each: impl FnMut(&Value) -> Parsed<T>) -> Parsed<Vec<T>> {
    let Value::Array(values) = value else { return flaw("must be a list") };
    if values.is_empty() {
        return flaw("must not be empty");
    }
    let numbered = values.iter().enumerate();
    let each = numbered.map(|(number, value)| {
        each(value).map_err(|flaw| {
            let between =
                if flaw.place.is_empty() || flaw.place.starts_with('[') { "" } else { "." };
            FilterFlaw { place: format!("[{number}]{between}{}", flaw.place), ..flaw }
        })
    });
    each.collect()
}

fn condition(value: &Value, depth: usize, count: &mut usize) -> Parsed<Condition> {
    counted(depth, count)?;
    let operators = match value {
        Value::Object(operators) => operators,
        Value::Array(_) => return flaw("must be a value, or {\"in\": […]} for one of several"),
        plain => return Ok(Condition::Equal(plain.clone())),
    };
    if operators.is_empty() {
        return flaw("must not be empty");
    }
    let conditions = operators.iter().map(|(name, value)| {
        let condition = match name.as_str() {
            "all" => list(value, |value| condition(value, depth + 1, count)).map(Condition::All),
            "any" => list(value, |value| condition(value, depth + 1, count)).map(Condition::Any),
            "not" => {
                condition(value, depth + 1, count).map(|inner| Condition::Not(Box::new(inner)))
            }
            "eq" => Ok(Condition::Equal(value.clone())),
            "ne" => Ok(Condition::Not(Box::new(Condition::Equal(value.clone())))),
            "in" => list(value, |value| Ok(value.clone())).map(Condition::In),
            "gt" => compared(value, Ordering::is_gt),
            "gte" => compared(value, Ordering::is_ge),
            "lt" => compared(value, Ordering::is_lt),
            "lte" => compared(value, Ordering::is_le),
            "exists" => match value {
                Value::Bool(wanted) => Ok(Condition::Exists(*wanted)),
                _ => flaw("must be true or false"),
            },
            "prefix" => text(value).map(Condition::Prefix),
            "suffix" => text(value).map(Condition::Suffix),
            "contains" => Ok(Condition::Contains(value.clone())),
            _ => flaw(
                "is no operator: eq, ne, in, gt, gte, lt, lte, exists, prefix, suffix, contains, \
                 all, any or not",
            ),
        };
        within(name, condition)
    });
    conditions.collect::<Parsed<_>>().map(Condition::All)
}

fn compared(value: &Value, holds: fn(Ordering) -> bool) -> Parsed<Condition> {
    match value {
        Value::Number(_) | Value::String(_) => Ok(Condition::Compared(value.clone(), holds)),
        _ => flaw("must be a number or a string"),
    }
}

fn text(value: &Value) -> Parsed<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => flaw("must be a string"),
    }
}

impl Rule {
    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(event)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(event)),
            Self::Not(rule) => !rule.holds(event),
            Self::At(steps, condition) => condition.holds(at(event, steps)),
        }
    }
}

impl Condition {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::All(all), _) => all.iter().all(|condition| condition.holds(found)),
            (Self::Any(any), _) => any.iter().any(|condition| condition.holds(found)),
            (Self::Not(inner), _) => !inner.holds(found),
            (Self::Exists(wanted), _) => found.is_some() == *wanted,
            (_, None) => false,
            (Self::Equal(value), Some(found)) => equal(value, found),
            (Self::In(values), Some(found)) => values.iter().any(|value| equal(value, found)),
            (Self::Compared(value, holds), Some(found)) => compare(found, value).is_some_and(holds),
            (Self::Prefix(part), Some(found)) => {
                found.as_str().is_some_and(|text| text.starts_with(part))
            }
            (Self::Suffix(part), Some(found)) => {
                found.as_str().is_some_and(|text| text.ends_with(part))
            }
            (Self::Contains(part), Some(Value::Array(found))) => {
                found.iter().any(|value| equal(part, value))
            }
            (Self::Contains(part), Some(found)) => {
                found.as_str().zip(part.as_str()).is_some_and(|(text, part)| text.contains(part))
            }
        }
    }
}

/// What lies at the end of the way.
fn at<'a>(value: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// 1 and 1.0 are the same number.
fn equal(left: &Value, right: &Value) -> bool {
    left == right || compare(left, right).is_some_and(Ordering::is_eq)
}

/// Numbers by their size, texts by their letters; nothing else.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
