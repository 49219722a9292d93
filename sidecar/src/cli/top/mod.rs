//! `sidehook top`: how fast things go, what waits and what goes wrong, refreshed in place.
//!
//! Invariant: a figure that cannot be had is shown as missing, with the reason; nothing but the end of
//! the terminal ends the program before it is asked to.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

mod ask;
mod exposition;
mod figures;
mod screen;
mod view;

use super::reach::Several;
use crate::{
    clock::{Clock, SystemClock},
    lifecycle,
};
use ask::{Asker, Reading};
use figures::Figures;
use screen::Screen;

/// What is taken for the size of something that is no terminal: wide enough to cut nothing off.
const PAPER: (usize, usize) = (200, 60);

/// What `sidehook top` is told.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// Print one snapshot, after one interval, and end; so it is without a terminal
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    reach: Several,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_millis(100)..=Duration::from_hours(1);
    allowed.contains(&interval).then_some(interval).ok_or_else(|| "must be from 100ms to 1h".into())
}

/// Shows figures until a signal or a key asks for the end.
pub async fn run(args: TopArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::start();
    let asker = Asker::new(args.reach.each())?;
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        print_once(asker, args.interval, &clock, out).await?;
    } else {
        for_ever(asker, args.interval, &clock).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_once(
    mut asker: Asker,
    interval: Duration,
    clock: &dyn Clock,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let before = asker.ask(clock).await;
    clock.sleep(interval).await;
    let now = asker.ask(clock).await;
    let (width, height) = PAPER;
    for line in view::lines(&Figures::of(&now, &before), &heading(clock), width, height) {
        writeln!(out, "{}", line.text)?;
    }
    Ok(())
}

async fn for_ever(mut asker: Asker, interval: Duration, clock: &dyn Clock) -> anyhow::Result<()> {
    let stop = lifecycle::stop_on_signal().context("listening for signals")?;
    let mut resized = signal(SignalKind::window_change()).context("listening for signals")?;
    let _until_dropped = Screen::enter()?;
    let mut keys = Screen::keys();
    let mut before = None;
    let mut now = asker.ask(clock).await;
    loop {
        show(&now, before.as_ref(), clock)?;
        let next = async {
            clock.sleep(interval).await;
            asker.ask(clock).await
        };
        let mut next = std::pin::pin!(next);
        let next = loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(key) = keys.recv() => if matches!(key, b'q' | b'Q') { return Ok(()) },
                Some(()) = resized.recv() => show(&now, before.as_ref(), clock)?,
                next = &mut next => break next,
            }
        };
        before = Some(std::mem::replace(&mut now, next));
    }
}

fn show(now: &Reading, before: Option<&Reading>, clock: &dyn Clock) -> anyhow::Result<()> {
    let figures = Figures::of(now, before.unwrap_or(now));
    let (width, height) = Screen::size();
    let shown = Screen::show(&view::lines(&figures, &heading(clock), width, height));
    shown.context("writing to the terminal")
}

fn heading(clock: &dyn Clock) -> String {
    let now = clock.now().to_string();
    format!("sidehook top  {}", now.get(11..19).unwrap_or(&now))
}
