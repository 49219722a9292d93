//! `sidehook tail`: shows what happens in one sidecar or several, as it happens.
//!
//! Invariant: standard output has nothing but what happened, one line each; what concerns the
//! connection is said on standard error.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, builder::PossibleValuesParser};
use futures::future::select_all;
use tokio::{sync::mpsc, task};

mod events;
mod follow;
mod line;

use super::{reach::Several, terminal};
use crate::{
    clock::{Clock, SystemClock},
    lifecycle,
    live::{Kind, OfOutcome},
    model::{Pattern, SubscriptionId},
};
use follow::{Follower, Told};

/// Happenings that may wait to be shown; beyond that the sidecar tells us how many we missed.
const WAITING: usize = 256;

/// What `sidehook tail` is told.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Show this kind alone; repeat it for more
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = names(&Kind::NAMES))]
    kinds: Vec<String>,

    /// Show what is about events of this type, or of this pattern: people.created, people.*, created
    #[arg(long, value_name = "PATTERN")]
    event_type: Option<Pattern>,

    /// Show what concerns this subscription
    #[arg(long, value_name = "sub_…")]
    subscription: Option<SubscriptionId>,

    /// Show attempts that came to this
    #[arg(long, value_name = "OUTCOME", value_parser = names(&OfOutcome::NAMES))]
    outcome: Option<String>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Several,
}

fn names<T>(names: &[(&'static str, T)]) -> PossibleValuesParser {
    PossibleValuesParser::new(names.iter().map(|(name, _)| *name))
}

/// Shows what happens until a signal asks for the end or nobody reads any more.
pub async fn run(args: TailArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let stop = lifecycle::stop_on_signal().context("listening for signals")?;
    let query = args.query();
    let sidecars = args.reach.each();
    let are_many = sidecars.len() > 1;
    let (told, mut tells) = mpsc::channel(WAITING);
    let following = sidecars.into_iter().map(|reach| {
        let (query, told, clock) = (query.clone(), told.clone(), Arc::clone(&clock));
        task::spawn(Follower { reach, query, told, clock }.run())
    });
    let mut given_up = select_all(following);
    let colours = terminal::has_colours();
    loop {
        let Told { from, what } = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            Some(told) = tells.recv() => told,
            (reason, ..) = &mut given_up => return Err(reason?),
        };
        let from = are_many.then_some(from.as_str());
        let written = match what {
            follow::What::Happened(data) if args.json => {
                out.write_all(line::for_programs(&data, from).as_bytes())
            }
            follow::What::Happened(data) => {
                out.write_all(line::for_people(&data, from, colours).as_bytes())
            }
            // With standard error gone there is nobody left to tell.
            follow::What::Notice(notice) => writeln!(io::stderr(), "sidehook: {notice}").or(Ok(())),
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            written => written?,
        }
    }
}

impl TailArgs {
    /// What the sidecar is asked for.
    fn query(&self) -> Vec<(&'static str, String)> {
        let kinds = (!self.kinds.is_empty()).then(|| self.kinds.join(","));
        let wishes = [
            ("kind", kinds),
            ("event_type", self.event_type.as_ref().map(Pattern::to_string)),
            ("subscription_id", self.subscription.as_ref().map(SubscriptionId::to_string)),
            ("outcome", self.outcome.clone()),
        ];
        wishes.into_iter().filter_map(|(name, wish)| Some((name, wish?))).collect()
    }
}
