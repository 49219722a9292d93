//! The same gateway with the filter taken out.
//!
//! Invariant: nothing but the filter, what enables it, and the ports differs.

use anyhow::{Context, Result, ensure};
use xtask::{
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
        let file = plan.write_gateway_configuration().await?;
        let configuration = without_filter(&std::fs::read_to_string(&file)?)?;
        std::fs::write(&file, configuration)?;
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

fn without_filter(configuration: &str) -> Result<String> {
    let filter = "                  - name: sidehook\n";
    let (before, rest) = configuration.split_once(filter).context("no filter to take out")?;
    let router = "                  - name: envoy.filters.http.router\n";
    let (_, after) = rest.split_once(router).context("no router after the filter")?;
    let mut lines = Vec::new();
    let mut enabling = false;
    for line in before.lines() {
        let starts = line.contains("typed_per_filter_config:");
        if !starts && !enabling {
            lines.push(line);
        }
        enabling = starts;
    }
    let bare = format!("{}\n{router}{after}", lines.join("\n"));
    ensure!(!bare.contains(".wasm"), "the filter is still there: {bare}");
    Ok(bare)
}
