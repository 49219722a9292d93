//! Says what is wrong with a script, where, and what may help.
//!
//! Invariant: the place is the innermost one inside the script's own text.

use rhai::{EvalAltResult, ParseError, Position};

use crate::outcome::Fault;

/// What people write who are used to JavaScript, and what it is in Rhai. The first one that stands
/// in the line is told.
const HABITS: [(&str, &str); 19] = [
    ("===", "Rhai compares with == and !="),
    ("!==", "Rhai compares with == and !="),
    ("=>", "a function is written |x| x + 1, or fn name(x) { … }"),
    ("function", "a function is written fn name(x) { … }, or |x| x + 1"),
    ("JSON.stringify", "to_json(value) makes JSON"),
    ("JSON.parse", "from_json(text) reads JSON"),
    ("Object.keys", "map.keys() gives the names"),
    (".length", "the length is text.len, or array.len"),
    (".push(", "push changes the array and gives nothing back"),
    (".toUpperCase", "it is text.to_upper()"),
    (".toLowerCase", "it is text.to_lower()"),
    (".includes", "it is text.contains(part), or \"name\" in map"),
    ("null", "nothing is written ()"),
    ("undefined", "nothing is written ()"),
    ("var ", "a variable is declared with let"),
    ("'", "texts stand in \"double quotes\", or in `backquotes` with ${gaps}"),
    ("event?.", "what is missing in a map is (): event.data.name is no error"),
    ("? ", "it is written if condition { a } else { b }, which has a value"),
    ("{", "a map is written #{ name: value }"),
];

const MISSING: &str =
    "a member that is missing is (): get(event, \"data.name\", \"\") has another value instead";

/// Why a script cannot be compiled.
pub(crate) fn parsing(error: &ParseError, source: &str) -> Fault {
    let message = error.err_type().to_string();
    let fault = at(error.position(), Fault::new(message));
    let hint = habit(source, fault.line);
    Fault { hint, ..fault }
}

/// Why a run did not end well.
pub(crate) fn running(error: EvalAltResult, source: &str) -> Fault {
    let (mut error, outer) = innermost(error, Position::NONE);
    let own = error.take_position();
    let place = if own.is_none() { outer } else { own };
    let message = match &error {
        EvalAltResult::ErrorRuntime(value, _) if value.is_string() => value.to_string(),
        EvalAltResult::ErrorTooManyOperations(_) => {
            "ran for too many steps; is there a loop without an end?".to_owned()
        }
        error => error.to_string(),
    };
    let fault = at(place, Fault::new(message));
    let hint = match &error {
        EvalAltResult::ErrorFunctionNotFound(called, _) if called.contains("()") => {
            Some(MISSING.to_owned())
        }
        EvalAltResult::ErrorMismatchDataType(..) if fault.message.contains("()") => {
            Some(MISSING.to_owned())
        }
        EvalAltResult::ErrorFunctionNotFound(..) | EvalAltResult::ErrorDotExpr(..) => {
            habit(source, fault.line)
        }
        _ => None,
    };
    Fault { hint, ..fault }
}

fn innermost(error: EvalAltResult, outer: Position) -> (EvalAltResult, Position) {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, position) => {
            innermost(*inner, if position.is_none() { outer } else { position })
        }
        error => (error, outer),
    }
}

fn at(position: Position, fault: Fault) -> Fault {
    let wide = |number: Option<usize>| number.and_then(|number| u32::try_from(number).ok());
    Fault {
        line: wide(position.line()).unwrap_or(0),
        column: wide(position.position()).unwrap_or(0),
        ..fault
    }
}

fn habit(source: &str, line: u32) -> Option<String> {
    let number = usize::try_from(line).ok()?.checked_sub(1)?;
    let line = source.lines().nth(number)?;
    let known = HABITS.iter().find(|(written, _)| line.contains(written));
    known.map(|(_, hint)| (*hint).to_owned())
}
