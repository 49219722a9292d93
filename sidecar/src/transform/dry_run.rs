//! Runs a script once and tells everything about it.
//!
//! Invariant: what is told to be sent is what a delivery would send.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};
use sidehook_script_engine::{Fault, Mode, Outcome};
use utoipa::ToSchema;

use super::{
    sandbox::{self, Ran, Sandbox, Unavailable},
    scripts::{Transformed, transformed},
};
use crate::model::Payload;

/// The most characters of a line that is shown.
const LONGEST_LINE: usize = 200;

/// What came of a script.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScriptRun)]
pub struct DryRun {
    /// `sent`, `filtered` or `failed`.
    pub outcome: &'static str,
    /// What would be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Why it dropped the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ShownFault>,
    /// What it printed.
    pub log: Vec<String>,
    /// How many steps it took.
    #[schema(required)]
    pub operations: Option<u64>,
}

/// What would be sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScriptOutput)]
pub struct Output {
    /// Its media type.
    pub content_type: String,
    /// Those that it brings along.
    pub headers: Map<String, Value>,
    /// As JSON if it is, else as text, else null.
    #[schema(value_type = Value)]
    pub body: Box<RawValue>,
    /// What is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// What is wrong with a script, with the line that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScriptFault)]
pub struct ShownFault {
    /// In words.
    pub message: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The line itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl DryRun {
    /// Runs a script on an input.
    pub fn of(sandbox: &Sandbox, source: &str, input: &[u8]) -> Result<Self, Unavailable> {
        let mode = Mode { watched: true, unlimited: false };
        let report = match sandbox.try_out(source, input, mode)? {
            Ran::Ended(report) => report,
            Ran::Killed(killed) => Outcome::Failed(killed.fault(sandbox::TIME)).into(),
        };
        let (log, operations) = (report.log.clone(), report.operations);
        let (output, reason, error) = (None, None, None);
        let told = |outcome| Self { outcome, output, reason, error, log, operations };
        if let Outcome::Failed(fault) = &report.outcome {
            return Ok(Self { error: Some(ShownFault::of(fault, source)), ..told("failed") });
        }
        Ok(match transformed(report) {
            Transformed::Made(payload) => {
                Self { output: Some(Output::of(&payload)), ..told("sent") }
            }
            Transformed::Dropped(reason) => Self { reason: Some(reason), ..told("filtered") },
            Transformed::Failed(reason) | Transformed::Killed(reason) => {
                let error = Some(ShownFault::of(&Fault::new(reason), source));
                Self { error, ..told("failed") }
            }
        })
    }
}

impl Output {
    /// A payload, to be looked at.
    pub fn of(payload: &Payload) -> Self {
        let headers = payload.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let text = std::str::from_utf8(&payload.body);
        let json = text.ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        let body = json.map(ToOwned::to_owned).or_else(|| to_raw_value(text.ok()?).ok());
        Self {
            content_type: payload.content_type.to_string(),
            headers,
            body: body.unwrap_or_default(),
            base64: text.is_err().then(|| STANDARD.encode(&payload.body)),
        }
    }
}

impl ShownFault {
    /// With the line of this source.
    pub fn of(fault: &Fault, source: &str) -> Self {
        let Fault { message, line, column, hint } = fault.clone();
        let place = |number: u32| Some(number).filter(|number| *number > 0);
        let number = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        let text = number.and_then(|number| source.lines().nth(number));
        let text = text.map(|text| text.chars().take(LONGEST_LINE).collect());
        Self { message, line: place(line), column: place(column), text, hint }
    }
}
