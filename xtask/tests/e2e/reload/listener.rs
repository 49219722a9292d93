//! A gateway whose listener is in a file of its own (LDS), and so can change while it works.
//!
//! Invariant: the bootstrap and the listener are both cut from what `sidehook gateway` writes; a
//! reload is a rename, the one change of a file that Envoy notices.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use axum::Router;
use xtask::{change::Change, people, ports, serving::Serving, stack::Plan};

use crate::support::{Sidehook, plan};

/// How long connections of the old listener may go on, in seconds.
pub(super) const DRAIN: &str = "2";

/// What stands in the template for the code that is run.
const VM: &str = "vm_id: sidehook\n";

/// A stack before an API of people, with others under `/guests`.
pub(super) struct Reloadable {
    pub(super) sidehook: Sidehook,
    listener: PathBuf,
    /// It goes when the test does.
    _api: Serving,
}

/// What `sidehook gateway` writes, in two files.
struct Cut {
    bootstrap: String,
    listener: String,
}

impl Reloadable {
    /// Starts it as `change` has it.
    pub(super) async fn start(change: impl FnOnce(&mut Plan)) -> Result<Self> {
        let apis = Router::new().merge(people::api()).nest("/guests", people::api());
        let api = Serving::start(apis, ports::free()?).await?;
        let mut plan = plan(&api.url()).await?;
        plan.envoy_arguments.extend(["--drain-time-s", DRAIN].map(str::to_owned));
        change(&mut plan);
        let listener = plan.folder.join("listener.yaml");
        let cut = Cut::of(&plan, &listener.to_string_lossy()).await?;
        fs::write(&listener, cut.listener)?;
        plan.gateway_configuration = Some(cut.bootstrap);
        Ok(Self { sidehook: Sidehook::reopen(plan).await?, listener, _api: api })
    }

    /// Has the gateway take over what `sidehook gateway` writes for the plan as `change` has it.
    pub(super) async fn reload(&self, change: impl FnOnce(&mut Plan)) -> Result<()> {
        self.hand_over(change, "success").await
    }

    /// Has the gateway refuse it.
    pub(super) async fn reload_in_vain(&self, change: impl FnOnce(&mut Plan)) -> Result<()> {
        self.hand_over(change, "rejected").await
    }

    /// The same with other code, as far as Envoy can tell.
    pub(super) async fn reload_code(&self) -> Result<()> {
        self.reload(|plan| {
            let by = VM.replace("sidehook", "successor");
            plan.gateway_changes.push(Change::Part { of: VM.to_owned(), by });
        })
        .await
    }

    /// Waits until the old listener is gone, with its connections.
    pub(super) async fn drained(&self) -> Result<()> {
        self.sidehook
            .until("the old listener", async || {
                let left = self.draining().await?;
                Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are draining")) })
            })
            .await
    }

    /// How many filter chains or listeners are draining.
    pub(super) async fn draining(&self) -> Result<u64> {
        let gauge = |name| format!("listener_manager.total_{name}_draining");
        let chains = self.sidehook.stack.stat(&gauge("filter_chains")).await?;
        Ok(chains + self.sidehook.stack.stat(&gauge("listeners")).await?)
    }

    async fn hand_over(&self, change: impl FnOnce(&mut Plan), result: &str) -> Result<()> {
        let mut next = self.sidehook.plan.clone();
        next.gateway_configuration = None;
        next.folder = next.folder.join("next");
        change(&mut next);
        let cut = Cut::of(&next, &self.listener.to_string_lossy()).await?;

        let counter = format!("listener_manager.lds.update_{result}");
        let before = self.sidehook.stack.stat(&counter).await?;
        let draft = self.listener.with_extension("draft");
        fs::write(&draft, cut.listener)?;
        fs::rename(draft, &self.listener)?;
        self.sidehook
            .until(&counter, async || {
                let warming = "listener_manager.total_listeners_warming";
                let warming = self.sidehook.stack.stat(warming).await?;
                let now = self.sidehook.stack.stat(&counter).await?;
                let seen = format!("{before}, then {now}; {warming} warming");
                Ok(if now > before && warming == 0 { Ok(()) } else { Err(seen) })
            })
            .await
    }
}

impl Cut {
    /// Has the configuration of `plan` written and cut; the bootstrap names `listener`.
    async fn of(plan: &Plan, listener: &str) -> Result<Self> {
        let text = fs::read_to_string(plan.write_gateway_configuration().await?)?;
        let (before, rest) = text.split_once("static_resources:\n  listeners:\n").context(LOST)?;
        let (listeners, clusters) = rest.split_once("\n  clusters:\n").context(LOST)?;
        let (name, rest) = listeners.split_once('\n').context(LOST)?;
        let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
        Ok(Self {
            bootstrap: format!(
                "{before}node: {{ id: edge, cluster: edge }}\n\
                 dynamic_resources:\n  lds_config: {{ path_config_source: {{ path: \"{listener}\" }} }}\n\
                 static_resources:\n  clusters:\n{clusters}"
            ),
            listener: format!("resources:\n{name}\n      \"@type\": {kind}\n{rest}\n"),
        })
    }
}

const LOST: &str = "this is not what `sidehook gateway` used to write";
