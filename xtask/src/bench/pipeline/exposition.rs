//! What the sidecar tells of itself at `/metrics`, and what of it fell between two looks. Pure.
//!
//! Invariant: a figure that is not there is none, never 0.

use std::collections::BTreeMap;

/// What was told at one moment: each sample by its name with its labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exposition(BTreeMap<String, f64>);

impl Exposition {
    /// Reads OpenMetrics.
    pub(super) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sample of this name, its labels included.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// How much it grew since an earlier look; what was not there then was 0.
    fn growth(&self, earlier: &Self, name: &str) -> Option<f64> {
        Some(self.value(name)? - earlier.value(name).unwrap_or(0.0))
    }

    /// The mean of what a histogram of seconds took in since an earlier look: milliseconds.
    /// `labels` are those of its series, in braces, or nothing.
    pub(super) fn mean_ms(&self, earlier: &Self, histogram: &str, labels: &str) -> Option<f64> {
        let count = self.growth(earlier, &format!("{histogram}_count{labels}"))?;
        let sum = self.growth(earlier, &format!("{histogram}_sum{labels}"))?;
        (count > 0.0).then_some(sum * 1e3 / count)
    }

    /// What half of them did not exceed, evenly spread within their bucket: milliseconds. A
    /// histogram without labels; none if that bucket has no end.
    pub(super) fn median_ms(&self, earlier: &Self, histogram: &str) -> Option<f64> {
        let prefix = format!("{histogram}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for name in self.0.keys() {
            let Some(end) = name.strip_prefix(&prefix).and_then(|end| end.strip_suffix("\"}"))
            else {
                continue;
            };
            let end = if end == "+Inf" { f64::INFINITY } else { end.parse().ok()? };
            buckets.push((end, self.growth(earlier, name)?));
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let half = buckets.last().map(|(_, all)| all / 2.0).filter(|half| *half > 0.0)?;
        let (mut begins, mut below) = (0.0, 0.0);
        for (ends, up_to) in buckets {
            if up_to >= half {
                let within = (half - below) / (up_to - below);
                return ends.is_finite().then_some((begins + (ends - begins) * within) * 1e3);
            }
            (begins, below) = (ends, up_to);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(quick: u32, all: u32, sum: f64) -> Exposition {
        let middling = u32::midpoint(quick, all);
        Exposition::parse(&format!(
            "# HELP commit Told.\n# TYPE commit histogram\n\
             commit_sum {sum}\ncommit_count {all}\n\
             commit_bucket{{le=\"0.001\"}} {quick}\ncommit_bucket{{le=\"0.002\"}} {middling}\n\
             commit_bucket{{le=\"+Inf\"}} {all}\n\
             call_sum{{operation=\"claim\"}} {sum}\ncall_count{{operation=\"claim\"}} {all}\n# EOF\n"
        ))
    }

    #[test]
    fn what_came_before_does_not_count() {
        let (earlier, later) = (told(100, 100, 9.0), told(102, 110, 9.05));
        assert!((later.mean_ms(&earlier, "commit", "").unwrap() - 5.0).abs() < 1e-6);
        let claims = later.mean_ms(&earlier, "call", "{operation=\"claim\"}");
        assert!((claims.unwrap() - 5.0).abs() < 1e-6);
        // Of ten, two took up to 1 ms and four more up to 2 ms: the fifth is three quarters on.
        assert!((later.median_ms(&earlier, "commit").unwrap() - 1.75).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_told_is_none() {
        let told = told(0, 10, 1.0);
        assert_eq!(told.value("commit"), None);
        assert_eq!(told.mean_ms(&told, "commit", ""), None);
        assert_eq!(told.median_ms(&told, "commit"), None);
        assert_eq!(told.median_ms(&Exposition::default(), "claim"), None);
        let slow = Exposition::parse("a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 10\n");
        assert_eq!(slow.median_ms(&Exposition::default(), "a"), None);
    }
}
