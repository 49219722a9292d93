//! `cargo xtask test`: every test of the workspace, with the real Envoy, the real filter, a real
//! Postgres and a real RabbitMQ.
//!
//! Invariant: no test is left out because a tool is missing; the tool is fetched, or this fails.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::{
    command::Program,
    say,
    services::{
        postgres::{self, Postgres},
        rabbitmq::{self, RabbitMq},
    },
    stack::{FILTER, Programs, SIDEHOOK},
    tools::{
        cargo::{self, Build},
        collector, envoy, prometheus, python, wasm,
    },
};

/// Everything, built from scratch on two cores, takes less than that.
const LIMIT: Duration = Duration::from_mins(40);

/// The end-to-end tests, and how many of them run beside each other. They wait more than they work;
/// what measures or strains has the machine to itself by a lock.
const END_TO_END: &str = "e2e";
const AT_A_TIME: &str = "4";
/// The variable that says it to them.
const THREADS: &str = "RUST_TEST_THREADS";

/// What `test` is told.
#[derive(Debug, Args)]
pub struct Test {
    /// Run only tests whose name contains this
    filter: Option<String>,

    /// Show what the tests print, figures for example
    #[arg(long)]
    nocapture: bool,
}

/// Builds everything and runs the tests.
pub async fn test(test: Test) -> Result<()> {
    say::progress("building everything, its tests included");
    // What is fetched is fetched while cargo compiles, and no test waits for it.
    let (programs, (postgres, rabbitmq)) = tokio::try_join!(built(), fetched())?;
    Program::new(&programs.sidehook).args(["script", "warm"]).show().await?;
    let ran = async {
        let run = |threads: Option<&str>| {
            // All of them, so that one run tells of everything that is wrong.
            let run = cargo::cargo().args(["test", "--workspace", "--no-fail-fast"]);
            let run = run.env(postgres::VARIABLE, postgres.url());
            let run = run.env(rabbitmq::VARIABLE, rabbitmq.url());
            let run = run.env(envoy::VARIABLE, &programs.envoy).env(FILTER, &programs.filter);
            let run = run.env(SIDEHOOK, &programs.sidehook).within(LIMIT);
            match threads.filter(|_| std::env::var_os(THREADS).is_none()) {
                Some(threads) => run.env(THREADS, threads),
                None => run,
            }
        };
        let mut others = vec!["--lib".to_owned(), "--bins".to_owned()];
        for program in cargo::test_programs().await? {
            if program != END_TO_END {
                others.extend(["--test".to_owned(), program]);
            }
        }
        let named = test.nocapture.then_some("--nocapture").into_iter().map(str::to_owned);
        let named: Vec<_> = named.chain(test.filter).collect();
        let others = run(None).args(others).args(["--"]).args(&named).show().await;
        let end_to_end = run(Some(AT_A_TIME)).args(["--test", END_TO_END, "--"]).args(&named);
        others.and(end_to_end.show().await)
    };
    let ran = ran.await;
    let stopped = rabbitmq.stop().await;
    ran.and(stopped).and(postgres.stop().await)
}

/// Builds the modules, then the sidecar and the tests, and beside these the module that only tests
/// need.
async fn built() -> Result<Programs> {
    let filter = Programs::ensure_filter().await?;
    Programs::ensure_script_engine().await?;
    let sidehook = Programs::sidehook_with_engine(Build::Tests);
    let (sidehook, _) = tokio::try_join!(sidehook, wasm::baseline())?;
    Ok(Programs { envoy: envoy::envoy().await?, sidehook, filter })
}

/// Fetches what the tests use, and starts the servers.
async fn fetched() -> Result<(Postgres, RabbitMq)> {
    envoy::envoy().await?;
    python::packages().await?;
    prometheus::promtool().await?;
    collector::collector().await?;
    tokio::try_join!(Postgres::start(), RabbitMq::start())
}
