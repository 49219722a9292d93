//! What Envoy's version and its statistics tell about the filter and its way to the sidecar. Pure.
//!
//! Invariant: a counter that is not there is zero, never an error.

use std::collections::BTreeMap;

use super::finding::Finding;

/// The oldest Envoy whose filters may hold headers while they look at the body.
const OLDEST: (u32, u32) = (1, 35);

/// The Envoy that everything here is tested with.
const TESTED: (u32, u32) = (1, 40);

/// Envoy's statistics, as its admin interface lists them.
#[derive(Debug, Default)]
pub(super) struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads `name: number` lines and passes over the others, which are histograms.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.rsplit_once(": "));
        Self(pairs.filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?))).collect())
    }

    fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The sum over all plugins, whatever they are called.
    fn of_plugins(&self, name: &str) -> u64 {
        let suffix = format!(".{name}");
        let named = |key: &str| key.starts_with("wasm.") && key.ends_with(&suffix);
        self.0.iter().filter(|(key, _)| named(key)).map(|(_, n)| n).sum()
    }
}

/// Whether this Envoy is new enough. `text` has its version between slashes, as
/// `9e55…/1.40.0/Clean/RELEASE/BoringSSL`.
pub(super) fn version(text: &str) -> Finding {
    let numbers = |part: &str| {
        let mut numbers = part.split('.').map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    match text.split('/').find_map(|part| Some((part, numbers(part)?))) {
        Some((name, found)) if found < OLDEST => Finding::problem(
            format!("Envoy is of version {name}"),
            "take 1.35 or newer: older ones cannot hold an answer and read its body",
        ),
        Some((name, found)) if found == TESTED => {
            Finding::fine(format!("Envoy is of version {name}"))
        }
        Some((name, _)) => {
            Finding::fine(format!("Envoy is of version {name} (1.40 is the one tested)"))
        }
        None => {
            Finding::warning("Envoy's version cannot be told", "make sure that it is 1.35 or newer")
        }
    }
}

/// Whether the filter is loaded, has crashed, or has lost something.
pub(super) fn filter(stats: &Stats) -> Vec<Finding> {
    if stats.of("wasm.envoy.wasm.runtime.v8.active") == 0 {
        return vec![Finding::problem(
            "the filter is not loaded: Envoy runs no wasm VM",
            "put the filter into Envoy's configuration; `sidehook gateway` writes one",
        )];
    }
    let counter = |name: &str| stats.of(&format!("wasmcustom.sidehook.{name}"));
    let unreplaced = stats.of_plugins("vm_reload_failure");
    let replaced = stats.of_plugins("vm_reload_success");
    let unmatched = counter("missed.reason.unmatched.total");
    let at_risk = counter("at_risk");
    let lost = counter("dropped").saturating_add(counter("refused"));
    let troubles = [
        (
            unreplaced,
            Finding::problem(
                format!("crashed filters that could not be replaced: {unreplaced}"),
                "look for `wasm` in Envoy's log",
            ),
        ),
        (
            replaced,
            Finding::warning(
                format!("crashed filters that were replaced: {replaced}"),
                "look for `wasm` in Envoy's log; the events that were in memory are lost",
            ),
        ),
        (
            unmatched,
            Finding::warning(
                format!("writes beneath a watched path that matched no rule: {unmatched}"),
                "add a route for them to the filter's configuration, or leave them out on purpose",
            ),
        ),
        (
            at_risk,
            Finding::warning(
                format!("answers that went out before their event was stored: {at_risk}"),
                "see why the sidecar was slow or away; `capture: strict` never lets that happen",
            ),
        ),
        (
            lost,
            Finding::warning(
                format!("events lost: {lost}"),
                "see the sidecar's log, and whether the gateway's token is the sidecar's",
            ),
        ),
    ];
    let troubles = troubles.into_iter().filter(|(count, _)| *count > 0);
    let mut findings = vec![Finding::fine("the filter is loaded")];
    findings.extend(troubles.map(|(_, finding)| finding));
    findings
}

/// Whether Envoy reaches the sidecar through `cluster`.
pub(super) fn cluster(name: &str, stats: &Stats) -> Finding {
    let of = |stat: &str| stats.of(&format!("cluster.{name}.{stat}"));
    let added = stats.0.keys().any(|key| key.starts_with(&format!("cluster.{name}.")));
    if !added {
        return Finding::problem(
            format!("Envoy has no cluster {name}"),
            "add the sidecar's cluster; `sidehook gateway` writes one",
        );
    }
    if of("membership_total") == 0 {
        return Finding::problem(
            format!("cluster {name}: the sidecar's name has no address"),
            "see whether the name in the cluster resolves where Envoy runs",
        );
    }
    if of("upstream_cx_active") == 0 && of("upstream_cx_connect_fail") > 0 {
        return Finding::problem(
            format!("cluster {name}: Envoy cannot connect to the sidecar"),
            "start the sidecar, or correct the address in the cluster",
        );
    }
    Finding::fine(if of("upstream_cx_active") > 0 {
        format!("cluster {name}: Envoy is connected to the sidecar")
    } else {
        format!("cluster {name}: no event was sent so far, so Envoy has not connected")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &[Finding]) -> String {
        findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_old_envoy_is_a_problem() {
        for (text, start) in [
            ("9e55/1.40.0/Clean/RELEASE/BoringSSL", "ok       Envoy is of version 1.40.0"),
            ("envoy  version: 9e55/1.40.1/Clean", "ok       Envoy is of version 1.40.1"),
            ("9e55/1.35.0/Clean", "ok       Envoy is of version 1.35.0 (1.40"),
            ("9e55/2.0.0-dev/Clean", "ok       Envoy is of version 2.0.0-dev (1.40"),
            ("9e55/1.34.9/Clean", "problem  Envoy is of version 1.34.9"),
            ("", "warning  Envoy's version cannot be told"),
        ] {
            assert!(version(text).to_string().starts_with(start), "{text}: {}", version(text));
        }
    }

    #[test]
    fn a_filter_that_runs_well_has_nothing_to_tell() {
        let stats = Stats::parse(
            "wasm.envoy.wasm.runtime.v8.active: 3\nwasm.sidehook.vm_reload_failure: 0\n\
             wasmcustom.sidehook.hold_us: P0(nan,1) P25(nan,2)\n",
        );
        assert_eq!(filter(&stats), [Finding::fine("the filter is loaded")]);
    }

    #[test]
    fn crashes_and_losses_are_told() {
        assert!(filter(&Stats::default())[0].to_string().contains("is not loaded"));
        let stats = Stats::parse(
            "wasm.envoy.wasm.runtime.v8.active: 3\nwasm.edge.vm_reload_failure: 1\n\
             wasm.edge.vm_reload_success: 2\nwasmcustom.sidehook.missed.reason.unmatched.total: 3\n\
             wasmcustom.sidehook.at_risk: 4\nwasmcustom.sidehook.dropped: 5\n\
             wasmcustom.sidehook.refused: 6\n",
        );
        insta::assert_snapshot!(told(&filter(&stats)), @r"
        ok       the filter is loaded
        problem  crashed filters that could not be replaced: 1
                 → look for `wasm` in Envoy's log
        warning  crashed filters that were replaced: 2
                 → look for `wasm` in Envoy's log; the events that were in memory are lost
        warning  writes beneath a watched path that matched no rule: 3
                 → add a route for them to the filter's configuration, or leave them out on purpose
        warning  answers that went out before their event was stored: 4
                 → see why the sidecar was slow or away; `capture: strict` never lets that happen
        warning  events lost: 11
                 → see the sidecar's log, and whether the gateway's token is the sidecar's
        ");
    }

    #[test]
    fn the_way_to_the_sidecar_is_judged() {
        for (stats, expected) in [
            ("", "problem  Envoy has no cluster c"),
            ("cluster.c.membership_total: 0", "problem  cluster c: the sidecar's name has no"),
            ("cluster.c.membership_total: 1", "ok       cluster c: no event was sent so far"),
            (
                "cluster.c.membership_total: 1\ncluster.c.upstream_cx_connect_fail: 2",
                "problem  cluster c: Envoy cannot connect",
            ),
            (
                "cluster.c.membership_total: 1\ncluster.c.upstream_cx_connect_fail: 2\n\
                 cluster.c.upstream_cx_active: 1",
                "ok       cluster c: Envoy is connected",
            ),
        ] {
            let finding = cluster("c", &Stats::parse(stats)).to_string();
            assert!(finding.starts_with(expected), "{stats}: {finding}");
        }
    }
}
