//! What an exchange costs in instructions of the virtual machine, by the size of its bodies, and
//! how many times that is what a filter costs which does nothing.
//!
//! Fuel is the same in every run of one build, and within a few per cent with another compiler. It
//! leaves out what the gateway does around a callback, and what it copies: `cargo xtask bench
//! filter` measures all of it.
//!
//! Invariant: no case costs more than its budget; how much a body weighs is bounded by its limit.

mod machine;

use machine::{BASELINE, MODULE, Machine};
use wasmtime::Module;

const CONFIG: &str = r#"{"gateway":"edge","sidecar":{"cluster":"sidehook"},
    "routes":[{"resource":"people","path":"/people"}]}"#;

/// Exchanges of a case.
const EXCHANGES: u32 = 100;

/// A kind of exchange.
struct Case {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    /// Bytes of the request's body and of the answer's.
    bodies: [usize; 2],
    captured: bool,
    /// The most that one may cost, in instructions: what it cost when this was written and a
    /// sixth of that.
    budget: u64,
}

const CASES: [Case; 6] = [
    Case::new("GET", "GET", "/people/42", [0, 60], 1_880),
    Case::new("POST that no rule matches", "POST", "/orders", [200, 60], 6_310),
    Case::new("POST of 200 B", "POST", "/people", [200, 60], 39_800).captured(),
    Case::new("POST of 10 KB", "POST", "/people", [10_000, 60], 62_200).captured(),
    Case::new("POST of 1 MB", "POST", "/people", [1_000_000, 60], 155_000).captured(),
    Case::new("POST of 200 B, answer of 10 KB", "POST", "/people", [200, 10_000], 143_900)
        .captured(),
];

impl Case {
    const fn new(
        name: &'static str,
        method: &'static str,
        path: &'static str,
        bodies: [usize; 2],
        budget: u64,
    ) -> Self {
        Self { name, method, path, bodies, captured: false, budget }
    }

    const fn captured(self) -> Self {
        Self { captured: true, ..self }
    }

    /// Instructions of one exchange from its first callback to its last, on average. A write that
    /// is captured is a batch of its own, which is committed before the next one comes.
    fn cost(&self, module: &Module) -> u64 {
        let (mut machine, accepted) = Machine::of(module, CONFIG);
        assert_eq!(accepted, 1, "{:?}", machine.store.data().logs);
        let [request, answer] = self.bodies.map(json);
        let (mut spent, mut calls) = (0, 0);
        for context in 10..10 + EXCHANGES {
            let (fuel, _) = machine.cost(|machine| {
                let bodies = [request.as_slice(), answer.as_slice()];
                machine.exchange_of(context, self.method, self.path, bodies);
                if machine.store.data().calls.len() > calls as usize {
                    calls += 1;
                    machine.answered(calls);
                }
                machine.ends(context);
            });
            spent += fuel;
        }
        let captured = self.captured && std::ptr::eq(module, &raw const *MODULE);
        let expected = if captured { EXCHANGES as usize } else { 0 };
        assert_eq!(machine.events().len(), expected, "{}", self.name);
        spent / u64::from(EXCHANGES)
    }
}

/// An object that is so long.
fn json(length: usize) -> Vec<u8> {
    let (before, after) = (r#"{"id":42,"name":""#, r#""}"#);
    let name = "a".repeat(length.saturating_sub(before.len() + after.len()));
    format!("{before}{name}{after}").into_bytes()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for people, too")]
fn no_exchange_costs_more_than_its_budget() {
    println!("\ninstructions of an exchange           ours    budget  empty filter  times");
    let mut over = Vec::new();
    for case in &CASES {
        let (ours, empty) = (case.cost(&MODULE), case.cost(&BASELINE));
        let (name, budget, times) = (case.name, case.budget, ours / empty);
        println!("{name:<32} {ours:>9} {budget:>9} {empty:>13} {times:>6}");
        if ours > budget {
            over.push(format!("{name}: {ours}, {budget} are allowed"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

#[test]
fn the_cost_is_the_same_in_every_run() {
    let case = &CASES[2];
    assert_eq!(case.cost(&MODULE), case.cost(&MODULE));
}
