//! A collector of OpenTelemetry: rotel, whose wheel carries its program.
//!
//! Invariant: the program returned has been run.

use std::path::PathBuf;

use anyhow::Result;

use super::{apt, python};
use crate::{command::Program, say, workspace};

const WHEEL: &str = "rotel==0.0.1a15";

/// What a program of Python's asks Python for: the name of its library's package in Debian.
const LIBRARY: &str = "import sys; print('libpython%d.%d' % sys.version_info[:2])";

/// The collector: one downloaded before, else downloaded now.
pub async fn collector() -> Result<PathBuf> {
    let folder = workspace::tools().join("collector");
    let program = folder.join("rotel/rotel-agent");
    if !program.exists() {
        say::progress(format!("downloading {WHEEL} (about 10 MB) into {}", folder.display()));
        python::unpack_program(WHEEL, &folder, &program).await?;
    }
    if runs(&program).await.is_err() {
        let library = Program::new("python3").args(["-c", LIBRARY]).output().await?;
        apt::install(&[library.trim()], "to run the collector that tests of traces use").await?;
        runs(&program).await?;
    }
    Ok(program)
}

async fn runs(program: &PathBuf) -> Result<()> {
    Program::new(program).args(["--version"]).output().await.map(drop)
}
