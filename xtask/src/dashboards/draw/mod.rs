//! Draws a dashboard as a page of HTML: the panels that Grafana would show, in their places.
//!
//! Invariant: a page needs nothing but itself, and all text in it is escaped.

mod chart;
mod number;
mod paint;

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::board::{Board, Grid, Kind, Panel};
use crate::services::prometheus::{Series, Stretch};

/// The width of a page, in pixels.
pub const WIDTH: u32 = 1440;
/// The height of a cell of the grid, and what is left free around a panel.
const CELL: u32 = 32;
const GAP: u32 = 6;
const HEAD: u32 = 58;

const STYLE: &str = "body{margin:0;background:#111217;color:#ccccdc;font:12px Inter,'DejaVu Sans',sans-serif}\
    h1{font-size:19px;font-weight:500;margin:0;padding:12px 12px 2px}p{margin:0 12px;color:#8e8e9e}\
    div{position:absolute;box-sizing:border-box;overflow:hidden}\
    .panel{background:#181b1f;border:1px solid #2a2d34;border-radius:3px}\
    .row{font-size:15px;font-weight:500;padding-top:8px}\
    h2{font-size:12px;font-weight:500;margin:0;padding:6px 8px}\
    .legend{bottom:4px;left:8px;right:8px;line-height:16px;font-size:11px;white-space:nowrap}\
    .legend i{display:inline-block;width:12px;height:3px;border-radius:2px;margin:0 5px 3px 0}\
    .legend span{margin-right:12px}\
    .stat{inset:28px 6px 6px 6px;border-radius:3px;text-align:center;font-size:27px;font-weight:500;line-height:82px}\
    .none{inset:40% 0 0 0;text-align:center;color:#8e8e9e}\
    table{width:100%;border-collapse:collapse;font-size:11px}td,th{text-align:left;padding:5px 8px;border-top:1px solid #2a2d34}\
    text{fill:#8e8e9e;font-size:10px}";

/// A panel, and what each of its queries came to.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The panel.
    pub panel: &'a Panel,
    /// In the order of its queries.
    pub answers: Vec<Vec<Series>>,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its text.
    pub html: String,
    /// How high it is, in pixels.
    pub height: u32,
}

/// A line of a chart, or a number.
#[derive(Debug)]
struct Line {
    name: String,
    color: String,
    points: Vec<(f64, f64)>,
}

/// Draws it; `choice` is what the reader has chosen.
pub fn page(board: &Board, panels: &[Shown<'_>], stretch: Stretch, choice: &str) -> Page {
    let mut html = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{description} {choice}</p>",
        title = escaped(&board.title),
        description = escaped(&board.description),
        choice = escaped(choice),
    );
    let mut height = HEAD;
    for shown in panels {
        let Grid { y, h, .. } = shown.panel.grid;
        height = height.max(HEAD + (y + h) * CELL + GAP);
        html.push_str(&drawn(shown, stretch));
    }
    Page { html, height }
}

fn drawn(shown: &Shown<'_>, stretch: Stretch) -> String {
    let Panel { kind, title, grid, .. } = shown.panel;
    let column = |cells: u32| cells * WIDTH / 24;
    let (left, top) = (column(grid.x) + GAP / 2, HEAD + grid.y * CELL);
    let (width, height) = (column(grid.w) - GAP, grid.h * CELL - GAP);
    let place = format!("left:{left}px;top:{top}px;width:{width}px;height:{height}px");
    let title = escaped(title);
    let inside = match kind {
        Kind::Row => return format!("<div class=\"row\" style=\"{place}\">{title}</div>"),
        Kind::Stat => stat(shown),
        Kind::Timeseries => {
            let lines = lines(shown);
            chart::drawn(shown.panel, &lines, stretch, (width, height)) + &legend(&lines)
        }
        Kind::Table => table(shown),
    };
    format!("<div class=\"panel\" style=\"{place}\"><h2>{title}</h2>{inside}</div>")
}

/// The series of a panel, named and coloured.
fn lines(shown: &Shown<'_>) -> Vec<Line> {
    let answers = shown.panel.queries.iter().zip(&shown.answers);
    let series = answers.flat_map(|(query, series)| {
        series.iter().map(|series| (named(&query.legend, &series.labels), &series.points))
    });
    let lines = series.enumerate().map(|(number, (name, points))| {
        let color = shown.panel.overridden(&name, "color");
        let color = color.and_then(|color| color.get("fixedColor")?.as_str());
        let color = color.map_or_else(|| paint::usual(number), paint::color);
        Line { name, color, points: points.clone() }
    });
    lines.collect()
}

/// A legend with its labels filled in.
fn named(legend: &str, labels: &BTreeMap<String, String>) -> String {
    labels.iter().fold(legend.to_owned(), |name, (label, value)| {
        name.replace(&format!("{{{{{label}}}}}"), value)
    })
}

fn legend(lines: &[Line]) -> String {
    let entries = lines.iter().map(|Line { name, color, .. }| {
        format!("<span><i style=\"background:{color}\"></i>{}</span>", escaped(name))
    });
    format!("<div class=\"legend\">{}</div>", entries.collect::<String>())
}

fn stat(shown: &Shown<'_>) -> String {
    let mut values = shown.answers.iter().flatten().filter_map(|series| series.points.last());
    let Some((_, value)) = values.next_back().copied() else {
        return "<div class=\"none\">No data</div>".to_owned();
    };
    let (text, color) = paint::told(shown.panel, "/fieldConfig/defaults", value);
    let is_filled = shown.panel.setting("/options/colorMode") == Some(&Value::from("background"));
    let style = if is_filled {
        format!("background:{color};color:#111217")
    } else {
        format!("color:{color}")
    };
    format!("<div class=\"stat\" style=\"{style}\">{}</div>", escaped(&text))
}

/// A row for each value of the first column, which is a label; a column for each query.
fn table(shown: &Shown<'_>) -> String {
    let names = shown.panel.setting("/transformations/1/options/renameByName");
    let names = names.and_then(Value::as_object).cloned().unwrap_or_default();
    let label = names.keys().find(|key| !key.starts_with("Value #")).cloned().unwrap_or_default();
    let mut rows: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for (column, series) in shown.answers.iter().enumerate() {
        for one in series {
            let key = one.labels.get(&label).map_or("", String::as_str);
            let row = rows.entry(key).or_insert_with(|| vec![None; shown.answers.len()]);
            if let Some(cell) = row.get_mut(column) {
                *cell = one.points.last().map(|(_, value)| *value);
            }
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    // Of the queries, in their order, behind the label.
    let (values, labels): (Vec<_>, Vec<_>) =
        names.iter().partition(|(key, _)| key.starts_with("Value #"));
    let heads = labels.into_iter().chain(values).filter_map(|(_, name)| name.as_str());
    let heads: Vec<_> = heads.collect();
    let mut html = String::from("<table><tr>");
    for head in &heads {
        let _ = write!(html, "<th>{}</th>", escaped(head));
    }
    for (key, cells) in rows {
        let _ = write!(html, "<tr><td>{}</td>", escaped(key));
        for (head, cell) in heads.iter().skip(1).zip(cells) {
            let told = cell.map(|value| paint::told_of_field(shown.panel, head, value));
            let (text, color) = told.unwrap_or_default();
            let _ = write!(html, "<td style=\"color:{color}\">{}</td>", escaped(&text));
        }
    }
    html + "</table>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
