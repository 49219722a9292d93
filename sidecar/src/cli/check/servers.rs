//! Asks the servers that should be there: the sidecar, the gateway, Envoy's admin interface.
//!
//! Invariant: a server that does not answer is a finding, never a failure of the check; what a
//! server says is shown with its control characters escaped.

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{finding::Finding, stats};
use crate::{
    cli::{reason::reason_in, token::Token},
    neighbours::beneath,
};

/// The longest answer that is read, in bytes: Envoy's whole statistics fit in.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Whether the sidecar runs and is ready to take events.
pub(super) async fn sidecar(client: &Client, api: &Url, token: Option<&Token>) -> Vec<Finding> {
    let token = token.and_then(Token::expose);
    match ask(client, beneath(api, &["healthz"]), token).await {
        Err(reason) => vec![Finding::problem(
            format!("the sidecar at {api} does not answer: {reason}"),
            "start it with `sidehook serve`, or name its address with --api",
        )],
        Ok((status, _)) if !status.is_success() => vec![Finding::problem(
            format!("{api} answers {status} at /healthz"),
            "see whether it is the sidecar that listens there, and name its address with --api",
        )],
        Ok(_) => {
            let runs = Finding::fine(format!("the sidecar at {api} runs"));
            vec![runs, readiness(ask(client, beneath(api, &["readyz"]), token).await)]
        }
    }
}

fn readiness(answer: Result<(StatusCode, String), String>) -> Finding {
    let reason = match answer {
        Ok((status, _)) if status.is_success() => return Finding::fine("the sidecar is ready"),
        Ok((status, body)) => format!("{}: {}", status.as_u16(), reason_in(&body)),
        Err(reason) => reason,
    };
    Finding::problem(
        format!("the sidecar is not ready: {reason}"),
        "see its log; until then no event is stored",
    )
}

/// Whether something answers where clients come in.
pub(super) async fn gateway(client: &Client, gateway: &Url) -> Finding {
    match ask(client, gateway.clone(), None).await {
        Err(reason) => Finding::problem(
            format!("the gateway at {gateway} does not answer: {reason}"),
            "start Envoy, or correct --gateway",
        ),
        Ok((StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE, body)) => Finding::problem(
            format!("the gateway at {gateway} does not reach the API: {}", reason_in(&body)),
            "start the API, or correct the address in the cluster api",
        ),
        Ok((status, _)) => {
            Finding::fine(format!("the gateway at {gateway} answers {}", status.as_u16()))
        }
    }
}

/// Whether Envoy is up and new enough, has the filter, and reaches the sidecar.
pub(super) async fn envoy(client: &Client, admin: &Url, cluster: &str) -> Vec<Finding> {
    #[derive(Deserialize)]
    struct Server {
        version: String,
    }

    let mut findings = Vec::new();
    match ask(client, beneath(admin, &["ready"]), None).await {
        Err(reason) => {
            return vec![Finding::problem(
                format!("Envoy's admin interface at {admin} does not answer: {reason}"),
                "start Envoy, or name the address with --admin",
            )];
        }
        Ok((StatusCode::OK, _)) => findings.push(Finding::fine("Envoy is live")),
        Ok((_, body)) => findings.push(Finding::problem(
            format!("Envoy is not live: {}", reason_in(&body)),
            "see Envoy's log",
        )),
    }
    let server = ask(client, beneath(admin, &["server_info"]), None).await;
    let server = server.ok().and_then(|(_, body)| serde_json::from_str::<Server>(&body).ok());
    findings.push(stats::version(&server.map(|server| server.version).unwrap_or_default()));

    match ask(client, beneath(admin, &["stats"]), None).await {
        Ok((StatusCode::OK, text)) => {
            let stats = stats::Stats::parse(&text);
            findings.extend(stats::filter(&stats));
            findings.push(stats::cluster(cluster, &stats));
        }
        Ok((status, _)) => findings.push(unread(&status.to_string())),
        Err(reason) => findings.push(unread(&reason)),
    }
    findings
}

fn unread(reason: &str) -> Finding {
    Finding::warning(
        format!("Envoy's statistics cannot be read: {reason}"),
        "see whether --admin names Envoy's admin interface",
    )
}

/// The status and the body of the answer, else why there is none.
async fn ask(
    client: &Client,
    address: Url,
    token: Option<&str>,
) -> Result<(StatusCode, String), String> {
    let mut request = client.get(address);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let read = async {
        let mut answer = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len().saturating_add(chunk.len()) > LONGEST_ANSWER {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok::<_, reqwest::Error>((answer.status(), String::from_utf8_lossy(&body).into_owned()))
    };
    // The address is in the finding already.
    read.await.map_err(|error| format!("{:#}", anyhow::Error::from(error.without_url())))
}
