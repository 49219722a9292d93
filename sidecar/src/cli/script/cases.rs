//! `sidehook script test`: the scripts of a folder, each on the events beside it.
//!
//! Invariant: a case that is not there, or cannot be read, has failed.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::{Cache, content, source, tell, trial::input};
use crate::transform::{DryRun, Sandbox, differences};

const SCRIPT: &str = ".rhai";
const INPUT: &str = ".in.json";
const OUTPUT: &str = ".out.json";

/// What `sidehook script test` is told.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Where the scripts are
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,

    /// Write what the scripts make into the files that they are compared with
    #[arg(long)]
    update: bool,

    #[command(flatten)]
    cache: Cache,
}

/// Runs them all, and says whether all are as they should be.
pub(super) fn test(args: &TestArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let sandbox = args.cache.sandbox()?;
    let (mut good, mut bad) = (0, 0);
    for folder in &args.folders {
        let names = names(folder)?;
        let scripts: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(SCRIPT)).collect();
        if scripts.is_empty() {
            bail!("there is no script in {}", folder.display());
        }
        for script in scripts {
            let cases = cases(&names, script);
            if cases.is_empty() {
                writeln!(out, "failed  {script}: there is no {script}{INPUT}")?;
                bad += 1;
            }
            for case in cases {
                let failures = try_case(&sandbox, folder, script, case, args.update)
                    .unwrap_or_else(|error| vec![format!("{error:#}")]);
                if failures.is_empty() {
                    writeln!(out, "ok      {case}")?;
                    good += 1;
                } else {
                    writeln!(out, "failed  {case}")?;
                    bad += 1;
                }
                for failure in failures {
                    writeln!(out, "        {}", failure.trim_end().replace('\n', "\n        "))?;
                }
            }
        }
    }
    writeln!(out, "{good} as they should be, {bad} not")?;
    Ok(bad == 0)
}

/// The names of the files of a folder, in order.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let reading = || format!("reading {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        names.extend(entry.with_context(reading)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// `NAME` and each `NAME.CASE` that there is an event for.
fn cases<'a>(names: &'a [String], script: &str) -> Vec<&'a str> {
    let cases = names.iter().filter_map(|name| name.strip_suffix(INPUT));
    let mut cases: Vec<_> = cases.filter(|case| case.split('.').next() == Some(script)).collect();
    cases.sort_unstable();
    cases
}

/// Runs a case, and says how it differs from what it should be.
fn try_case(
    sandbox: &Sandbox,
    folder: &Path,
    script: &str,
    case: &str,
    update: bool,
) -> anyhow::Result<Vec<String>> {
    let file = folder.join(format!("{script}{SCRIPT}"));
    let source = source(&file)?;
    let event = json(&folder.join(format!("{case}{INPUT}")))?;
    let run = DryRun::of(sandbox, &source, input(event).to_string().as_bytes())?;
    let expected = folder.join(format!("{case}{OUTPUT}"));
    if update {
        let text = serde_json::to_string_pretty(&lasting(&run)?)?;
        let written = fs::write(&expected, format!("{text}\n"));
        written.with_context(|| format!("writing {}", expected.display()))?;
        return Ok(Vec::new());
    }
    let expected = json(&expected)?;
    let got = serde_json::to_value(&run)?;
    let differing = differences(&expected, &within(&got, &expected));
    let mut failures: Vec<_> = differing.iter().map(tell::difference).collect();
    if let Some(error) = run.error.as_ref().filter(|_| !failures.is_empty()) {
        failures.push(tell::fault(&file, error));
    }
    Ok(failures)
}

fn json(file: &Path) -> anyhow::Result<Value> {
    let text = content(file)?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// Of what came of a run, what stays the same as long as the script does what it should.
fn lasting(run: &DryRun) -> anyhow::Result<Value> {
    let run = serde_json::to_value(run)?;
    let kept = ["outcome", "output", "reason", "error"];
    let kept = kept.iter().filter_map(|name| Some(((*name).to_owned(), run.get(name)?.clone())));
    Ok(Value::Object(kept.collect()))
}

/// Of what came of a run, what is expected to be something.
fn within(got: &Value, expected: &Value) -> Value {
    let (Value::Object(all), Value::Object(wanted)) = (got, expected) else { return got.clone() };
    let mut kept = Map::new();
    for (name, wanted) in wanted {
        let Some(value) = all.get(name) else { continue };
        let value = if name == "output" { within(value, wanted) } else { value.clone() };
        kept.insert(name.clone(), value);
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_has_the_cases_of_its_own_name() {
        let names = ["a.b.in.json", "a.in.json", "ab.in.json", "a.out.json"].map(str::to_owned);
        assert_eq!(cases(&names, "a"), ["a", "a.b"]);
        assert_eq!(cases(&names, "b"), Vec::<&str>::new());
    }

    #[test]
    fn what_is_not_expected_to_be_anything_is_not_compared() {
        let got = json!({"outcome": "sent", "operations": 7,
            "output": {"headers": {"a": "b"}, "body": {"x": 1, "y": 2}}});
        let expected = json!({"outcome": "sent", "output": {"body": {"x": 1}}});
        assert_eq!(
            within(&got, &expected),
            json!({"outcome": "sent", "output": {"body": {"x": 1, "y": 2}}})
        );
    }
}
