//! What a process has taken of the processor, as the kernel counts it: to the nanosecond, over all
//! of its threads. And which processors it may take.
//!
//! Invariant: threads that have ended are not counted; a gateway's live as long as it does.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use anyhow::{Context, Result};
use rustix::io::Errno;

use crate::command::Program;

/// Time on a processor, in user mode and in the kernel together.
pub(super) type Usage = Duration;

/// Reads it.
pub(super) fn of(process: u32) -> Result<Usage> {
    let threads = format!("/proc/{process}/task");
    let mut usage = Usage::ZERO;
    for thread in fs::read_dir(&threads).with_context(|| format!("failed to read {threads}"))? {
        usage += of_thread(&thread?.path().join("schedstat"))?;
    }
    Ok(usage)
}

/// Reads what the thread that asks has taken.
pub(super) fn of_this_thread() -> Result<Usage> {
    of_thread(Path::new("/proc/thread-self/schedstat"))
}

/// Has all threads of a process run on these processors alone.
pub(super) async fn keep_to(process: u32, processors: &str) -> Result<()> {
    let process = process.to_string();
    let kept = Program::new("taskset").args(["-a", "-c", "-p", processors, &process]);
    kept.output().await.map(drop)
}

fn of_thread(file: &Path) -> Result<Usage> {
    let said = match fs::read_to_string(file) {
        // It has ended since it was listed, or while it was read.
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || Errno::from_io_error(&error) == Some(Errno::SRCH) =>
        {
            return Ok(Usage::ZERO);
        }
        said => said.with_context(|| format!("failed to read {}", file.display()))?,
    };
    let nanos = said.split(' ').next().context("an empty schedstat")?.parse()?;
    Ok(Usage::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_takes_is_seen() {
        let before = of(std::process::id()).unwrap();
        while of(std::process::id()).unwrap() < before + Duration::from_millis(20) {}
    }
}
