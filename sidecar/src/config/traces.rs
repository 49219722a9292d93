//! Who is told what became of writes, and of how many.
//!
//! Invariant: an endpoint is an address of HTTP without a user or a password in it.

use std::env;

use url::Url;

use super::{Error, wrong};
use crate::neighbours;

const KEY: &str = "traces";
/// What OpenTelemetry calls the address of the collector, and under which path it takes spans.
const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OTEL_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PATH: [&str; 2] = ["v1", "traces"];

/// Who is told of traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// Where spans are sent to.
    pub endpoint: Url,
    /// The share that is told of traces that begin here, 0 to 1.
    pub sample: f64,
}

impl Traces {
    /// Nobody, unless the key or OpenTelemetry's own variables name a collector.
    pub(super) fn read(base: Option<String>, sample: Option<f64>) -> Result<Option<Self>, Error> {
        let sample = sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            return Err(wrong("trace_sample", "must be 0 to 1"));
        }
        let said = |name| env::var(name).ok().filter(|url| !url.is_empty());
        let endpoint = match (base.filter(|base| !base.is_empty()), said(OTEL_TRACES_ENDPOINT)) {
            (Some(base), _) => beneath(&base, KEY)?,
            (None, Some(whole)) => parsed(&whole, OTEL_TRACES_ENDPOINT)?,
            (None, None) => match said(OTEL_ENDPOINT) {
                Some(base) => beneath(&base, OTEL_ENDPOINT)?,
                None => return Ok(None),
            },
        };
        Ok(Some(Self { endpoint, sample }))
    }
}

fn beneath(base: &str, key: &str) -> Result<Url, Error> {
    Ok(neighbours::beneath(&parsed(base, key)?, &PATH))
}

/// What is wrong with it is told without it: there may be a password in it.
fn parsed(text: &str, key: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    });
    url.ok_or_else(|| {
        let reason = "must be http://HOST:PORT of a collector that speaks OTLP over HTTP; a token \
                      for it belongs into OTEL_EXPORTER_OTLP_HEADERS";
        wrong(key, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base: &str) -> Result<String, String> {
        let read = Traces::read(Some(base.to_owned()), None);
        read.map(|traces| traces.unwrap().endpoint.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn spans_are_sent_beneath_the_collector() {
        for base in ["http://collector:4318", "http://collector:4318/"] {
            assert_eq!(endpoint(base).unwrap(), "http://collector:4318/v1/traces");
        }
        assert_eq!(endpoint("https://a/otlp/").unwrap(), "https://a/otlp/v1/traces");
    }

    #[test]
    fn what_is_no_collector_is_refused_without_repeating_it() {
        for bad in ["collector:4318", "grpc://a:4317", "http://me:hush@a", "http://a/?key=hush"] {
            let refused = endpoint(bad).unwrap_err();
            assert!(refused.starts_with("configuration key traces: must be http://"), "{refused}");
            assert!(!refused.contains("hush"), "{refused}");
        }
    }

    #[test]
    fn a_share_is_between_none_and_all() {
        for share in [-0.1, 1.1, f64::NAN] {
            let refused = Traces::read(None, Some(share)).unwrap_err().to_string();
            assert_eq!(refused, "configuration key trace_sample: must be 0 to 1");
        }
    }
}
