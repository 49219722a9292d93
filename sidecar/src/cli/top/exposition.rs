//! Reads the figures of `/metrics` (OpenMetrics 1.0, text format). Pure.
//!
//! Invariant: a line that cannot be read is passed over; a figure that is not there is `None`, never
//! zero.

use std::collections::BTreeMap;

/// What was shown at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Exposition(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// The counts of a histogram by the upper bounds of its buckets, each with all below it.
pub(super) type Buckets = Vec<(f64, f64)>;

impl Exposition {
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The sum of the samples of this name whose labels pass.
    pub(super) fn sum(&self, name: &str, passes: impl Fn(&str, &str) -> bool) -> Option<f64> {
        let named = self.0.iter().filter(|sample| sample.name == name);
        let values = named.filter_map(|sample| {
            let mut labels = sample.labels.iter();
            labels.all(|(label, value)| passes(label, value)).then_some(sample.value)
        });
        values.reduce(|sum, value| sum + value)
    }

    /// The one sample of this name.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.sum(name, |_, _| true)
    }

    /// The samples of this name, by the value of one label.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let named = self.0.iter().filter(|sample| sample.name == name);
        named
            .filter_map(|sample| Some((sample.labels.get(label)?.as_str(), sample.value)))
            .collect()
    }

    /// The buckets of a histogram, the narrowest first.
    pub(super) fn buckets(&self, name: &str) -> Buckets {
        let named = self.by_label(name, "le");
        let bounds = named.into_iter().filter_map(|(bound, count)| {
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count))
        });
        let mut buckets: Buckets = bounds.collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// Of the observations in `buckets`, the value below which this share lies, as Prometheus'
/// `histogram_quantile` finds it: evenly spread within a bucket. `None` without an observation.
pub(super) fn quantile(share: f64, buckets: &Buckets) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = share * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (upper, count) in buckets {
        if *count >= rank && *count > below {
            // Beyond the last bound it is at least that.
            let width = if upper.is_finite() { upper - lower } else { 0.0 };
            return Some(lower + width * (rank - below) / (count - below));
        }
        (lower, below) = (*upper, *count);
    }
    None
}

/// What came to `later` after `earlier`, bucket by bucket. One that began anew counts from zero.
pub(super) fn since(later: &Buckets, earlier: &Buckets) -> Buckets {
    let began_anew = later.iter().zip(earlier).any(|((_, later), (_, earlier))| later < earlier);
    if began_anew || later.len() != earlier.len() {
        return later.clone();
    }
    let pairs = later.iter().zip(earlier);
    pairs.map(|((bound, later), (_, earlier))| (*bound, later - earlier)).collect()
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (name, labels, rest) = if let Some((name, rest)) = line.split_once('{') {
        let (labels, rest) = labels(rest)?;
        (name, labels, rest)
    } else {
        let (name, rest) = line.split_once(' ')?;
        (name, BTreeMap::new(), rest)
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels before the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// The text before the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"# HELP sidehook_stored Events
# TYPE sidehook_stored counter
sidehook_stored_total{result="stored"} 12
sidehook_stored_total{result="known",odd="a\"}\n, b"} 3 1763890200.123
sidehook_lag_seconds 0.5
sidehook_broken{
sidehook_time_seconds_bucket{le="0.1"} 10
sidehook_time_seconds_bucket{le="+Inf"} 20
sidehook_time_seconds_bucket{le="0.5"} 15
# EOF
"#;

    #[test]
    fn figures_are_found_by_name_and_labels() {
        let shown = Exposition::parse(TEXT);
        assert_eq!(shown.value("sidehook_stored_total"), Some(15.0));
        let stored = |label: &str, value: &str| (label, value) == ("result", "stored");
        assert_eq!(shown.sum("sidehook_stored_total", stored), Some(12.0));
        assert_eq!(shown.value("sidehook_lag_seconds"), Some(0.5));
        assert_eq!(shown.value("sidehook_lag"), None);
        let by_oddity = shown.by_label("sidehook_stored_total", "odd");
        assert_eq!(by_oddity, BTreeMap::from([("a\"}\n, b", 3.0)]));
        let buckets = shown.buckets("sidehook_time_seconds_bucket");
        assert_eq!(buckets, [(0.1, 10.0), (0.5, 15.0), (f64::INFINITY, 20.0)]);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket_and_never_beyond_the_last_bound() {
        let buckets = vec![(0.1, 10.0), (0.5, 15.0), (f64::INFINITY, 20.0)];
        assert_eq!(quantile(0.25, &buckets), Some(0.05));
        assert_eq!(quantile(0.5, &buckets), Some(0.1));
        assert_eq!(quantile(0.75, &buckets), Some(0.5));
        assert_eq!(quantile(0.99, &buckets), Some(0.5));
        assert_eq!(quantile(0.5, &vec![(0.1, 0.0), (f64::INFINITY, 0.0)]), None);
        assert_eq!(quantile(0.5, &Vec::new()), None);
    }

    #[test]
    fn what_came_since_is_told_apart_from_a_new_beginning() {
        let (earlier, later) = (vec![(0.1, 4.0), (0.5, 6.0)], vec![(0.1, 5.0), (0.5, 9.0)]);
        assert_eq!(since(&later, &earlier), [(0.1, 1.0), (0.5, 3.0)]);
        assert_eq!(since(&earlier, &later), earlier);
        assert_eq!(since(&later, &Vec::new()), later);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text: String) {
            let _ = Exposition::parse(&text).value("sidehook");
        }
    }
}
