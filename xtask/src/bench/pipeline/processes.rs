//! What processes take of the processor and of the memory, as the kernel counts it.
//!
//! Invariant: what a process started counts as its own, also when it has ended.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::{Context as _, Result};

/// A process's own lines in `/proc`, as far as they are needed.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    /// Ticks, its own and those of its children that have ended.
    ticks: u64,
}

/// What `root` and all that it started have taken of the processor.
pub(super) fn time_of(root: u32) -> Result<Duration> {
    let ticks: u64 = tree(root)?.iter().map(|(_, stat)| stat.ticks).sum();
    let second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_micros(ticks * 1_000_000 / second))
}

/// The most memory that `root` and all that it started had since it was [forgotten](forget_peaks):
/// bytes, shared ones counted in each.
pub(super) fn peak_of(root: u32) -> Result<u64> {
    let peaks = tree(root)?.into_iter().map(|(process, _)| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        kibibytes.unwrap_or(0_u64) * 1024
    });
    Ok(peaks.sum())
}

/// Forgets how much memory they had, so that the peak is that of what comes.
pub(super) fn forget_peaks(root: u32) -> Result<()> {
    for (process, _) in tree(root)? {
        // It may have ended; and where this is forbidden the peak is that of its whole life.
        let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
    }
    Ok(())
}

/// `root` and all that it started and that live.
fn tree(root: u32) -> Result<Vec<(u32, Stat)>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since it was listed.
        let Ok(said) = fs::read_to_string(entry.path().join("stat")) else { continue };
        all.extend(parse(&said).map(|stat| (process, stat)));
    }
    let mut tree = vec![(root, *all.get(&root).context("the process has ended")?)];
    let mut next = 0;
    while let Some((process, _)) = tree.get(next).copied() {
        tree.extend(all.iter().filter(|(_, stat)| stat.parent == process).map(|(p, s)| (*p, *s)));
        next += 1;
    }
    Ok(tree)
}

/// The fields of `/proc/PID/stat`, whose second one may hold anything, in parentheses.
fn parse(said: &str) -> Option<Stat> {
    let (_, rest) = said.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_took_is_its_parents_also_when_it_has_ended() {
        let here = std::process::id();
        let before = time_of(here).unwrap();
        let spin = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        std::process::Command::new("/bin/sh").args(["-c", spin]).status().unwrap();
        assert!(time_of(here).unwrap() > before + Duration::from_millis(20));
        assert!(peak_of(here).unwrap() > 1 << 20);
    }

    #[test]
    fn a_name_may_hold_anything() {
        let said = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 0 0 10 20 30 40 20 0 1 0 5 6 7";
        let stat = parse(said).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
        assert!(parse("7 (a").is_none());
    }
}
