//! The sidecar's API, as the commands that use it are told where it is and what opens it.
//!
//! Invariant: the token is sent, and shown nowhere.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use url::{Position, Url};

use super::{reason::reason_in, token::Token};
use crate::neighbours::{beneath, client, listening_client};

/// How long an answer may take: longer than anything does that the API is asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which sidecar, and what lets us in.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// The sidecar
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", value_parser = super::server)]
    api: Url,

    /// A token whose scope allows it; without any on loopback none is needed
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true)]
    token: Option<Token>,
}

/// Which sidecars, and what lets us in.
#[derive(Debug, Args)]
pub struct Several {
    /// The sidecar; repeat it for more on the same store
    #[arg(long = "api", value_name = "URL", default_value = "http://127.0.0.1:5000", value_parser = super::server)]
    apis: Vec<Url>,

    /// A token whose scope allows it; without any on loopback none is needed
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true)]
    token: Option<Token>,
}

/// Why a sidecar does not give what it is asked for.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It does not want to: asking again is of no use.
    Refused(anyhow::Error),
    /// It cannot be reached, or cannot do it at the moment.
    Away(anyhow::Error),
}

impl Reach {
    /// Asks, and returns the body of an answer that is a success.
    pub(super) async fn ask(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        self.ask_by(&client()?, method, segments, query, body).await
    }

    /// The same, by a client that is asked more than once.
    pub(super) async fn ask_by(
        &self,
        client: &Client,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        let address = self.address(segments, query);
        let shown = format!("{method} {}", address.path());
        let mut request = self.shows_token(client.request(method, address)).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = || format!("asking the sidecar at {}", self.api);
        let answer =
            request.send().await.map_err(reqwest::Error::without_url).with_context(failed)?;
        let status = answer.status();
        let text = answer.text().await.with_context(failed)?;
        if !status.is_success() {
            bail!("{shown} was answered {}: {}", status.as_u16(), reason_in(&text));
        }
        Ok(text)
    }

    /// Asks for what has no end.
    pub(super) async fn listen(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Response, Unanswered> {
        let address = self.address(segments, query);
        let shown = format!("GET {}", address.path());
        let client = listening_client().map_err(|error| Unanswered::Refused(error.into()))?;
        let answer = self.shows_token(client.get(address)).send().await;
        let answer = answer.map_err(|error| {
            let error = anyhow::Error::from(error.without_url());
            Unanswered::Away(error.context(format!("asking the sidecar at {}", self.api)))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        // Without a reason the status tells enough.
        let text = answer.text().await.unwrap_or_default();
        let (status, reason) = (status.as_u16(), reason_in(&text));
        let reason = anyhow!("{shown} of {} was answered {status}: {reason}", self.api);
        Err(if status < 500 { Unanswered::Refused(reason) } else { Unanswered::Away(reason) })
    }

    /// Which sidecar, in short.
    pub(super) fn place(&self) -> String {
        self.api[Position::BeforeHost..Position::AfterPort].to_owned()
    }

    fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut address = beneath(&self.api, segments);
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        address
    }

    fn shows_token(&self, request: RequestBuilder) -> RequestBuilder {
        match self.token.as_ref().and_then(Token::expose) {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Several {
    /// Each by itself.
    pub(super) fn each(self) -> Vec<Reach> {
        let Self { apis, token } = self;
        apis.into_iter().map(|api| Reach { api, token: token.clone() }).collect()
    }
}
