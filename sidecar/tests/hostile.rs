//! Scripts that mean harm, or were written by an accident.
//!
//! Invariant: each ends within its time and its memory, whether Rhai's own limits are on or not;
//! the process goes on, and the next script finds a sandbox as good as new. Nothing else runs in
//! this process, for its memory is what is measured.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is how a test fails, and shows what it measured"
)]

#[path = "scripts/opened.rs"]
mod opened;

use std::{fs, time::Duration};

use sidehook::{
    clock::{Clock, SystemClock},
    transform::sandbox::{MEMORY, Ran, TIME},
};
use sidehook_script_engine::{Mode, Outcome};

use opened::scripts;

const INPUT: &[u8] =
    br#"{"event":{"id":"evt_1","type":"people.created","time":"2026-03-01T12:00:00Z",
    "data":{"id":42,"name":"Ada","tags":["a","b"]}},"same":[],"subscription":{"id":"sub_1"}}"#;

/// What a run may take beyond its time: the sandbox looks at its clock each 5 ms, and the machine
/// may be busy with other tests.
const SLACK: Duration = Duration::from_millis(150);

/// What a run may add to the memory of the process at its height, in KiB: an instance, its script
/// and what it says.
const ADDED: u64 = 2 * (MEMORY as u64 / 1024);

/// What is short to write.
const SHORT: &[(&str, &str)] = &[
    ("an endless loop", "loop {}"),
    ("an endless while", "let x = 0; while true { x += 1; }"),
    ("a loop over all numbers", "let x = 0; for i in 0..9223372036854775807 { x += i % 2; } x"),
    ("a loop that catches everything", "loop { try { throw 1; } catch { } }"),
    ("a loop within a catch", "try { throw 1; } catch { loop {} }"),
    ("a recursion", "fn f(n) { f(n + 1) } f(0)"),
    ("a mutual recursion", "fn f(n) { g(n + 1) } fn g(n) { f(n + 1) } f(0)"),
    ("a recursion that branches", "fn f(n) { if n == 0 { 1 } else { f(n - 1) + f(n - 1) } } f(60)"),
    (
        "Ackermann's function",
        "fn a(m, n) { if m == 0 { n + 1 } else if n == 0 { a(m - 1, 1) } else { a(m - 1, a(m, n - 1)) } } a(4, 2)",
    ),
    ("a text that doubles", "let s = \"x\"; loop { s += s; }"),
    ("a text that doubles by a template", "let s = \"x\"; loop { s = `${s}${s}`; }"),
    ("an array that doubles", "let a = [1]; loop { a += a; }"),
    ("an array in itself", "let a = []; loop { a = [a, a]; }"),
    ("a map in itself", "let m = #{}; loop { m = #{a: m, b: m}; }"),
    ("a map that grows", "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }"),
    ("a blob that doubles", "let b = blob(1024); loop { b += b; }"),
    ("a blob of everything", "blob(9223372036854775807)"),
    ("an array padded to everything", "let a = []; a.pad(9223372036854775807, 0); a"),
    ("a text padded to everything", "let s = \"\"; s.pad(9223372036854775807, 'x'); s"),
    ("closures in closures", "let f = |x| x; loop { let g = f; f = |x| g.call(x); }"),
    ("a closure that calls itself", "let f = 0; f = |x, f| f.call(x, f); f.call(1, f)"),
    ("a sum that overflows", "let x = 9223372036854775807; x + 1"),
    ("a power that overflows", "let x = 10.0; loop { x = x ** x; }"),
    ("an index beyond everything", "let a = [1]; a[9223372036854775807]"),
    ("a negative index beyond everything", "let a = [1]; a[-9223372036854775807 - 1]"),
    ("a division by zero", "1 / 0"),
    ("an error of megabytes", "let s = \"x\"; while s.len < 500000 { s += s; } throw s"),
    ("a reason of megabytes", "let s = \"x\"; while s.len < 500000 { s += s; } drop(s)"),
    ("a body of megabytes", "let s = \"x\"; while s.len < 500000 { s += s; } [s, s, s, s]"),
    (
        "headers without end",
        "let h = #{}; for i in 0..1000 { h[`x-${i}`] = `${i}`; } send(1, #{headers: h})",
    ),
    ("a header that breaks the line", "send(1, #{headers: #{\"x-a\": \"b\\r\\nx-c: d\"}})"),
    ("everything printed", "loop { print(event); }"),
    ("JSON nested deeply", "let s = \"\"; for i in 0..50000 { s += \"[\"; } from_json(s)"),
    ("JSON of what is nested deeply", "let a = []; for i in 0..5000 { a = [a]; } to_json(a)"),
    (
        "a patch between long lists",
        "let a = []; let b = []; for i in 0..5000 { a.push(i); b.push(i * 7 % 5000); } json_patch(a, b)",
    ),
    (
        "a template of gaps",
        "let s = \"\"; for i in 0..20000 { s += \"{{data}}\"; } render(s, event)",
    ),
    (
        "a text split into everything",
        "let s = \"x\"; while s.len < 200000 { s += s; } loop { s.split(\"\"); }",
    ),
    (
        "a text replaced into everything",
        "let s = \"x\"; while s.len < 100000 { s += s; } loop { s.replace(\"x\", \"yy\"); }",
    ),
    (
        "a sort that contradicts itself",
        "let a = []; for i in 0..20000 { a.push(i); } loop { a.sort(|x, y| 1); }",
    ),
    ("names in other letters", "let größe = 1; größe"),
    (
        "text in other letters",
        "let s = \"\u{1f469}\u{200d}\u{1f680}\"; loop { s += s.to_upper(); }",
    ),
    ("a time beyond all times", "add_time(event.time, \"9223372036854775807d\")"),
    (
        "a format of a time without end",
        "let f = \"%Y\"; while f.len < 100000 { f += f; } format_time(event.time, f)",
    ),
    ("eval", "eval(\"loop {}\")"),
    ("import", "import \"/etc/passwd\" as p; p::x"),
    ("sleep", "sleep(1000)"),
    ("a pointer called by its name", "Fn(\"loop\").call()"),
];

