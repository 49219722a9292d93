//! Lines over time, as SVG.
//!
//! Invariant: whatever the values are, the lines stay within their panel.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{Line, number};
use crate::{dashboards::board::Panel, services::prometheus::Stretch};

/// What is left free for the title, the axes and the legend, in pixels.
const TOP: f64 = 34.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const BOTTOM: f64 = 44.0;

/// Where a value at a time is drawn.
struct Scale {
    stretch: Stretch,
    most: f64,
    width: f64,
    height: f64,
}

/// The chart of these lines, in a panel of this size.
pub(super) fn drawn(panel: &Panel, lines: &[Line], stretch: Stretch, size: (u32, u32)) -> String {
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let custom = |name: &str| panel.setting(&format!("/fieldConfig/defaults/custom/{name}"));
    let is_stacked = custom("stacking/mode").and_then(Value::as_str) == Some("normal");
    let limit = custom("thresholdsStyle").and_then(|_| {
        panel.setting("/fieldConfig/defaults/thresholds/steps/1/value").and_then(Value::as_f64)
    });
    let bands = bands(lines, is_stacked);
    let highest = bands.iter().flatten().map(|(_, _, high)| *high).fold(0.0, f64::max);
    // A limit that is far away is not worth squeezing the lines for.
    let limit = limit.filter(|limit| *limit <= highest * 4.0);
    let highest = highest.max(limit.unwrap_or(0.0));
    let unit = panel.setting("/fieldConfig/defaults/unit").and_then(Value::as_str);
    let unit = unit.unwrap_or_default();
    // Bytes are counted in steps of 1024.
    let mega = if unit == "bytes" && highest > 1e6 { 1_048_576.0 } else { 1.0 };
    let step = step(highest / mega / 4.0) * mega;
    let most = (highest / step).ceil().max(1.0) * step;
    let scale = Scale { stretch, most, width, height };

    let mut svg = format!(
        "<svg width=\"{width}\" height=\"{height}\" style=\"position:absolute;left:0;top:0\">"
    );
    svg.push_str(&scale.axes(step, unit));
    for (line, band) in lines.iter().zip(&bands).rev() {
        svg.push_str(&scale.band(band, &line.color, is_stacked));
    }
    if let Some(limit) = limit {
        let y = scale.y(limit);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#F2495C\" stroke-dasharray=\"6 4\"/>",
            width - RIGHT
        );
    }
    svg + "</svg>"
}

/// For each line its times, with what it begins at and reaches: what is stacked begins where the
/// line before it ended.
fn bands(lines: &[Line], is_stacked: bool) -> Vec<Vec<(f64, f64, f64)>> {
    let mut below: BTreeMap<u64, f64> = BTreeMap::new();
    let bands = lines.iter().map(|line| {
        let points = line.points.iter().map(|(time, value)| {
            let floor = below.entry(time.to_bits()).or_default();
            let low = *floor;
            if is_stacked {
                *floor += value;
            }
            (*time, low, low + value)
        });
        points.collect()
    });
    bands.collect()
}

/// The next of 1, 2, 5, 10, 20, …
fn step(least: f64) -> f64 {
    if least <= 0.0 {
        return 0.25;
    }
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(least)
}

impl Scale {
    fn x(&self, time: f64) -> f64 {
        let part = (time - self.stretch.from) / (self.stretch.to - self.stretch.from);
        LEFT + part * (self.width - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let bottom = self.height - BOTTOM;
        bottom - value / self.most * (bottom - TOP)
    }

    fn axes(&self, step: f64, unit: &str) -> String {
        let mut svg = String::new();
        let mut value = 0.0;
        while value <= self.most * 1.001 {
            let y = self.y(value);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#2a2d34\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.width - RIGHT,
                LEFT - 6.0,
                y + 3.5,
                number::told(value, unit),
            );
            value += step;
        }
        let stretch = self.stretch;
        for quarter in [0.1, 0.4, 0.7, 0.98] {
            let time = stretch.from + quarter * (stretch.to - stretch.from);
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                self.x(time).min(self.width - 30.0),
                self.height - BOTTOM + 15.0,
                clock(time),
            );
        }
        svg
    }

    /// A line, and the area below it; broken where there are no values.
    fn band(&self, band: &[(f64, f64, f64)], color: &str, is_stacked: bool) -> String {
        let opacity = if is_stacked { 0.3 } else { 0.08 };
        let together =
            |a: &(f64, f64, f64), b: &(f64, f64, f64)| b.0 - a.0 < self.stretch.step * 1.5;
        let pieces = band.chunk_by(together);
        let pieces = pieces.map(|piece| {
            let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
                let points =
                    points.map(|(time, value)| format!("{:.1},{:.1}", self.x(time), self.y(value)));
                points.collect::<Vec<_>>().join(" ")
            };
            let line = path(&mut piece.iter().map(|(time, _, high)| (*time, *high)));
            let below = path(&mut piece.iter().rev().map(|(time, low, _)| (*time, *low)));
            format!(
                "<polygon points=\"{line} {below}\" fill=\"{color}\" fill-opacity=\"{opacity}\"/>\
                 <polyline points=\"{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.4\"/>"
            )
        });
        pieces.collect()
    }
}

/// The time of day, UTC, of a Unix time.
fn clock(time: f64) -> String {
    let of_day = time.rem_euclid(86_400.0);
    let part = |seconds: f64, of: f64| (of_day / seconds).floor().rem_euclid(of);
    format!("{:02}:{:02}:{:02}", part(3_600.0, 24.0), part(60.0, 60.0), part(1.0, 60.0))
}
