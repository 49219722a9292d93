//! What a run is handed: an event and who it is for, as JSON.
//!
//! Invariant: numbers, texts and nesting of the event come out as JSON has them; a body that is
//! also the event's `data` is handed in once.

use rhai::{Dynamic, Map};
use serde::Deserialize;

/// What a script sees.
#[derive(Debug, Deserialize)]
pub(crate) struct Input {
    pub(crate) event: Dynamic,
    #[serde(default)]
    pub(crate) subscription: Dynamic,
    /// Which bodies of the exchange are the event's `data`: `request`, `response` or both.
    #[serde(default)]
    same: Vec<String>,
}

impl Input {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut input: Self = serde_json::from_slice(bytes)?;
        let same = std::mem::take(&mut input.same);
        if let Ok(mut event) = input.event.as_map_mut() {
            let data = event.get("data").cloned();
            for name in same {
                let side = event.get_mut(name.as_str());
                if let Some(mut side) = side.and_then(|side| side.as_map_mut().ok()) {
                    put(&mut side, data.clone());
                }
            }
        }
        Ok(input)
    }
}

fn put(side: &mut Map, data: Option<Dynamic>) {
    side.insert("body".into(), data.unwrap_or(Dynamic::UNIT));
}
