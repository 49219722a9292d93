//! `cargo xtask bench instructions`: what the hot paths take, in instructions, beside what was
//! recorded.
//!
//! A time depends on what else the machine does; how many instructions a function takes does not.
//! It depends on the compiler, though, which the record names: what another one makes is held to
//! it less closely.
//!
//! Invariant: every case is in the record and everything in the record is a case, so that none is
//! forgotten.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    say,
    tools::{
        cargo,
        valgrind::{self, Counted},
    },
    workspace,
};

/// Within the working copy.
const RECORD: &str = "xtask/bench/instructions.json";

/// The function between whose beginning and end a case is played.
const COUNTED: &str = "sidehook_bench::counted";

/// How far a figure may be above the recorded one, in per cent of it: with the same compiler, and
/// with another one.
const TOLERANCE: u64 = 5;
const TOLERANCE_OF_ANOTHER: u64 = 25;

/// What `bench instructions` is told.
#[derive(Debug, Args)]
pub(super) struct Instructions {
    /// Write the figures into the record, to be held to from now on
    #[arg(long)]
    record: bool,
}

/// What was counted, or was once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    /// The compiler, with its version.
    compiler: String,
    /// Instructions of each case, played once.
    cases: BTreeMap<String, u64>,
}

/// Counts, shows a table, and fails where a case takes more than it did.
pub(super) async fn count(told: Instructions) -> Result<()> {
    say::progress("building the hot paths with optimisations");
    let program = cargo::hot_paths().await?;
    say::progress("counting their instructions");
    let folder = workspace::target().join("instructions");
    let counted = valgrind::count(&program, COUNTED, &folder).await?;
    let cases = each(&counted)?;
    let now = Figures { compiler: cargo::compiler().await?, cases };

    let record = workspace::root().join(RECORD);
    let recorded = Figures::read(&record)?;
    say::line(table(&now, recorded.as_ref()));
    if told.record {
        fs::write(&record, now.written()?)?;
        say::progress(format!("recorded in {RECORD}"));
        return Ok(());
    }
    let recorded = recorded.with_context(|| format!("no {RECORD}; {HOW}"))?;
    if recorded.compiler != now.compiler {
        say::progress(format!(
            "recorded with {}, counted with {}: {TOLERANCE_OF_ANOTHER} % are allowed",
            recorded.compiler, now.compiler
        ));
    }
    let faults = faults(&now, &recorded);
    if faults.is_empty() { Ok(()) } else { bail!("{}; {HOW}", faults.join("; ")) }
}

/// What each case takes when it is played once. The program says how often it played each.
fn each(counted: &Counted) -> Result<BTreeMap<String, u64>> {
    let said: Vec<_> = counted.said.lines().collect();
    ensure!(said.len() == counted.calls.len(), "a case is missing: {counted:?}");
    let each = said.into_iter().zip(&counted.calls).map(|(line, sum)| {
        let (times, name) = line.split_once(' ').context("a case without a name")?;
        Ok((name.to_owned(), sum / times.parse::<u64>()?.max(1)))
    });
    each.collect()
}

/// What to do about it.
const HOW: &str = "if that is meant, `cargo xtask bench instructions --record`";

impl Figures {
    fn read(record: &Path) -> Result<Option<Self>> {
        let Ok(written) = fs::read_to_string(record) else { return Ok(None) };
        let read = Self::parse(&written);
        read.map(Some).with_context(|| format!("failed to read {}", record.display()))
    }

    fn parse(written: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(written)?;
        let compiler = value.get("compiler").and_then(Value::as_str).context("no compiler")?;
        let cases = value.get("instructions").and_then(Value::as_object).context("no figures")?;
        let cases = cases.iter().map(|(name, figure)| {
            let figure = figure.as_u64().with_context(|| format!("{name} is no number"))?;
            Ok((name.clone(), figure))
        });
        Ok(Self { compiler: compiler.to_owned(), cases: cases.collect::<Result<_>>()? })
    }

    fn written(&self) -> Result<String> {
        let value = json!({"compiler": self.compiler, "instructions": self.cases});
        Ok(serde_json::to_string_pretty(&value)? + "\n")
    }
}

