//! How a happening is shown: one aligned line for people, or one of JSON. Pure.
//!
//! Invariant: it is one line whatever it holds, and a terminal obeys none of it but our own colours.

use serde::Deserialize;

use crate::cli::terminal::{Colour, coloured, escaped, to_the_second};

/// A happening, as the sidecar tells it. Which members there are depends on its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Happening {
    kind: String,
    at: String,
    event_id: Option<String>,
    event_type: Option<String>,
    source: Option<String>,
    delivery_id: Option<String>,
    subscription_id: Option<String>,
    host: Option<String>,
    state: Option<String>,
    reason: Option<String>,
    number: Option<u32>,
    outcome: Option<String>,
    status_code: Option<u16>,
    duration_ms: Option<u64>,
    error: Option<String>,
    next_attempt_at: Option<String>,
    cause: Option<String>,
    count: Option<u64>,
}

/// For programs: what the sidecar sent, with where it came from if that is not clear.
pub(super) fn for_programs(data: &str, from: Option<&str>) -> String {
    let from = from.map(|from| format!("{{\"api\":{},", serde_json::Value::from(from)));
    let whole = match (from, data.strip_prefix('{')) {
        (Some(from), Some(rest)) => format!("{from}{rest}"),
        _ => data.to_owned(),
    };
    one_line(&whole) + "\n"
}

/// For people: when, what, how it went, of which type, to whom, and the rest.
pub(super) fn for_people(data: &str, from: Option<&str>, colours: bool) -> String {
    // A sidecar of another version may tell what we do not know.
    let Ok(told) = serde_json::from_str::<Happening>(data) else { return one_line(data) + "\n" };
    let (state, colour) = told.state();
    let state = coloured(&format!("{:10}", one_line(&state)), colour.filter(|_| colours));
    let from = from.map_or(String::new(), |from| format!("{:22} ", one_line(from)));
    let [kind, event_type, host, rest] = [
        told.kind.replace('_', " "),
        told.event_type.clone().unwrap_or_default(),
        told.host.clone().unwrap_or_default(),
        told.rest(),
    ]
    .map(|cell| one_line(&cell));
    let at = told.time();
    let line = format!("{from}{at:12}  {kind:11}  {state}  {event_type:20}  {host:20}  {rest}");
    line.trim_end().to_owned() + "\n"
}

impl Happening {
    /// Of its instant the time of the day, to the millisecond, in UTC.
    fn time(&self) -> String {
        one_line(self.at.get(11..23).unwrap_or(&self.at))
    }

    fn state(&self) -> (String, Option<Colour>) {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        match self.kind.as_str() {
            "event" => ("stored".to_owned(), None),
            "delivery" => {
                let state = word(&self.state);
                let colour = match state.as_str() {
                    "delivered" => Some(Colour::Green),
                    "filtered" => Some(Colour::Yellow),
                    _ => None,
                };
                (state, colour)
            }
            "attempt" => {
                let outcome = word(&self.outcome);
                let is_well = outcome == "success";
                (outcome, Some(if is_well { Colour::Green } else { Colour::Red }))
            }
            "dead_letter" => (word(&self.cause), Some(Colour::Red)),
            "circuit" => {
                let state = word(&self.state);
                let is_open = state == "open";
                (state, Some(if is_open { Colour::Red } else { Colour::Green }))
            }
            "missed" => (self.count.unwrap_or_default().to_string(), Some(Colour::Yellow)),
            _ => (word(&self.state), None),
        }
    }

    fn rest(&self) -> String {
        let mut parts = Vec::new();
        if let Some(number) = self.number {
            parts.push(format!("attempt {number}"));
        }
        parts.extend(self.status_code.map(|code| code.to_string()));
        parts.extend(self.duration_ms.map(|duration| format!("{duration} ms")));
        // What an answer says of itself is in its status already.
        parts.extend(self.error.clone().filter(|_| self.status_code.is_none()));
        parts.extend(self.reason.clone());
        if let Some(next) = &self.next_attempt_at {
            let next = to_the_second(next);
            parts.push(format!("next {}", next.get(11..).unwrap_or(next)));
        }
        parts.extend(self.source.as_ref().map(|source| format!("from {source}")));
        if self.kind == "missed" {
            parts.push("too many at once to be told".to_owned());
        }
        let ids = [&self.delivery_id, &self.event_id, &self.subscription_id];
        parts.extend(ids.into_iter().flatten().next().cloned());
        parts.join(", ")
    }
}

fn one_line(text: &str) -> String {
    escaped(&text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 8] = [
        r#"{"kind":"event","at":"2025-11-23T09:30:00.123456Z","event_id":"evt_1","event_type":"people.created","source":"edge"}"#,
        r#"{"kind":"delivery","at":"2025-11-23T09:30:00.124Z","delivery_id":"dlv_1","event_id":"evt_1","event_type":"people.created","subscription_id":"sub_1","host":"example.com","state":"pending","reason":null}"#,
        r#"{"kind":"attempt","at":"2025-11-23T09:30:00.124000Z","delivery_id":"dlv_1","event_type":"people.created","host":"example.com","number":1,"outcome":"status","status_code":503,"duration_ms":12,"error":"answered 503","next_attempt_at":"2025-11-23T09:30:05.000000Z"}"#,
        r#"{"kind":"attempt","at":"2025-11-23T09:30:05.124000Z","delivery_id":"dlv_1","event_type":"people.created","host":"example.com","number":2,"outcome":"connection","status_code":null,"duration_ms":1,"error":"refused\nby it","next_attempt_at":null}"#,
        r#"{"kind":"dead_letter","at":"2025-11-23T09:30:05.124000Z","delivery_id":"dlv_1","event_type":"people.created","host":"example.com","cause":"exhausted","error":"refused by it"}"#,
        r#"{"kind":"delivery","at":"2025-11-23T09:30:06.000000Z","delivery_id":"dlv_2","event_type":"people.created","host":"example.com","state":"filtered","reason":"no \u001b[2J name"}"#,
        r#"{"kind":"circuit","at":"2025-11-23T09:30:06.000000Z","subscription_id":"sub_1","host":"example.com","state":"open"}"#,
        r#"{"kind":"missed","count":7}"#,
    ];

    #[test]
    fn people_see_one_aligned_line_each() {
        let lines = ALL.map(|data| for_people(data, None, false)).concat();
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn on_a_terminal_the_state_has_a_colour() {
        let line = for_people(ALL[2], None, true);
        assert!(line.contains("  \u{1b}[31mstatus    \u{1b}[0m  people.created"), "{line:?}");
    }

    #[test]
    fn of_several_sidecars_each_line_says_which() {
        let line = for_people(ALL[7], Some("sidecar-1:5000"), false);
        assert!(line.starts_with("sidecar-1:5000         "), "{line}");
        let line = for_programs(ALL[7], Some("sidecar-1:5000"));
        assert_eq!(line, "{\"api\":\"sidecar-1:5000\",\"kind\":\"missed\",\"count\":7}\n");
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_came_on_one_harmless_line() {
        assert_eq!(for_people("\u{1b}[2J\nno JSON", None, false), "\\u001b[2J no JSON\n");
        assert_eq!(for_programs("{\"a\":\n1}", None), "{\"a\": 1}\n");
        let line = for_people(r#"{"kind":"new","at":"soon"}"#, None, false);
        assert_eq!(line, "soon          new\n");
    }
}
