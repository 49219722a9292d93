//! `/subscriptions`: who wants which events.
//!
//! Invariant: a change that has begun is carried through to the routing table even if its client
//! has gone; it never ends between the two.

mod headers;
mod operations;
mod patch;
mod request;
mod reschedule;
mod retry;
mod rotate;
mod shape;
mod tls;
mod trial;

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header::LOCATION};
use serde_json::json;
use tracing::Instrument as _;

pub(super) use self::operations::{case, routes};
use self::{
    patch::patched,
    request::Requested,
    rotate::{OVERLAP, Rotation},
    shape::{Shown, ShownSecret},
};
use super::{
    Context, Defaults, Flaws, Problem,
    body::{JsonBody, MaybeJsonBody},
    form::Form,
    listing::{listing, page},
    path::{Keys, id},
};
use crate::{
    clock::{Clock, mint},
    deliver::egress::Denied,
    model::{Pattern, Scheme, Secret, Signing, Subscription, SubscriptionId, Target},
    store::{UpdateError, Upserted, patience::until_stored},
};

pub(super) const MISSING: &str = "there is no such subscription";

/// `POST /subscriptions`: makes one, or replaces the one with the same `event_type` and `url`.
async fn upsert(
    State(context): State<Arc<Context>>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let requested = Requested::try_from(body)?;
    context.check_egress(&requested.url).await?;
    context.check_script(requested.script.as_ref()).await?;
    let mut has_new_secret = requested.secret.is_some();
    let names_scheme_alone = requested.scheme.is_some() && !has_new_secret;
    let mut subscription = requested.into_subscription(
        mint(&*context.clock),
        |scheme| context.fresh_secret(scheme),
        &context.defaults,
        context.clock.now(),
    );
    if names_scheme_alone && let Some(exchanged) = context.exchanged(&subscription).await? {
        subscription.signing = exchanged;
        has_new_secret = true;
    }
    let upserted = through_to_the_end(async move {
        let upserted = context.store.upsert_subscription(subscription, has_new_secret).await?;
        let (Upserted::Created(later) | Upserted::Updated(later)) = &upserted;
        let earlier = context.routes.subscription(later.id);
        context.reroute(later.id).await;
        if let Some(earlier) = earlier {
            context.reschedule(&earlier, later).await?;
            context.redrive_scripted(&earlier, later).await?;
        }
        Ok(upserted)
    });
    Ok(match upserted.await? {
        Upserted::Created(subscription) => {
            let location = [(LOCATION, format!("/subscriptions/{}", subscription.id))];
            let shown = Json(Shown::with_secret(&subscription));
            (StatusCode::CREATED, location, shown).into_response()
        }
        Upserted::Updated(subscription) => answer(&subscription, has_new_secret),
    })
}

/// One that there is none of, with all defaults: a stand-in where only what is sent matters.
pub(super) fn imagined(
    pattern: &Pattern,
    defaults: &Defaults,
    clock: &dyn Clock,
) -> Result<Subscription, Flaws> {
    let asked = json!({"url": "http://localhost/", "event_type": pattern.to_string()});
    let secret = |scheme| Secret::generate(scheme, || clock.dice());
    Ok(Requested::try_from(asked)?.into_subscription(mint(clock), secret, defaults, clock.now()))
}

/// `GET /subscriptions`.
async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = Form::whole_query(query.as_deref(), |form| Some(page(form)))?;
    let subscriptions = context.store.subscriptions(page).await?;
    Ok(listing(&subscriptions, Shown::of).into_response())
}

/// `GET /subscriptions/{id}`.
async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Response, Problem> {
    Ok(answer(&context.subscription(&key).await?, false))
}

/// `PATCH /subscriptions/{id}`.
async fn change(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
    JsonBody(patch): JsonBody,
) -> Result<Response, Problem> {
    let earlier = context.subscription(&key).await?;
    let now = context.clock.now();
    let fresh = |scheme| context.fresh_secret(scheme);
    let later = patched(&earlier, patch, fresh, &context.defaults, now)?;
    if later.url != earlier.url {
        context.check_egress(&later.url).await?;
    }
    if later.script != earlier.script {
        context.check_script(later.script.as_ref()).await?;
    }
    let later = context.replace(&earlier, later).await?;
    Ok(answer(&later, later.signing != earlier.signing))
}

