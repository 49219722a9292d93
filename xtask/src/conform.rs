//! `cargo xtask conform`: the real API against its own description, by tools that know neither.
//!
//! Invariant: the sidecar is a real one, with a token, on a port and a store of its own; it sends
//! nothing beyond this machine.

use std::{path::Path, time::Duration};

use anyhow::Result;
use clap::Args;
use hyper::StatusCode;

use crate::{
    child::{Child, Output},
    command::Program,
    http::Http,
    ports, say,
    stack::{Programs, answers},
    tools::{cargo::Build, python},
    workspace,
};

/// That of `conform.toml`.
const TOKEN: &str = "a-token-for-the-conformance-test";
/// What is checked, and where it cannot be, with the reasons.
const CHECKS: &str = include_str!("conform.toml");
/// The description alone, against the schema of OpenAPI 3.1 and its rules.
const VALIDATE: &str = "import json, sys; from openapi_spec_validator import validate; validate(json.load(open(sys.argv[1])))";
/// How long the sidecar may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What `conform` is told.
#[derive(Debug, Args)]
pub struct Conform {
    /// How many requests are made up for each operation
    #[arg(long, default_value_t = 20)]
    max_examples: u32,

    /// Make them up anew in this way; without it every run makes up the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Serves the API, has its description validated, and asks whatever follows from it.
pub async fn conform(conform: Conform) -> Result<()> {
    let python = python::conformance_packages().await?;
    let sidehook = Programs::ensure_sidehook(Build::Debug).await?;
    let folder = workspace::target().join("conform");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let port = ports::free()?;
    let url = format!("http://127.0.0.1:{port}");
    let mut sidecar = serve(&sidehook, &folder, port)?;
    let is_ready = |answer: &crate::http::Answer| answer.status == StatusCode::OK;
    answers(&mut sidecar, &Http::new(), &format!("{url}/readyz"), is_ready).await?;
    let checked = check(&python, &folder, &url, &conform).await;
    checked.and(sidecar.stop(STOP_LIMIT).await.map(drop))
}

fn serve(sidehook: &Path, folder: &Path, port: u16) -> Result<Child> {
    std::fs::create_dir_all(folder)?;
    let configuration = folder.join("sidehook.toml");
    // Receivers that are made up are refused on the spot: no proxy is there.
    let text = format!(
        "api_token = {TOKEN:?}\ningest_token = {TOKEN:?}\negress_proxy = \"http://127.0.0.1:9\"\n"
    );
    std::fs::write(&configuration, text)?;
    let arguments = [
        "serve".to_owned(),
        format!("--config={}", configuration.display()),
        format!("--listen=127.0.0.1:{port}"),
        format!("--store=sqlite:{}", folder.join("sidehook.db").display()),
    ];
    Child::start("sidecar", sidehook, arguments, folder, Output::Log)
}

async fn check(python: &Path, folder: &Path, url: &str, conform: &Conform) -> Result<()> {
    let checks = folder.join("conform.toml");
    std::fs::write(&checks, CHECKS)?;
    let document = format!("{url}/openapi.json");
    say::progress("validating the description");
    let written = folder.join("openapi.json");
    std::fs::write(&written, Http::new().get(&document).await?.body)?;
    let validate = Program::new("python3").env("PYTHONPATH", python).args(["-c", VALIDATE]);
    validate.args([&written]).show().await?;
    say::progress("asking whatever follows from it");
    let (examples, seed) = (conform.max_examples.to_string(), conform.seed.to_string());
    let ask = Program::new("python3").env("PYTHONPATH", python).args(["-m", "schemathesis.cli"]);
    let ask = ask.args(["--config-file"]).args([&checks]).args(["run", &document]);
    let ask = ask.args(["--max-examples", &examples, "--seed", &seed]);
    ask.in_folder(folder).show().await
}
