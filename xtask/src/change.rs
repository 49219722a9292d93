//! What a test or a measurement changes of the configuration that `sidehook gateway` writes.
//!
//! The changes are made in the text, as a person would make them, so that all the rest is what
//! users get.
//!
//! Invariant: a change that finds nothing to change is a failure.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// The filter is taken out, and what enables it.
    WithoutFilter,
    /// The filter looks at every route, not at the writes alone.
    Everywhere,
    /// Another filter takes the place of ours and everything that was said about it.
    Instead(Foreign),
    /// A filter that is no module takes its place and everything that was said about it: this is its
    /// configuration, typed, in lines of their own.
    Filter(&'static str),
    /// Another filter stands before ours, on every route, in a virtual machine of its own. When
    /// it crashes, Envoy goes on without it.
    Before(Foreign),
    /// A part of the text becomes another one.
    Part {
        /// What is there once.
        of: String,
        /// What stands there instead.
        by: String,
    },
    /// The filter buffers no more than this.
    Buffer {
        /// Events.
        events: usize,
        /// All of them together.
        kibibytes: usize,
    },
}

/// A filter that isn't ours.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// Where its module is.
    pub module: PathBuf,
    /// The text that it is configured with.
    pub configuration: &'static str,
}

// Lines of the template.
const OURS: &str = "                  - name: sidehook\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const DISABLED: &str = "                    disabled: true # the routes of the writes enable it\n";
const CONFIGURATION: &str = "                        configuration:\n";
const ENABLING: &str = "typed_per_filter_config:";
const MODULE: &str = "code: { local: { filename: ";
const BUFFER: &str = "buffer: { max_events: 10000, max_bytes: 16MiB }";

/// Makes all changes, one after the other.
pub fn apply(changes: &[Change], configuration: String) -> Result<String> {
    changes.iter().try_fold(configuration, |configuration, change| {
        let result = change.apply(&configuration);
        result.with_context(|| format!("failed to change {change:?} in {configuration}"))
    })
}

impl Change {
    /// Adds `more` behind `part`.
    pub fn behind(part: &str, more: &str) -> Self {
        Self::Part { of: part.to_owned(), by: format!("{part}{more}") }
    }

    fn apply(&self, text: &str) -> Result<String> {
        match self {
            Self::WithoutFilter => without_filter(text),
            Self::Everywhere => replaced(text, DISABLED, ""),
            Self::Instead(foreign) => foreign.in_place_of_ours(text),
            Self::Filter(configuration) => other_filter(text, configuration),
            Self::Part { of, by } => replaced(text, of, by),
            Self::Before(foreign) => replaced(text, OURS, &format!("{}{OURS}", foreign.filter())),
            Self::Buffer { events, kibibytes } => {
                let buffer =
                    format!("buffer: {{ max_events: {events}, max_bytes: {kibibytes}KiB }}");
                replaced(text, BUFFER, &buffer)
            }
        }
    }
}

impl Foreign {
    /// Its own entry in the list of filters.
    fn filter(&self) -> String {
        format!(
            r#"                  - name: foreign
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                      config:
                        name: foreign
                        root_id: foreign
                        failure_policy: FAIL_OPEN
                        vm_config:
                          vm_id: foreign
                          runtime: envoy.wasm.runtime.v8
                          {MODULE}"{}" }} }}
                        configuration: {}
"#,
            self.module.display(),
            self.text(),
        )
    }

    /// Only the module and its configuration change: where it stands, and what Envoy does when it
    /// crashes, remain.
    fn in_place_of_ours(&self, text: &str) -> Result<String> {
        let (before, rest) = text.split_once(MODULE).context("no module")?;
        let (_, rest) = rest.split_once('\n').context("nothing after the module")?;
        let (between, rest) = rest.split_once(CONFIGURATION).context("no configuration")?;
        let (_, after) = rest.split_once(ROUTER).context("no router")?;
        Ok(format!(
            "{before}{MODULE}\"{}\" }} }}\n{between}                        configuration: {}\n{ROUTER}{after}",
            self.module.display(),
            self.text(),
        ))
    }

    fn text(&self) -> String {
        let kind = "type.googleapis.com/google.protobuf.StringValue";
        format!(r#"{{ "@type": {kind}, value: "{}" }}"#, self.configuration)
    }
}

/// Only its name and where it is enabled remain.
fn other_filter(text: &str, configuration: &str) -> Result<String> {
    let (before, rest) = text.split_once(DISABLED).context("no filter")?;
    let (_, after) = rest.split_once(ROUTER).context("no router after the filter")?;
    let mut typed = String::from("                    typed_config:\n");
    for line in configuration.lines() {
        typed.push_str("                      ");
        typed.push_str(line);
        typed.push('\n');
    }
    Ok(format!("{before}{DISABLED}{typed}{ROUTER}{after}"))
}

fn without_filter(text: &str) -> Result<String> {
    let (before, rest) = text.split_once(OURS).context("no filter")?;
    let (_, after) = rest.split_once(ROUTER).context("no router after the filter")?;
    let mut lines = Vec::new();
    let mut enabling = false;
    for line in before.lines() {
        let starts = line.contains(ENABLING);
        if !starts && !enabling {
            lines.push(line);
        }
        enabling = starts;
    }
    let bare = format!("{}\n{ROUTER}{after}", lines.join("\n"));
    ensure!(!bare.contains(".wasm"), "the filter is still there");
    Ok(bare)
}

fn replaced(text: &str, part: &str, by: &str) -> Result<String> {
    ensure!(text.matches(part).count() == 1, "it is not there once: {part}");
    Ok(text.replace(part, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../sidecar/templates/envoy.yaml");

    fn crash() -> Foreign {
        Foreign { module: "/somewhere/other.wasm".into(), configuration: "crash" }
    }

    fn changed(change: Change) -> String {
        apply(&[change], TEMPLATE.to_owned()).unwrap()
    }

    #[test]
    fn without_the_filter_nothing_of_it_is_left_among_the_filters() {
        let text = changed(Change::WithoutFilter);
        assert!(!text.contains("FAIL_RELOAD") && !text.contains(ENABLING), "{text}");
        assert!(text.contains(ROUTER) && text.contains("cluster_name: sidehook"), "{text}");
    }

    #[test]
    fn in_place_of_ours_another_module_is_treated_alike() {
        let text = changed(Change::Instead(crash()));
        assert!(text.contains("FAIL_RELOAD") && text.contains(DISABLED), "{text}");
        assert!(text.contains("other.wasm") && !text.contains("hold_timeout:"), "{text}");
    }

    #[test]
    fn a_filter_that_is_no_module_is_enabled_where_ours_was() {
        let text = changed(Change::Filter("\"@type\": lua\nstat_prefix: x"));
        assert!(text.contains("                      stat_prefix: x\n"), "{text}");
        assert!(text.contains(DISABLED) && text.contains(ENABLING), "{text}");
        assert!(!text.contains(".wasm") && !text.contains("FAIL_RELOAD"), "{text}");
    }

    #[test]
    fn another_filter_comes_before_ours() {
        let text = changed(Change::Before(crash()));
        assert!(text.find("other.wasm") < text.find(OURS), "{text}");
    }

    #[test]
    fn a_change_of_something_that_is_not_there_fails() {
        let changes = [Change::Everywhere, Change::Everywhere];
        assert!(apply(&changes, TEMPLATE.to_owned()).is_err());
        let text = changed(Change::Buffer { events: 7, kibibytes: 9 });
        assert!(text.contains("max_events: 7, max_bytes: 9KiB"), "{text}");
    }
}
