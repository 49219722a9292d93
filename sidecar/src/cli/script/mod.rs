//! `sidehook script`: what the author of a script needs before it goes live.
//!
//! Invariant: nothing is sent and nothing changes but the files that `--update` names; scripts run
//! in the sandbox that they run in later.

mod backtest;
mod cases;
mod tell;
mod trial;

use std::{
    fs, io,
    io::{Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use sidehook_script_engine::Outcome;

use crate::{
    app::usual_cache,
    model::LONGEST_SCRIPT,
    transform::{Sandbox, ShownFault},
};

/// What `sidehook script` can do.
#[derive(Debug, Subcommand)]
pub enum ScriptCommand {
    /// See whether scripts can be compiled
    Check(CheckArgs),
    /// Run a script on an event and show what it would send
    Run(trial::RunArgs),
    /// Run the scripts of a folder on the events beside them: NAME.rhai on NAME.in.json, whose
    /// result must be that in NAME.out.json
    Test(cases::TestArgs),
    /// Compare what a script would have made of the last events with what was sent, by the
    /// sidecar's API
    Backtest(backtest::BacktestArgs),
    /// Compile the engine of scripts now, and keep it for the next start of `sidehook serve`
    Warm(Cache),
}

/// What `sidehook script check` is told.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The scripts; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    cache: Cache,
}

/// Where the compiled engine is.
#[derive(Debug, Args)]
pub struct Cache {
    /// Where the compiled engine is kept [default: ~/.cache/sidehook]
    #[arg(long, env = "SIDEHOOK_SCRIPT_CACHE", value_name = "FOLDER")]
    script_cache: Option<PathBuf>,
}

impl Cache {
    fn sandbox(&self) -> anyhow::Result<Sandbox> {
        Ok(Sandbox::open(self.script_cache.clone().or_else(usual_cache))?)
    }
}

/// Carries one out.
pub async fn run(command: ScriptCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let is_fine = match command {
        ScriptCommand::Check(args) => check(&args, out)?,
        ScriptCommand::Run(args) => trial::run(args, out).await?,
        ScriptCommand::Test(args) => cases::test(&args, out)?,
        ScriptCommand::Backtest(args) => backtest::backtest(args, out).await?,
        ScriptCommand::Warm(cache) => cache.sandbox().map(|_| true)?,
    };
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let sandbox = args.cache.sandbox()?;
    let mut is_fine = true;
    for file in &args.files {
        let source = source(file)?;
        if let Outcome::Failed(fault) = sandbox.check(&source)? {
            is_fine = false;
            write!(out, "{}", tell::fault(file, &ShownFault::of(&fault, &source)))?;
        } else {
            writeln!(out, "{}: fine", tell::path(file))?;
        }
    }
    Ok(is_fine)
}

/// The text of a script.
fn source(file: &Path) -> anyhow::Result<String> {
    let text = content(file)?;
    if text.len() > LONGEST_SCRIPT {
        bail!("{} is longer than {LONGEST_SCRIPT} bytes", file.display());
    }
    Ok(text)
}

/// The text of a file, or what comes in.
fn content(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}
