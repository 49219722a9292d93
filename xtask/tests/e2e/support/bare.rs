//! The same gateway with the filter taken out.
//!
//! Invariant: nothing but the filter, what enables it, and the ports differs.

use anyhow::Result;
use xtask::{
    change::Change,
    child::{Child, Output},
    http::Http,
    ports,
    stack::{Plan, answers},
};

/// An Envoy without the filter.
pub(crate) struct BareGateway {
    port: u16,
    /// Ends with the test.
    _envoy: Child,
}

impl BareGateway {
    /// Starts it before the API of `like`.
    pub(crate) async fn start(like: &Plan) -> Result<Self> {
        let mut plan = like.clone();
        plan.folder = like.folder.join("bare");
        (plan.gateway, plan.admin) = (ports::free()?, ports::free()?);
        plan.gateway_changes = vec![Change::WithoutFilter];
        let file = plan.write_gateway_configuration().await?;
        let file = file.to_string_lossy().into_owned();
        let arguments = ["-c", &file, "--disable-hot-restart", "--concurrency", "1"];
        let program = &plan.programs.envoy;
        let mut envoy = Child::start("envoy", program, arguments, &plan.folder, Output::Log)?;
        let url = plan.admin_url("/ready");
        answers(&mut envoy, &Http::new(), &url, |answer| answer.status == 200).await?;
        Ok(Self { port: plan.gateway, _envoy: envoy })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
