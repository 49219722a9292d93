//! The sandbox with the engine as it is built.

use std::time::Instant;

use super::*;

fn sandbox() -> Sandbox {
    Sandbox::open(None).unwrap()
}

#[test]
fn measures() {
    let started = Instant::now();
    let sandbox = sandbox();
    eprintln!("open {:?}", started.elapsed());
    let script = Script::new("#{ text: `Hello ${event.data.name}`, id: event.data.id }");
    let input = br#"{"event":{"data":{"name":"Ada","id":42}}}"#;
    let started = Instant::now();
    eprintln!("{:?} {:?}", sandbox.run(&script, input, TIME).unwrap(), started.elapsed());
    let mut times = Vec::new();
    for _ in 0..2000 {
        let started = Instant::now();
        sandbox.run(&script, input, TIME).unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    eprintln!("p50 {:?} p99 {:?}", times[1000], times[1980]);
    let started = Instant::now();
    eprintln!("{:?} {:?}", sandbox.run(&Script::new("loop { }"), input, TIME).unwrap(), started.elapsed());
    let unlimited = Mode { watched: false, unlimited: true };
    for source in ["loop { }", "let s = \"xxxxxxxx\"; loop { s += s; }", "fn f(x) { f(x+1) } f(1)"] {
        let started = Instant::now();
        eprintln!("{:?} {:?}", sandbox.try_out(source, input, unlimited).unwrap(), started.elapsed());
    }
}
