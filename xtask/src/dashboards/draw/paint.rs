//! Colours and words for values: thresholds, mappings, and the colours that Grafana knows by name.
//!
//! Invariant: every value has a colour.

use serde_json::Value;

use super::number;
use crate::dashboards::board::Panel;

/// What lines are drawn in that have no colour of their own, one after the other.
const USUAL: [&str; 10] = [
    "green", "yellow", "blue", "orange", "red", "purple", "#37872D", "#8AB8FF", "#FFB357",
    "#A352CC",
];

/// The colour of the line of this number.
pub(super) fn usual(number: usize) -> String {
    color(USUAL.get(number % USUAL.len()).copied().unwrap_or_default())
}

/// What Grafana draws for this name in its dark theme.
pub(super) fn color(name: &str) -> String {
    let known = match name {
        "green" => "#73BF69",
        "semi-dark-green" => "#37872D",
        "yellow" => "#FADE2A",
        "orange" => "#FF9830",
        "red" => "#F2495C",
        "blue" => "#5794F2",
        "semi-dark-blue" => "#3274D9",
        "purple" => "#B877D9",
        other => other,
    };
    known.to_owned()
}

/// A value as text, and its colour, by what the settings of a panel say at this place.
pub(super) fn told(panel: &Panel, place: &str, value: f64) -> (String, String) {
    let setting = |name: &str| panel.setting(&format!("{place}/{name}"));
    let unit = setting("unit").and_then(Value::as_str).unwrap_or_default();
    let (text, mapped) = mapped(setting("mappings"), value);
    let text = text.unwrap_or_else(|| number::told(value, unit));
    let steps = setting("thresholds/steps").and_then(Value::as_array);
    let reached = steps.into_iter().flatten().filter(|step| {
        step.get("value").and_then(Value::as_f64).is_none_or(|least| value >= least)
    });
    let mut reached = reached.filter_map(|step| step.get("color")?.as_str());
    let reached = reached.next_back();
    (text, mapped.or(reached.map(color)).unwrap_or_else(|| usual(0)))
}

/// The same for a field of a table, by its overrides.
pub(super) fn told_of_field(panel: &Panel, field: &str, value: f64) -> (String, String) {
    let unit = panel.overridden(field, "unit").and_then(Value::as_str).unwrap_or_default();
    let (text, color) = mapped(panel.overridden(field, "mappings"), value);
    (text.unwrap_or_else(|| number::told(value, unit)), color.unwrap_or_default())
}

/// The text and the colour that stand for this very value, if any do.
fn mapped(mappings: Option<&Value>, value: f64) -> (Option<String>, Option<String>) {
    let found =
        mappings.and_then(|mappings| mappings.pointer("/0/options")?.get(value.to_string()));
    let part = |name: &str| found.and_then(|found| found.get(name)?.as_str());
    (part("text").map(str::to_owned), part("color").map(color))
}