/// All of them, those too that are long.
fn corpus() -> Vec<(&'static str, String)> {
    let mut corpus: Vec<_> =
        SHORT.iter().map(|(name, source)| (*name, (*source).to_owned())).collect();
    let many = |part: &str, count: usize| part.repeat(count);
    let listed = |each: fn(usize) -> String, count| (0..count).map(each).collect::<String>();
    corpus.extend([
        ("brackets without end", many("(", 60_000)),
        ("arrays without end", many("[", 60_000)),
        ("blocks without end", many("{", 60_000)),
        ("closed brackets", format!("{}1{}", many("(", 30_000), many(")", 30_000))),
        ("signs without end", format!("{}1", many("-", 60_000))),
        ("negations without end", format!("{}true", many("!", 60_000))),
        ("a sum of everything", format!("1{}", many("+1", 30_000))),
        ("a chain of calls", format!("event{}", many(".keys()", 8_000))),
        ("a chain of indexes", format!("event{}", many("[0]", 20_000))),
        (
            "a chain of conditions",
            format!("{} 1", listed(|n| format!("if false {{ {n} }} else "), 2_500)),
        ),
        (
            "a switch of everything",
            format!("switch 7 {{ {} _ => 0 }}", listed(|n| format!("{n} => {n}, "), 4_000)),
        ),
        (
            "a switch of ranges",
            format!(
                "loop {{ switch 3999 {{ {} _ => 0 }} }}",
                listed(|n| format!("{n}..{} => {n}, ", n + 1), 2_500)
            ),
        ),
        ("variables without end", listed(|n| format!("let v{n} = {n};"), 4_000)),
        ("functions without end", listed(|n| format!("fn f{n}() {{}}"), 4_000)),
        ("an array of everything", format!("[{}]", many("1,", 30_000))),
        ("a map of everything", format!("#{{{}}}", listed(|n| format!("k{n}: {n},"), 5_000))),
        ("a template in templates", format!("{}1{}", many("`${", 10_000), many("}`", 10_000))),
        ("comments in comments", many("/*", 30_000)),
        ("a text without an end", format!("\"{}", many("x", 60_000))),
        ("a name of everything", many("x", 60_000)),
        ("a number of everything", many("9", 60_000)),
        ("letters that join", format!("let x = \"{}\"; x.len", many("\u{301}", 30_000))),
        ("bytes of nothing", many("\0", 60_000)),
    ]);
    corpus
}

#[test]
fn whatever_a_script_does_it_ends_within_its_limits() {
    let clock = SystemClock::start();
    let scripts = scripts();
    let sandbox = scripts.sandbox().unwrap();
    let corpus = corpus();
    let process = std::process::id();
    for unlimited in [false, true] {
        let mode = Mode { watched: false, unlimited };
        let (mut longest, mut largest) = ((Duration::ZERO, ""), (0, ""));
        let mut ends = std::collections::BTreeMap::<String, u32>::new();
        for (name, source) in &corpus {
            let before = forget_the_peak();
            let started = clock.monotonic();
            let ran = sandbox.try_out(source, INPUT, mode).unwrap();
            let took = clock.monotonic().saturating_sub(started);
            let added = peak().saturating_sub(before);
            longest = longest.max((took, name));
            largest = largest.max((added, name));
            assert!(took < TIME + SLACK, "{name} took {took:?}");
            assert!(added < ADDED, "{name} needed {added} KiB");
            let end = match ran {
                Ran::Killed(killed) => format!("killed: {}", killed.fault(TIME).message),
                Ran::Ended(report) => match report.outcome {
                    Outcome::Failed(fault) => {
                        assert!(fault.message.len() < 1 << 12, "{name} speaks too much");
                        "failed".to_owned()
                    }
                    Outcome::Dropped { reason } => {
                        assert!(reason.len() < 1 << 12, "{name} has too much of a reason");
                        "filtered".to_owned()
                    }
                    Outcome::Send { .. } => {
                        assert!(report.body.len() <= 1 << 20, "{name} says too much");
                        "sent".to_owned()
                    }
                    Outcome::Ready => "ready".to_owned(),
                },
            };
            // Without Rhai's limits a size that no memory has ends the instance, and nothing else.
            assert!(unlimited || !end.contains("broke the sandbox"), "{name}: {end}");
            *ends.entry(end).or_default() += 1;
        }
        println!(
            "{} scripts, Rhai's limits {}: {ends:?}; at most {:?} ({}) and {} KiB ({})",
            corpus.len(),
            if unlimited { "lifted" } else { "on" },
            longest.0,
            longest.1,
            largest.0,
            largest.1
        );
    }
    assert_eq!(std::process::id(), process);
    let good = sandbox.try_out("event.data.name", INPUT, Mode::default()).unwrap();
    let Ran::Ended(report) = good else { unreachable!("{good:?}") };
    assert_eq!(report.body, b"\"Ada\"");
}

/// Begins to measure the peak of this process's memory anew, and returns what it has now, in KiB.
fn forget_the_peak() -> u64 {
    // Where this is not allowed the peak of all runs is compared with each one's beginning.
    let _ = fs::write("/proc/self/clear_refs", "5");
    of_status("VmRSS:")
}

fn peak() -> u64 {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
