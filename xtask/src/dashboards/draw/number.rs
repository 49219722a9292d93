//! Numbers as Grafana writes them, by their unit.
//!
//! Invariant: a number has three digits or so, for nobody reads more at a glance.

/// A number in one of the units that our dashboards use.
pub(super) fn told(value: f64, unit: &str) -> String {
    match unit {
        "s" => time(value),
        "ms" => time(value / 1e3),
        "µs" => time(value / 1e6),
        "bytes" => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB"]),
        "cps" => format!("{}/s", short(value)),
        "reqps" => format!("{} req/s", short(value)),
        "percentunit" => format!("{}%", digits(value * 100.0)),
        _ => short(value),
    }
}

fn time(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        0.0 => (0.0, "s"),
        s if s < 1e-3 => (seconds * 1e6, "µs"),
        s if s < 1.0 => (seconds * 1e3, "ms"),
        s if s < 120.0 => (seconds, "s"),
        s if s < 7_200.0 => (seconds / 60.0, "min"),
        s if s < 172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "d"),
    };
    format!("{} {unit}", digits(value))
}

fn short(value: f64) -> String {
    scaled(value, 1000.0, &["", "K", "Mil", "Bil"]).trim_end().to_owned()
}

fn scaled(value: f64, by: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter().peekable();
    let mut unit = units.next().copied().unwrap_or_default();
    while value.abs() >= by && units.peek().is_some() {
        value /= by;
        unit = units.next().copied().unwrap_or_default();
    }
    format!("{} {unit}", digits(value))
}

fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_told_in_the_size_that_fits() {
        for (value, unit, expected) in [
            (0.0, "s", "0 s"),
            (0.0125, "s", "12.5 ms"),
            (90.0, "s", "90 s"),
            (600.0, "s", "10 min"),
            (250.0, "µs", "250 µs"),
            (2048.0, "bytes", "2 KiB"),
            (1500.0, "short", "1.5 K"),
            (0.5, "cps", "0.5/s"),
            (0.999, "percentunit", "99.9%"),
            (100.0, "short", "100"),
        ] {
            assert_eq!(told(value, unit), expected);
        }
    }
}
