//! Who may use whom within the sidecar, and whom the other packages may need.
//!
//! Invariant: a module that no layer knows is a fault, so that a new one is placed on purpose.

use crate::source::Source;

/// The modules of the sidecar, the lowest first. Those of one layer may use each other.
const LAYERS: [&[&str]; 7] = [
    &["model"],
    &["clock", "config", "form", "lifecycle", "neighbours", "observe", "trace"],
    &["access", "live", "queue", "route", "store", "transform"],
    &["deliver", "dispatch", "expire", "ingest", "measure", "sweep"],
    &["api", "console"],
    &["app"],
    &["cli", "main"],
];

/// The implementations of the seams; only the composition root names one.
const IMPLEMENTATIONS: [(&str, &[&str]); 2] =
    [("store", &["sqlite", "postgres"]), ("queue", &["local", "rabbitmq"])];

/// The one module that chooses implementations.
const COMPOSITION_ROOT: &str = "app";

/// What a file of the sidecar uses that it must not.
pub(crate) fn faults(source: &Source) -> Vec<String> {
    let path = source.path.to_string_lossy().into_owned();
    let Some(module) = path.strip_prefix("sidecar/src/").map(module_of) else { return Vec::new() };
    let Some(own) = module.first() else { return re_exports(source, &[]) };
    let Some(own_layer) = layer(own) else {
        return vec![format!("{path}: the module `{own}` is in no layer")];
    };
    let mut faults = re_exports(source, &module);
    for used in source.paths_from(&["crate", "super", "sidehook"]) {
        let used = absolute(&module, &used);
        let Some(first) = used.first() else { continue };
        let shown = used.join("::");
        let Some(layer) = layer(first) else { continue };
        if first != own && layer > own_layer {
            faults.push(format!("{path}: `{own}` must not use `{shown}`"));
        }
        if own != COMPOSITION_ROOT
            && names_another_implementation(&module, &used)
            && !is_test(&path)
        {
            faults.push(format!("{path}: only `{COMPOSITION_ROOT}` names `{shown}`"));
        }
    }
    faults
}

/// The packages of this project that a manifest names as dependencies.
pub(crate) fn ours_in(manifest: &str) -> Vec<&str> {
    let names = manifest.lines().filter_map(|line| line.split(['.', '=', ' ']).next());
    names.filter(|name| name.starts_with("sidehook") || *name == "xtask").collect()
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    match path {
        "lib" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// A path as seen from the root of the crate.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let base = if ups == 0 { 0 } else { module.len().saturating_sub(ups) };
    // Without `super` the path begins with the crate's name.
    module.iter().take(base).chain(path.iter().skip(ups.max(1))).cloned().collect()
}

fn names_another_implementation(module: &[String], used: &[String]) -> bool {
    let implementation = implementation_of(used);
    implementation.is_some() && implementation != implementation_of(module)
}

fn implementation_of(path: &[String]) -> Option<(&str, &str)> {
    let [seam, implementation, ..] = path else { return None };
    let (seam, known) = IMPLEMENTATIONS.into_iter().find(|(known, _)| known == seam)?;
    let known = known.iter().find(|known| *known == implementation)?;
    Some((seam, known))
}

/// A seam that re-exports an implementation hides who names it.
fn re_exports(source: &Source, module: &[String]) -> Vec<String> {
    let [seam] = module else { return Vec::new() };
    let Some((_, known)) = IMPLEMENTATIONS.into_iter().find(|(known, _)| known == seam) else {
        return Vec::new();
    };
    let mut roots = known.to_vec();
    roots.push("self");
    let used = source.paths_from(&roots).into_iter();
    let hidden = used.filter(|path| path.iter().any(|part| known.contains(&part.as_str())));
    hidden.map(|path| format!("{}: hides `{}`", source.path.display(), path.join("::"))).collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.ends_with("/testing.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        faults(&Source::new(&format!("sidecar/src/{path}"), text))
    }

    #[test]
    fn what_lies_below_may_be_used() {
        for (path, text) in [
            ("deliver/mod.rs", "use crate::{clock::Clock, model::Event, store::Store};"),
            ("deliver/sign.rs", "use super::outcome::Outcome;"),
            ("store/sqlite/mod.rs", "use super::Store; use crate::store::sqlite::rows::Row;"),
            ("store/sqlite/rows.rs", "use super::super::Store; use super::Pool;"),
            ("store/mod.rs", "pub mod sqlite;"),
            ("app.rs", "use crate::{queue::local::Local, store::sqlite::Sqlite};"),
            ("main.rs", "use sidehook::cli::run;"),
            ("lib.rs", "pub mod store;"),
        ] {
            assert_eq!(of(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn what_lies_above_may_not() {
        for (path, text) in [
            ("model/mod.rs", "use crate::store::Store;"),
            ("model/mod.rs", "use crate::clock::Clock;"),
            ("route/mod.rs", "use crate::{model::Event, ingest};"),
            ("route/mod.rs", "fn a() { crate::deliver::send() }"),
            ("queue/local.rs", "use super::super::deliver;"),
            ("dispatch.rs", "use super::api;"),
            ("api/mod.rs", "use crate::app::App;"),
            ("app.rs", "use crate::cli::Cli;"),
            ("brandnew.rs", ""),
        ] {
            assert_eq!(of(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn only_the_composition_root_names_an_implementation() {
        for (path, text) in [
            ("store/postgres/mod.rs", "use crate::store::sqlite::Pool;"),
            ("store/postgres/mod.rs", "use super::sqlite::Pool;"),
            ("queue/rabbitmq.rs", "use super::local::Local;"),
            ("ingest/mod.rs", "use crate::store::sqlite::Sqlite;"),
            ("cli/mod.rs", "use crate::queue::local::Local;"),
            ("store/mod.rs", "pub mod sqlite; pub use sqlite::Sqlite;"),
            ("store/mod.rs", "pub use self::{postgres::Postgres};"),
        ] {
            assert_eq!(of(path, text).len(), 1, "{path}: {text}: {:?}", of(path, text));
        }
        let test = "use crate::store::sqlite::Sqlite;";
        assert_eq!(of("ingest/tests.rs", test), Vec::<String>::new());
    }
}
