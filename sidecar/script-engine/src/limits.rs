//! What Rhai itself limits. The sandbox limits time and memory whatever a script does; these
//! limits end a script earlier and say at which line.
//!
//! Invariant: a script that stays within them needs no more than a sandbox gives it.

use rhai::Engine;

/// Steps of one run: some 100 ms of them.
const OPERATIONS: u64 = 1_000_000;
/// Calls within calls.
const CALLS: usize = 64;
/// Expressions within expressions.
const DEPTH: usize = 64;
/// Bytes of one text.
const TEXT: usize = 1 << 20;
/// Elements of one array, bytes of one blob, members of one map.
const ELEMENTS: usize = 100_000;
/// Variables at a time.
const VARIABLES: usize = 1_000;
/// Functions of one script.
const FUNCTIONS: usize = 200;

pub(crate) fn set(engine: &mut Engine) {
    engine
        .set_max_operations(OPERATIONS)
        .set_max_call_levels(CALLS)
        .set_max_expr_depths(DEPTH, DEPTH)
        .set_max_string_size(TEXT)
        .set_max_array_size(ELEMENTS)
        .set_max_map_size(ELEMENTS)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS);
}

/// Leaves it to the sandbox alone.
pub(crate) fn lift(engine: &mut Engine) {
    engine
        .set_max_operations(0)
        .set_max_call_levels(usize::MAX)
        .set_max_expr_depths(0, 0)
        .set_max_string_size(0)
        .set_max_array_size(0)
        .set_max_map_size(0)
        .set_max_variables(usize::MAX)
        .set_max_functions(usize::MAX);
}
