//! Lays the figures out in lines of a width. Pure.
//!
//! Invariant: there are no more lines than asked for and none is wider, whatever the figures hold; a
//! figure that is missing is `-`.

use super::figures::{Figures, Letter, Pace, Trouble};
use crate::cli::terminal::{Colour, escaped, to_the_second};

/// A line, and the colour of all of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) colour: Option<Colour>,
}

/// The most subscriptions, and the most dead letters, where there is room without end.
const MOST: usize = 10;

/// The figures in at most `height` lines of at most `width` characters. `heading` says of what and when they are.
pub(super) fn lines(figures: &Figures, heading: &str, width: usize, height: usize) -> Vec<Line> {
    let mut lines = Lines { width, all: Vec::new() };
    lines.add(&format!("{heading}  {}", circumstances(figures)));
    lines.add("");
    rates(&mut lines, figures);
    lines.add("");
    standing(&mut lines, figures);
    for note in &figures.notes {
        lines.colour(&format!("missing: {note}"), Colour::Yellow);
    }
    // Two headings, and an empty line before each.
    let room = height.saturating_sub(lines.all.len() + 4);
    let letters = figures.letters.as_deref().unwrap_or_default();
    let troubles = figures.subscriptions.as_deref().unwrap_or_default();
    let for_letters = letters.len().min((room / 2).max(room.saturating_sub(troubles.len())));
    let for_troubles = room.saturating_sub(for_letters).min(MOST);
    lines.add("");
    lines.add(&match figures.subscriptions {
        Some(_) => columns(["SUBSCRIPTION", "WAITING", "FAILING", "DEAD", "LAST ERROR"]),
        None => "SUBSCRIPTIONS: -".to_owned(),
    });
    for trouble in troubles.iter().take(for_troubles) {
        let is_bad = trouble.failing + trouble.dead > 0;
        lines.maybe_colour(&trouble.row(), is_bad.then_some(Colour::Red));
    }
    lines.add("");
    lines.add(if figures.letters.is_some() { "LAST DEAD LETTERS" } else { "LAST DEAD LETTERS: -" });
    for letter in letters.iter().take(for_letters.min(MOST)) {
        lines.add(&letter.row());
    }
    lines.all.truncate(height);
    lines.all
}

/// Lines under way.
struct Lines {
    width: usize,
    all: Vec<Line>,
}

impl Lines {
    fn add(&mut self, text: &str) {
        self.maybe_colour(text, None);
    }

    fn colour(&mut self, text: &str, colour: Colour) {
        self.maybe_colour(text, Some(colour));
    }

    fn maybe_colour(&mut self, text: &str, colour: Option<Colour>) {
        let text: String = escaped(&text.replace('\n', " ")).chars().take(self.width).collect();
        self.all.push(Line { text: text.trim_end().to_owned(), colour });
    }
}

fn circumstances(figures: &Figures) -> String {
    let (there, all) = figures.sidecars;
    let queue = figures.queue.unwrap_or("-");
    format!("sidecars: {there} of {all}  queue: {queue}")
}

fn rates(lines: &mut Lines, figures: &Figures) {
    let [half, most] = figures.latency;
    lines.add(&format!(
        "{:12}{:>10}{:>12}      {:14}{:>10}{:>12}",
        "", "a second", "in all", "to delivery", "lately", "in all"
    ));
    let row = |name: &str, pace: Pace| {
        format!("{name:12}{:>10}{:>12}", rate(pace.per_second), count(pace.total))
    };
    let times = |name: &str, [lately, in_all]: [Option<f64>; 2]| {
        format!("      {name:14}{:>10}{:>12}", seconds(lately), seconds(in_all))
    };
    lines.add(&format!("{}{}", row("stored", figures.stored), times("half within", half)));
    lines.add(&format!("{}{}", row("delivered", figures.delivered), times("99 % within", most)));
    lines.add(&row("failed", figures.failed));
    lines.add(&row("given up", figures.given_up));
}

