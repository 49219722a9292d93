//! Where the process is reached, by whom, and what is served there.
//!
//! Invariant: nothing is served to others than this machine without a token.

use std::{iter, sync::Arc};

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
    let api = [Some(api), config.metrics_listen.clone()].into_iter().flatten().collect();
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

/// What is served.
pub(super) struct Served {
    pub(super) api: Router,
    pub(super) metrics: Router,
    /// To gateways, if anything is.
    pub(super) ingest: Option<Router>,
}

/// Listens where the configuration says.
pub(super) async fn open(
    config: &Config,
    served: Served,
    certificates: Option<Arc<Certificates>>,
    gate: &Gate,
) -> anyhow::Result<Vec<Front>> {
    let Served { mut api, metrics, ingest } = served;
    let mut places = Vec::new();
    for (own, router, face) in [
        (&config.metrics_listen, Some(metrics), Face::Api),
        (&config.ingest_listen, ingest, Face::Ingest),
    ] {
        match (own, router) {
            (Some(own), Some(router)) => places.push((own, router, face)),
            (None, Some(router)) => api = api.merge(router),
            (_, None) => {}
        }
    }
    let listen = Listen::Tcp(config.listen);
    let mut fronts = Vec::new();
    for (listen, router, face) in iter::once((&listen, api, Face::Api)).chain(places) {
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
