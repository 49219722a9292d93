//! How a file looks from outside: its first lines, its length, and that it is safe.
//!
//! Invariant: what is found is named with the file, so that it can be gone to.

use crate::source::Source;

/// A file that passes this is two ideas.
const LONGEST: usize = 400;

/// The files that speak to a host of WebAssembly, and the one that hands machine code to it.
const UNSAFE_ALLOWED: [&str; 3] = [
    "filter/src/abi.rs",
    "sidecar/script-engine/src/abi.rs",
    "sidecar/src/transform/sandbox/module.rs",
];

/// What is wrong with a file.
pub(crate) fn faults(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut faults = Vec::new();
    let header: Vec<_> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if header.is_empty() {
        faults.push(format!("{path}: does not open with `//!`"));
    }
    if !header.iter().any(|line| line.contains("Invariant:")) {
        faults.push(format!("{path}: its header names no invariant"));
    }
    let length = source.text.lines().count();
    if length > LONGEST {
        faults.push(format!("{path}: {length} lines, more than {LONGEST}"));
    }
    let may_be_unsafe = UNSAFE_ALLOWED.iter().any(|allowed| source.path.ends_with(allowed));
    if source.tokens().any(|token| token == "unsafe") && !may_be_unsafe {
        faults.push(format!("{path}: `unsafe` outside {}", UNSAFE_ALLOWED.join(", ")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! Holds.\n//!\n//! Invariant: it holds.\n";

    fn of(path: &str, text: &str) -> Vec<String> {
        faults(&Source::new(path, text))
    }

    #[test]
    fn a_good_file_has_no_fault() {
        let text =
            format!("{HEADER}#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";");
        assert_eq!(of("a.rs", &text), Vec::<String>::new());
    }

    #[test]
    fn a_header_that_is_missing_or_comes_late_is_a_fault() {
        assert_eq!(of("a.rs", "fn a() {}").len(), 2);
        assert_eq!(of("a.rs", &format!("fn a() {{}}\n{HEADER}")).len(), 2);
        assert_eq!(of("a.rs", "//! Holds.\n\n//! Invariant: too late.\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_a_fault() {
        let text = format!("{HEADER}{}", "\n".repeat(LONGEST - 3));
        assert_eq!(of("a.rs", &text), Vec::<String>::new());
        assert_eq!(of("a.rs", &format!("{text}\n")), ["a.rs: 401 lines, more than 400"]);
    }

    #[test]
    fn unsafe_code_is_a_fault_in_every_file_but_few() {
        let text = format!("{HEADER}fn a() {{ unsafe {{ b() }} }}");
        assert_eq!(of("filter/src/root.rs", &text).len(), 1);
        for allowed in UNSAFE_ALLOWED {
            assert_eq!(of(allowed, &text), Vec::<String>::new());
        }
    }
}