/// `DELETE /subscriptions/{id}`.
async fn remove(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<StatusCode, Problem> {
    let id = id(&key, MISSING)?;
    through_to_the_end(async move {
        if !context.store.delete_subscription(id, context.clock.now()).await? {
            return Err(Problem::NotFound(MISSING));
        }
        context.reroute(id).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// `DELETE /subscriptions/{url}/{event_type}`, with `~` for each `/` of the URL.
async fn delete_by_target(
    state: State<Arc<Context>>,
    Keys((url, event_type)): Keys<(String, String)>,
) -> Result<StatusCode, Problem> {
    let url = Target::parse(&url.replace('~', "/")).ok();
    let pattern = event_type.parse::<Pattern>().ok();
    let (Some(url), Some(pattern)) = (url, pattern) else {
        return Err(Problem::NotFound(MISSING));
    };
    let found = state.store.subscription_by_target(&pattern, &url).await?;
    let found = found.ok_or(Problem::NotFound(MISSING))?;
    remove(state, Keys(found.id.to_string())).await
}

/// `GET /subscriptions/{id}/secret`.
async fn secret(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Json<ShownSecret>, Problem> {
    let subscription = context.subscription(&key).await?;
    Ok(Json(ShownSecret::of(&subscription.signing, context.clock.now())))
}

/// `POST /subscriptions/{id}/rotate-secret`.
async fn rotate_secret(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
    MaybeJsonBody(body): MaybeJsonBody,
) -> Result<Response, Problem> {
    let earlier = context.subscription(&key).await?;
    let fresh = |scheme| context.fresh_secret(scheme);
    let change = Rotation::try_from(body)?.of(&earlier, fresh, context.clock.now());
    Ok(answer(&context.replace(&earlier, change).await?, true))
}

/// `POST /subscriptions/{id}/test`.
async fn test(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
    MaybeJsonBody(body): MaybeJsonBody,
) -> Result<Json<trial::Shown>, Problem> {
    let subscription = context.subscription(&key).await?;
    trial::of(&context, &subscription, body).await
}

/// `POST /subscriptions/{id}/enable`.
async fn enable(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Response, Problem> {
    let earlier = context.subscription(&key).await?;
    let updated_at = context.clock.now();
    let change =
        Subscription { enabled: true, disabled_reason: None, updated_at, ..earlier.clone() };
    Ok(answer(&context.replace(&earlier, change).await?, false))
}

/// `POST /subscriptions/{id}/disable`.
async fn disable(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Response, Problem> {
    let earlier = context.subscription(&key).await?;
    let change =
        Subscription { enabled: false, updated_at: context.clock.now(), ..earlier.clone() };
    Ok(answer(&context.replace(&earlier, change).await?, false))
}

impl Context {
    /// Stores and routes a subscription that was changed, and what waits for it.
    async fn replace(
        self: &Arc<Self>,
        earlier: &Subscription,
        later: Subscription,
    ) -> Result<Subscription, Problem> {
        let (context, earlier) = (Arc::clone(self), earlier.clone());
        through_to_the_end(async move {
            if !context.store.update_subscription(&later).await.map_err(taken_or_failed)? {
                return Err(Problem::NotFound(MISSING));
            }
            context.reroute(later.id).await;
            context.reschedule(&earlier, &later).await?;
            context.redrive_scripted(&earlier, &later).await?;
            Ok(later)
        })
        .await
    }

    async fn subscription(&self, key: &str) -> Result<Subscription, Problem> {
        let id: SubscriptionId = id(key, MISSING)?;
        let found = self.store.subscription(id).await?;
        found.ok_or(Problem::NotFound(MISSING))
    }

    /// The secrets after this subscription replaced the one with its target, if that signs in
    /// another way: as after a rotation.
    async fn exchanged(&self, later: &Subscription) -> Result<Option<Signing>, Problem> {
        let found = self.store.subscription_by_target(&later.pattern, &later.url).await?;
        let Some(earlier) = found else { return Ok(None) };
        let (old, fresh, now) = (earlier.signing, &later.signing.current, later.updated_at);
        let is_other = old.current.scheme() != fresh.scheme();
        Ok(is_other.then(|| old.rotated(fresh.clone(), now, now.after(OVERLAP))))
    }

    /// Refuses an address that is known to be denied. A name that cannot be resolved may be
    /// resolvable when something is delivered; each attempt checks again.
    async fn check_egress(&self, url: &Target) -> Result<(), Flaws> {
        match self.client.rule().check(url).await {
            Ok(()) | Err(Denied::Unresolved { .. }) => Ok(()),
            Err(denied @ (Denied::Address { .. } | Denied::Clear)) => Err(Flaws::at("url", denied)),
        }
    }

    /// Lets the routing table read a subscription that changed. The change is stored, so this
    /// goes on until it is done, however long the store is away.
    async fn reroute(&self, id: SubscriptionId) {
        let reload = || self.routes.reload(&*self.store, id);
        until_stored(&*self.clock, "read a subscription that changed", reload).await;
    }

    /// The subscription that the `subscription_id` of a body names.
    pub(super) async fn named(&self, id: SubscriptionId) -> Result<Subscription, Problem> {
        let found = self.store.subscription(id).await?;
        Ok(found.ok_or_else(|| Flaws::at("subscription_id", "is that of no subscription"))?)
    }

    fn fresh_secret(&self, scheme: Scheme) -> Secret {
        Secret::generate(scheme, || self.clock.dice())
    }
}

fn answer(subscription: &Subscription, with_secret: bool) -> Response {
    let shown = if with_secret { Shown::with_secret } else { Shown::of };
    Json(shown(subscription)).into_response()
}

fn taken_or_failed(error: UpdateError) -> Problem {
    match error {
        UpdateError::Taken => Problem::Conflict(error.to_string()),
        UpdateError::Store(error) => error.into(),
    }
}

/// Runs a change in a task of its own: when the client goes away the handler is dropped, and a
/// change that is stored but not routed would stay so.
async fn through_to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(result) => result,
        Err(broken) => Err(Problem::Internal(broken.into())),
    }
}
