//! Where a write stands in a distributed trace, as its request said (W3C Trace Context).
//!
//! Invariant: whatever was read can be sent as a header; what does not follow the recommendation
//! counts as not there, as it asks (section 3.2.3).

use std::fmt;

use sidehook_event::Exchange;

/// The name of the header that tells of it.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header with the vendors' part.
pub const TRACESTATE: &str = "tracestate";
/// The longest vendors' part that is passed on, in bytes (section 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// A span of somebody's, and the trace it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: u128,
    /// The span in it.
    pub span_id: u64,
    /// Whether whoever made it records.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads the value of a `traceparent`. One of a later version is read as far as it is known.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(55)?;
        let mut parts = known.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        if parts.next().is_some() || lengths != [2, 32, 16, 2] || !is_hexadecimal(known) {
            return None;
        }
        match version {
            "ff" => return None,
            "00" if !rest.is_empty() => return None,
            _ if !rest.is_empty() && !rest.starts_with('-') => return None,
            _ => {}
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }

    /// The headers by which the trace of this exchange goes on.
    pub fn headers(exchange: &Exchange) -> Vec<(String, String)> {
        let Some(parent) = exchange.traceparent.as_deref().filter(|it| Self::parse(it).is_some())
        else {
            return Vec::new();
        };
        let state = exchange.tracestate.as_deref().filter(|state| can_be_sent(state));
        let state = state.map(|state| (TRACESTATE.to_owned(), state.to_owned()));
        [(TRACEPARENT.to_owned(), parent.to_owned())].into_iter().chain(state).collect()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, is_sampled } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*is_sampled))
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn can_be_sent(state: &str) -> bool {
    (1..=LONGEST_STATE).contains(&state.len())
        && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WRITTEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let context = TraceContext::parse(WRITTEN).unwrap();
        assert_eq!(context.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span_id, 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), WRITTEN);
        let unsampled = TraceContext::parse(&WRITTEN.replace("-01", "-02")).unwrap();
        assert!(!unsampled.is_sampled, "only the lowest bit says so");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = WRITTEN.replacen("00", "cc", 1);
        for known in [later.clone(), format!("{later}-"), format!("{later}-what-comes")] {
            assert!(TraceContext::parse(&known).is_some(), "{known}");
        }
        assert_eq!(TraceContext::parse(&format!("{later}.more")), None);
    }

    #[test]
    fn what_does_not_follow_the_recommendation_counts_as_not_there() {
        let bad = [
            "",
            "00",
            &WRITTEN.to_uppercase(),
            &format!("{WRITTEN}-more"),
            &WRITTEN.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c8031-9cb7ad6b7169203331--01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_vendors_part_goes_on_with_a_trace_only_and_only_if_it_can_be_sent() {
        let headers = |parent: &str, state: &str| {
            let [traceparent, tracestate] = [parent, state].map(|text| Some(text.to_owned()));
            TraceContext::headers(&Exchange { traceparent, tracestate, ..Exchange::default() })
        };
        assert_eq!(headers(WRITTEN, "a=b").len(), 2);
        for bad in ["", "a=\u{e9}", "a=\r\nx: y", &"a".repeat(513)] {
            assert_eq!(headers(WRITTEN, bad), [(TRACEPARENT.to_owned(), WRITTEN.to_owned())]);
        }
        assert_eq!(headers("no trace", "a=b"), []);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text: String) {
            let _ = TraceContext::parse(&text);
        }

        #[test]
        fn any_context_is_read_as_it_was_written(trace_id in 1..u128::MAX, span_id in 1..u64::MAX, is_sampled: bool) {
            let context = TraceContext { trace_id, span_id, is_sampled };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }
    }
}
