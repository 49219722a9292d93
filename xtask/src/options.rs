//! The options that `up` and `demo` share, and the stack that everything else starts from.
//!
//! Invariant: what cannot be done is refused here, before anything is built or started.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    backend::Backend,
    ports,
    stack::{Plan, Programs, Sidecar},
    tools::cargo::Build,
    workspace,
};

/// What `up` and `demo` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What everything is kept in and spread through: one SQLite file and a queue inside the
    /// sidecar (`embedded`), or servers started for it (`postgres,rabbitmq`, or one of them)
    #[arg(long, default_value = "embedded", value_name = "NAMES")]
    backend: Backend,

    /// The port at which the API is reached through the gateway
    #[arg(long, default_value_t = 8000, value_name = "PORT")]
    pub gateway: u16,

    /// The port of Sidehook's own API
    #[arg(long, default_value_t = 5000, value_name = "PORT")]
    pub api: u16,

    /// The port of Envoy's admin interface
    #[arg(long, default_value_t = 9901, value_name = "PORT")]
    pub admin: u16,

    /// The port of the receiver that shows what is delivered
    #[arg(long, default_value_t = 5001, value_name = "PORT")]
    pub receiver: u16,

    /// How far an event is worth the client's time
    #[arg(long, value_enum, default_value_t = Capture::Durable)]
    pub capture: Capture,

    /// Build the sidecar with optimisations
    #[arg(long)]
    release: bool,
}

/// What the gateway does to have an event stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Capture {
    /// Send nothing: count what would be captured
    Observe,
    /// Never hold an answer
    BestEffort,
    /// Hold the answer until the event is stored, but not for ever
    Durable,
    /// As durable, and refuse writes whose event cannot be stored
    Strict,
}

impl Options {
    /// Refuses ports that are in use.
    pub fn check(&self) -> Result<()> {
        ports::require_free(self.gateway, "--gateway")?;
        ports::require_free(self.api, "--api")?;
        ports::require_free(self.admin, "--admin")?;
        ports::require_free(self.receiver, "--receiver")
    }

    /// How the sidecar is built.
    pub fn build(&self) -> Build {
        if self.release { Build::Release } else { Build::Debug }
    }

    /// The stack of these options before `upstream`, with its folder emptied.
    pub fn plan(
        &self,
        name: &str,
        programs: Programs,
        upstream: String,
        resources: Vec<String>,
    ) -> Result<Plan> {
        // Two runs can be told apart by their ports, and so can their folders.
        let folder = workspace::run_folder(&format!("{name}-{}", self.gateway));
        Ok(Plan {
            gateway: self.gateway,
            admin: self.admin,
            sidecars: vec![Sidecar::all(self.api)],
            backend: self.backend,
            resources,
            capture: self.capture.name().to_owned(),
            ..beside_others(programs, folder, upstream)?
        })
    }
}

/// A stack before `upstream` that is in nobody's way: on free ports, with an emptied folder.
pub fn beside_others(programs: Programs, folder: PathBuf, upstream: String) -> Result<Plan> {
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(Plan {
        programs,
        gateway: ports::free()?,
        admin: ports::free()?,
        sidecars: vec![Sidecar::all(ports::free()?)],
        backend: Backend::default(),
        upstream,
        resources: vec!["people=/people".to_owned()],
        capture: Capture::Durable.name().to_owned(),
        data: folder.join("data"),
        folder,
        gateway_configuration: None,
        gateway_arguments: Vec::new(),
        gateway_changes: Vec::new(),
        gateway_workers: 2,
        envoy_arguments: Vec::new(),
        // Receivers are on this machine, where webhooks may not go unless they are allowed to.
        sidecar_arguments: vec!["--egress-allow=127.0.0.0/8".to_owned()],
    })
}

impl Capture {
    fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::BestEffort => "best_effort",
            Self::Durable => "durable",
            Self::Strict => "strict",
        }
    }
}
