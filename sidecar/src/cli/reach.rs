//! The sidecar's API, as the commands that use it are told where it is and what opens it.
//!
//! Invariant: the token is sent, and shown nowhere.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{
    client::{self, beneath, client},
    token::Token,
};

/// How long an answer may take: longer than anything does that the API is asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which sidecar, and what lets us in.
#[derive(Debug, Args)]
pub struct Reach {
    /// The sidecar
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", value_parser = super::server)]
    api: Url,

    /// A token whose scope allows it; without any on loopback none is needed
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true)]
    token: Option<Token>,
}

impl Reach {
    /// Asks, and returns the body of an answer that is a success.
    pub(super) async fn ask(
        &self,
        method: Method,
        segments: &[&str],
        cursor: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        let mut address = beneath(&self.api, segments);
        if let Some(cursor) = cursor {
            address.query_pairs_mut().append_pair("cursor", cursor);
        }
        let shown = format!("{method} {}", address.path());
        let mut request = client()?.request(method, address).timeout(PATIENCE);
        if let Some(token) = self.token.as_ref().and_then(Token::expose) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = || format!("asking the sidecar at {}", self.api);
        let answer =
            request.send().await.map_err(reqwest::Error::without_url).with_context(failed)?;
        let status = answer.status();
        let text = answer.text().await.with_context(failed)?;
        if !status.is_success() {
            bail!("{shown} was answered {}: {}", status.as_u16(), client::reason_in(&text));
        }
        Ok(text)
    }
}
