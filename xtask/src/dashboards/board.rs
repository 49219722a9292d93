//! A dashboard of `docs/monitoring/grafana/`, as far as it is drawn here.
//!
//! Invariant: what cannot be understood is a failure, so that no panel is passed over.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::workspace;

/// The dashboards, by the names of their files.
pub const NAMES: [&str; 3] = ["deliveries", "gateway", "subscription"];

/// A dashboard.
#[derive(Debug)]
pub struct Board {
    /// The name of its file.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What its reader chooses, each with where the choices come from.
    pub variables: Vec<Variable>,
    /// Its panels, rows among them.
    pub panels: Vec<Panel>,
    /// What it marks on all panels.
    pub annotations: Vec<String>,
}

/// Something that the reader chooses: a value of this label of this metric.
#[derive(Debug)]
pub struct Variable {
    /// What queries call it.
    pub name: String,
    /// The metric.
    pub metric: String,
    /// The label.
    pub label: String,
}

/// A panel.
#[derive(Debug)]
pub struct Panel {
    /// How it is drawn.
    pub kind: Kind,
    /// Its title.
    pub title: String,
    /// What it shows.
    pub description: String,
    /// Where it stands, in cells of a grid that is 24 wide.
    pub grid: Grid,
    /// What it asks.
    pub queries: Vec<Query>,
    /// Its unit, thresholds, colours and the like, as Grafana has them.
    pub settings: Value,
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The title of those below it.
    Row,
    /// One number.
    Stat,
    /// Lines.
    Timeseries,
    /// Rows of numbers.
    Table,
}

/// A place, and a size.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Cells to the right.
    pub w: u32,
    /// Cells down.
    pub h: u32,
}

/// A query of a panel.
#[derive(Debug)]
pub struct Query {
    /// In Prometheus' language, with variables.
    pub expr: String,
    /// What its series are called, with `{{label}}`.
    pub legend: String,
    /// Whether it is asked for now alone.
    pub instant: bool,
}

impl Board {
    /// Reads all of them.
    pub fn all() -> Result<Vec<Self>> {
        let folder = workspace::root().join("docs/monitoring/grafana");
        let boards = NAMES.into_iter().map(|name| {
            let text = fs::read_to_string(folder.join(name).with_extension("json"))?;
            Self::read(name, &serde_json::from_str(&text)?).with_context(|| format!("{name}.json"))
        });
        boards.collect()
    }

    fn read(name: &'static str, json: &Value) -> Result<Self> {
        Ok(Self {
            name,
            title: text(json, "title")?,
            description: text(json, "description")?,
            variables: list(json, "/templating/list", variable)?,
            panels: list(json, "/panels", panel)?,
            annotations: list(json, "/annotations/list", |each| text(each, "expr"))?,
        })
    }
}

impl Panel {
    /// One of its settings.
    pub fn setting(&self, pointer: &str) -> Option<&Value> {
        self.settings.pointer(pointer)
    }

    /// What an override says about the field of this name.
    pub fn overridden(&self, field: &str, property: &str) -> Option<&Value> {
        let overrides = self.setting("/fieldConfig/overrides")?.as_array()?;
        let mut of_field = overrides
            .iter()
            .filter(|each| each.pointer("/matcher/options").is_some_and(|name| name == field));
        of_field.find_map(|each| {
            let properties = each.get("properties")?.as_array()?;
            properties
                .iter()
                .find(|each| each.get("id").is_some_and(|id| id == property))?
                .get("value")
        })
    }
}

fn variable(json: &Value) -> Result<Variable> {
    let definition = text(json, "definition")?;
    let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (metric, label) = inner
        .and_then(|inner| inner.split_once(", "))
        .with_context(|| format!("no label_values(metric, label): {definition}"))?;
    let query = json.pointer("/query/query").and_then(Value::as_str);
    ensure!(query == Some(definition.as_str()), "two definitions of a variable");
    Ok(Variable { name: text(json, "name")?, metric: metric.to_owned(), label: label.to_owned() })
}

fn panel(json: &Value) -> Result<Panel> {
    let title = text(json, "title")?;
    let kind = match text(json, "type")?.as_str() {
        "row" => Kind::Row,
        "stat" => Kind::Stat,
        "timeseries" => Kind::Timeseries,
        "table" => Kind::Table,
        other => bail!("{title}: {other} is not drawn"),
    };
    let cell = |name: &str| json.get("gridPos")?.get(name)?.as_u64()?.try_into().ok();
    let grid = || Some(Grid { x: cell("x")?, y: cell("y")?, w: cell("w")?, h: cell("h")? });
    let (description, queries) = match kind {
        Kind::Row => (String::new(), Vec::new()),
        Kind::Stat | Kind::Timeseries | Kind::Table => {
            (text(json, "description")?, list(json, "/targets", query)?)
        }
    };
    let grid = grid().with_context(|| format!("{title} has no place"))?;
    Ok(Panel { kind, title, description, grid, queries, settings: json.clone() })
}

fn query(json: &Value) -> Result<Query> {
    let instant = json.get("instant").is_some_and(|instant| *instant == true);
    Ok(Query { expr: text(json, "expr")?, legend: text(json, "legendFormat")?, instant })
}

fn text(json: &Value, key: &str) -> Result<String> {
    let text = json.get(key).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("no {key} in {json}"))
}

fn list<T>(json: &Value, pointer: &str, read: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    let list = json.pointer(pointer).and_then(Value::as_array);
    list.with_context(|| format!("no {pointer}"))?.iter().map(read).collect()
}
