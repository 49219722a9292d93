//! The sandbox itself: its cache, its instances, and what one run leaves to the next.
//!
//! Invariant: no run sees anything of another, and machine code that this program did not make is
//! not run.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use sidehook::{
    clock::{Clock, SystemClock},
    model::Script,
    transform::sandbox::{EMBEDDED, Killed, Ran, Sandbox, TIME, Unavailable},
};
use sidehook_script_engine::{Outcome, Report};

use crate::opened::scripts;

const INPUT: &[u8] = br#"{"event":{"data":{"n":1}},"same":[],"subscription":{}}"#;

fn ended(ran: Ran) -> Report {
    let Ran::Ended(report) = ran else { unreachable!("{ran:?}") };
    report
}

fn run(sandbox: &Sandbox, source: &str, input: &[u8]) -> Report {
    ended(sandbox.run(&Script::new(source), input, TIME).unwrap())
}

#[test]
fn one_run_leaves_nothing_to_the_next() {
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let source = "event.data.n += 1; event.data.n";
    for _ in 0..20 {
        assert_eq!(run(sandbox, source, INPUT).body, b"2");
    }
    // One that fails, and one that reaches a limit, included.
    let source = "if event.data.n == 1 { throw \"no\" } if event.data.n == 2 { \
                  let s = \"x\"; loop { s.replace(\"x\", \"yx\"); s = s.sub_string(0, 100000); } } event.data.n";
    let input =
        |n: u32| format!(r#"{{"event":{{"data":{{"n":{n}}}}},"same":[],"subscription":{{}}}}"#);
    assert_eq!(run(sandbox, source, input(3).as_bytes()).body, b"3");
    assert!(matches!(run(sandbox, source, input(1).as_bytes()).outcome, Outcome::Failed(_)));
    let ran = sandbox.run(&Script::new(source), input(2).as_bytes(), TIME).unwrap();
    assert!(matches!(ran, Ran::Killed(Killed::Time)), "{ran:?}");
    assert_eq!(run(sandbox, source, input(4).as_bytes()).body, b"4");
}

#[test]
fn no_more_instances_are_kept_than_there_is_memory_for() {
    let scripts = scripts();
    let sandbox = Sandbox::clone(scripts.sandbox().unwrap());
    for number in 0..300 {
        assert_eq!(run(&sandbox, &format!("{number}"), INPUT).body, number.to_string().as_bytes());
    }
    assert!((1..=256).contains(&sandbox.kept()), "{} are kept", sandbox.kept());
    let before = sandbox.kept();
    assert_eq!(run(&sandbox, "299", INPUT).body, b"299");
    assert_eq!(sandbox.kept(), before, "the instance that was used last is used again");
}

#[test]
fn the_time_that_a_script_has_is_kept_to() {
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let clock = SystemClock::start();
    let started = clock.monotonic();
    let source =
        "let s = \"x\"; while s.len < 100000 { s += s; } loop { s.replace(\"x\", \"y\"); }";
    let ran = sandbox.run(&Script::new(source), INPUT, Duration::from_millis(10)).unwrap();
    let took = clock.monotonic().saturating_sub(started);
    assert!(matches!(ran, Ran::Killed(Killed::Time)), "{ran:?}");
    assert!((Duration::from_millis(10)..Duration::from_millis(150)).contains(&took), "{took:?}");
}

#[test]
fn a_program_without_the_engine_says_so() {
    let refused = Sandbox::of(&[], None).unwrap_err();
    assert!(matches!(refused, Unavailable::NoEngine), "{refused}");
    let refused = Sandbox::of(b"not WebAssembly", None).unwrap_err();
    assert!(matches!(refused, Unavailable::Broken(_)), "{refused}");
}

#[test]
fn the_engine_is_compiled_once_and_loaded_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let clock = SystemClock::start();
    let open = || {
        let started = clock.monotonic();
        let sandbox = Sandbox::of(EMBEDDED, Some(cache.clone())).unwrap();
        assert_eq!(run(&sandbox, "event.data.n", INPUT).body, b"1");
        clock.monotonic().saturating_sub(started)
    };
    let first = open();
    let file = the_only_file(&cache);
    let written = fs::read(&file).unwrap();
    let second = open();
    assert!(second * 4 < first, "{second:?} from the cache, {first:?} without");

    // What is damaged is made anew.
    let mut damaged = written.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, &damaged).unwrap();
    open();
    assert_eq!(fs::read(&file).unwrap().len(), written.len());
    assert_ne!(fs::read(&file).unwrap(), damaged);

    // What others could have written is neither read nor replaced.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(&file, b"evil").unwrap();
    open();
    assert_eq!(fs::read(&file).unwrap(), b"evil");
}

fn the_only_file(folder: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}
