//! `cargo xtask people`: the sample API by itself, for a container or a machine of its own.
//!
//! Invariant: it is the API that `up` starts, and nothing else.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;

use crate::{people, say, serving::Serving, stop::Stop};

/// What `people` is told.
#[derive(Debug, Args)]
pub struct Sample {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
}

/// Serves people, none at first, until SIGINT or SIGTERM.
pub async fn serve(sample: Sample) -> Result<()> {
    let mut stop = Stop::listen()?;
    let _serving = Serving::start_at(people::api(), sample.listen).await?;
    say::line(format!("people at http://{}/people", sample.listen));
    stop.asked().await;
    Ok(())
}