fn standing(lines: &mut Lines, figures: &Figures) {
    let standing = figures.standing.iter().map(|(name, value)| format!("{name} {}", count(*value)));
    let mut standing: Vec<_> = standing.collect();
    standing.insert(3, format!("lag {}", seconds(figures.lag_seconds)));
    let rest = standing.split_off(4);
    lines.add(&format!("waiting:      {}", standing.join(" · ")));
    lines.add(&format!("under way:    {}", rest.join(" · ")));
    let dead = match &figures.dead {
        None => "-".to_owned(),
        Some(dead) => {
            let some = dead.iter().filter(|(_, count)| **count > 0.0);
            let some: Vec<_> =
                some.map(|(cause, n)| format!("{cause} {}", count(Some(*n)))).collect();
            if some.is_empty() { "0".to_owned() } else { some.join(" · ") }
        }
    };
    lines.add(&format!("dead letters: {dead}"));
}

impl Trouble {
    fn row(&self) -> String {
        let [waiting, failing, dead] =
            [self.waiting, self.failing, self.dead].map(|count| count.to_string());
        columns([&self.name, &waiting, &failing, &dead, &self.last_error])
    }
}

impl Letter {
    fn row(&self) -> String {
        let at = to_the_second(&self.at);
        let Self { cause, event_type, name, error, .. } = self;
        format!("{:8}  {cause:12}  {event_type:20}  {name:20}  {error}", at.get(11..).unwrap_or(at))
    }
}

fn columns([name, waiting, failing, dead, error]: [&str; 5]) -> String {
    let name: String = name.chars().take(34).collect();
    format!("{name:34}  {waiting:>7}  {failing:>7}  {dead:>5}  {error}")
}

fn rate(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.1}"))
}

fn count(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.0}"))
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        Some(value) if value < 120.0 => format!("{value:.1} s"),
        Some(value) if value < 7200.0 => format!("{:.0} min", value / 60.0),
        Some(value) => format!("{:.0} h", value / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::figures::testing::reading;

    fn shown(figures: &Figures, width: usize, height: usize) -> String {
        let lines = lines(figures, "sidehook top 09:30:12", width, height);
        assert!(lines.len() <= height);
        for line in &lines {
            assert!(line.text.chars().count() <= width, "{}", line.text);
        }
        lines.into_iter().map(|line| line.text + "\n").collect()
    }

    fn figures() -> Figures {
        Figures::of(&reading(12, 110, 6), &reading(10, 100, 4))
    }

    #[test]
    fn all_is_in_sight_on_a_terminal_of_the_usual_size() {
        insta::assert_snapshot!(shown(&figures(), 80, 24));
    }

    #[test]
    fn what_is_missing_is_a_dash_with_the_reason_beneath() {
        let mut now = reading(1, 0, 0);
        now.counted = vec![Err("the token lacks the scope metrics:read".to_owned())];
        (now.dead, now.pending) = (Err("forbidden".to_owned()), Err("forbidden".to_owned()));
        insta::assert_snapshot!(shown(&Figures::of(&now, &now), 80, 24));
    }

    #[test]
    fn it_fits_into_any_size() {
        for (width, height) in [(0, 0), (1, 1), (20, 5), (79, 12), (300, 100)] {
            shown(&figures(), width, height);
        }
    }

    #[test]
    fn dead_letters_get_the_room_that_subscriptions_leave() {
        let mut figures = figures();
        let letter = figures.letters.as_ref().unwrap()[0].clone();
        figures.letters = Some(vec![letter; 50]);
        let text = shown(&figures, 80, 24);
        assert_eq!(text.matches("exhausted  ").count(), 6, "{text}");
        let text = shown(&figures, 80, 60);
        assert_eq!(text.matches("exhausted  ").count(), MOST, "{text}");
    }

    #[test]
    fn what_a_receiver_says_cannot_act_on_the_terminal() {
        let mut figures = figures();
        let letters = figures.letters.as_mut().unwrap();
        letters[0].error = "a\u{1b}[2J\nb".to_owned();
        let text = shown(&figures, 120, 24);
        assert!(text.contains("a\\u001b[2J b"), "{text}");
    }

    #[test]
    fn a_time_is_told_in_the_unit_that_suits_it() {
        let told = [0.0123, 1.5, 119.0, 600.0, 86_400.0].map(|time| seconds(Some(time)));
        assert_eq!(told, ["12 ms", "1.5 s", "119.0 s", "10 min", "24 h"]);
    }
}
