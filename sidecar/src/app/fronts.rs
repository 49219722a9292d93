//! Where the process is reached, by whom, and what is served there.
//!
//! Invariant: nothing is served to others than this machine without a token.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;

use crate::{
    access::{Access, Configured, Exposure},
    api::{
        self, Gate,
        server::{Certificates, Listener},
    },
    config::{Config, Listen, Role},
    model::Face,
    store::Store,
};

/// A place to listen, and what is served there.
pub(super) type Front = (Listener, Router);

/// Who may do what, and that nothing is served to others without a token.
pub(super) async fn access(config: &Config, store: &dyn Store) -> anyhow::Result<Arc<Access>> {
    let configured =
        Configured { api: config.api_token.clone(), ingest: config.ingest_token.clone() };
    let api = Listen::Tcp(config.listen);
    let ingest = config.ingest_listen.clone().unwrap_or_else(|| api.clone());
    let ingest = config.roles.include(Role::Ingest).then_some(ingest);
    let access = Access::new(&configured, Exposure { api, ingest });
    access.reload(store).await.context("reading the access tokens")?;
    access.check_exposure()?;
    for (face, name) in [(Face::Api, "the API"), (Face::Ingest, "/ingest")] {
        if access.is_open(face) {
            tracing::info!("{name} asks for no token, for only this machine can reach it");
        }
    }
    Ok(Arc::new(access))
}

/// The certificates with which gateways are met over TLS, if they are.
pub(super) fn certificates(config: &Config) -> anyhow::Result<Option<Arc<Certificates>>> {
    let files = config.ingest_tls.clone().filter(|_| config.roles.include(Role::Ingest));
    let certificates = files.map(Certificates::open).transpose()?;
    Ok(certificates.map(Arc::new))
}

/// Listens where the configuration says. `ingest` is what is served to gateways, if anything is.
pub(super) async fn open(
    config: &Config,
    api: Router,
    ingest: Option<Router>,
    certificates: Option<Arc<Certificates>>,
    gate: &Gate,
) -> anyhow::Result<Vec<Front>> {
    let mut fronts = Vec::new();
    let api_listen = Listen::Tcp(config.listen);
    let places = match (&config.ingest_listen, ingest) {
        (_, None) => vec![(&api_listen, api, Face::Api)],
        (None, Some(ingest)) => vec![(&api_listen, api.merge(ingest), Face::Api)],
        (Some(listen), Some(ingest)) => {
            vec![(&api_listen, api, Face::Api), (listen, ingest, Face::Ingest)]
        }
    };
    for (listen, router, face) in places {
        let mut listener = Listener::bind(listen).await?;
        let tls = certificates.clone().filter(|_| face == Face::Ingest);
        tracing::info!(listen = %listener.place()?, ?face, tls = tls.is_some(), "serving");
        if let Some(certificates) = tls {
            listener = listener.with_tls(certificates);
        }
        fronts.push((listener, api::nothing_else(router, gate, face)));
    }
    Ok(fronts)
}