/// A row for each case, for people and for the guide.
fn table(now: &Figures, recorded: Option<&Figures>) -> String {
    let mut rows = vec![
        format!(
            "| {:<50} | {:>12} | {:>12} | {:>6} |",
            "hot path", "instructions", "recorded", "ratio"
        ),
        "|---|---|---|---|".to_owned(),
    ];
    for (name, figure) in &now.cases {
        let known = recorded.and_then(|recorded| recorded.cases.get(name));
        let (known, ratio) = match known {
            Some(known) => (grouped(*known), format!("{:.3}", ratio(*figure, *known))),
            None => ("-".to_owned(), "-".to_owned()),
        };
        rows.push(format!("| {name:<50} | {:>12} | {known:>12} | {ratio:>6} |", grouped(*figure)));
    }
    rows.join("\n")
}

/// What is worse than it was, or is not known.
fn faults(now: &Figures, recorded: &Figures) -> Vec<String> {
    let is_same = now.compiler == recorded.compiler;
    let tolerance = if is_same { TOLERANCE } else { TOLERANCE_OF_ANOTHER };
    let mut faults = Vec::new();
    for (name, figure) in &now.cases {
        let Some(known) = recorded.cases.get(name) else {
            faults.push(format!("`{name}` is not recorded"));
            continue;
        };
        if figure.saturating_mul(100) > known.saturating_mul(100 + tolerance) {
            let more = (ratio(*figure, *known) - 1.0) * 100.0;
            let (figure, known) = (grouped(*figure), grouped(*known));
            faults.push(format!(
                "`{name}` takes {figure} instructions, {more:.1} % more than {known}"
            ));
        }
    }
    let gone = recorded.cases.keys().filter(|name| !now.cases.contains_key(*name));
    faults.extend(gone.map(|name| format!("`{name}` is recorded and no longer there")));
    faults
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts that many instructions")]
fn ratio(figure: u64, known: u64) -> f64 {
    figure as f64 / known.max(1) as f64
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(compiler: &str, cases: &[(&str, u64)]) -> Figures {
        let cases = cases.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect();
        Figures { compiler: compiler.to_owned(), cases }
    }

    #[test]
    fn a_case_is_counted_as_often_as_it_was_played() {
        let said = "100 signing: HMAC\n10 matching\n".to_owned();
        let counted = Counted { said, calls: vec![250_042, 70] };
        let cases = each(&counted).unwrap();
        assert_eq!(cases, figures("", &[("signing: HMAC", 2_500), ("matching", 7)]).cases);
        assert!(each(&Counted { calls: vec![1], ..counted }).is_err());
    }

    #[test]
    fn a_case_may_take_a_little_more_than_recorded() {
        let recorded = figures("rustc 1", &[("signing", 1_000)]);
        assert_eq!(faults(&figures("rustc 1", &[("signing", 1_050)]), &recorded), [""; 0]);
        assert_eq!(faults(&figures("rustc 1", &[("signing", 200)]), &recorded), [""; 0]);
        assert_eq!(
            faults(&figures("rustc 1", &[("signing", 1_051)]), &recorded),
            ["`signing` takes 1,051 instructions, 5.1 % more than 1,000"]
        );
    }

    #[test]
    fn another_compiler_may_take_more_but_not_any_number() {
        let recorded = figures("rustc 1", &[("signing", 1_000)]);
        assert_eq!(faults(&figures("rustc 2", &[("signing", 1_250)]), &recorded), [""; 0]);
        assert_eq!(faults(&figures("rustc 2", &[("signing", 1_251)]), &recorded).len(), 1);
    }

    #[test]
    fn a_case_that_is_new_or_gone_is_to_be_recorded() {
        let recorded = figures("rustc 1", &[("signing", 1_000)]);
        assert_eq!(
            faults(&figures("rustc 1", &[("matching", 7)]), &recorded),
            ["`matching` is not recorded", "`signing` is recorded and no longer there"]
        );
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let recorded = figures("rustc 1", &[("matching", 7), ("signing", 1_234_567)]);
        assert_eq!(Figures::parse(&recorded.written().unwrap()).unwrap(), recorded);
        assert!(Figures::parse("{}").is_err());
        assert!(table(&recorded, Some(&recorded)).contains("|    1,234,567 |  1.000 |"));
    }
}
