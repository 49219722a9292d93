//! `/tokens`: who else may do what.
//!
//! Invariant: a token is shown in the one answer that made it, and is in no log; a token that was
//! revoked by an answer of ours lets nobody in from then on.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use sidehook_event::UnixMicros;

use super::{
    Context, Flaws, Problem,
    body::JsonBody,
    flaw::all,
    form::Form,
    listing::{Listing, listing, page},
    path::{Keys, id},
    read::{duration, parsed, text},
    routes::{Routes, delete, get, post},
    shape,
};
use crate::{
    clock::mint,
    model::{AccessToken, Face, Scope, Scopes, TokenDigest, TokenId, make_token},
    store::patience::until_stored,
};

const MISSING: &str = "there is no such token";

/// A token for less is of no use, and one for more is meant to have no end.
const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

pub(super) fn routes() -> Routes<Arc<Context>> {
    Routes::new()
        .at("/tokens", [post(Scope::Admin, create), get(Scope::Admin, list)])
        .at("/tokens/{id}", [delete(Scope::Admin, revoke)])
}

/// `POST /tokens`.
async fn create(
    State(context): State<Arc<Context>>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let Requested { name, scopes, expires_in } = Requested::try_from(body)?;
    context.check_first(&scopes)?;
    let clock = &*context.clock;
    let id = mint::<TokenId>(clock);
    let token = make_token(id, || clock.dice());
    let created_at = clock.now();
    let made = AccessToken {
        id,
        name,
        scopes,
        digest: TokenDigest::of(token.expose_secret()),
        created_at,
        expires_at: expires_in.map(|end| created_at.after(end)),
        revoked_at: None,
    };
    context.store.add_token(&made).await?;
    tracing::info!(%id, scopes = %made.scopes, "made a token");
    context.read_tokens().await;
    let answer = (StatusCode::CREATED, Json(Shown::with(&made, &token))).into_response();
    Ok(unstored(answer))
}

/// `GET /tokens`.
async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Shown>>, Problem> {
    let mut form = Form::of_query(query.as_deref());
    let page = page(&mut form);
    form.finish()?;
    let tokens = context.store.tokens(page).await?;
    Ok(listing(&tokens, Shown::of))
}

/// `DELETE /tokens/{id}`.
async fn revoke(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<StatusCode, Problem> {
    let id: TokenId = id(&key, MISSING)?;
    if !context.store.revoke_token(id, context.clock.now()).await? {
        return Err(Problem::NotFound(MISSING));
    }
    tracing::info!(%id, "revoked a token");
    context.read_tokens().await;
    Ok(StatusCode::NO_CONTENT)
}

impl Context {
    /// With the first token the API begins to ask for one. If nobody were then allowed to make
    /// another, it would be shut for good.
    fn check_first(&self, scopes: &Scopes) -> Result<(), Flaws> {
        let shuts = self.gate.access().is_open(Face::Api) && scopes.concern(Face::Api);
        if shuts && !scopes.allow(Scope::Admin) {
            return Err(Flaws::at(
                "scopes",
                "must hold admin, for it is the first token: from now on the API asks for one, \
                 and without an admin nobody could make another",
            ));
        }
        Ok(())
    }

    /// Lets the gate know what has changed. That is stored, so this goes on until it is done,
    /// however long the store is away. If the client goes away before, the change is noticed as
    /// one of another process would be.
    async fn read_tokens(&self) {
        let reload = || self.gate.access().reload(&*self.store);
        until_stored(&*self.clock, "read a token that changed", reload).await;
    }
}

/// What a request says a token shall be.
#[derive(Debug)]
struct Requested {
    name: String,
    scopes: Scopes,
    expires_in: Option<Duration>,
}

impl TryFrom<Value> for Requested {
    type Error = Flaws;

    fn try_from(body: Value) -> Result<Self, Flaws> {
        let mut form = Form::of(body)?;
        let name = form.require("name", name);
        let scopes = form.require("scopes", scopes);
        let expires_in = form.read("expires_in", duration(SHORTEST, LONGEST));
        form.finish()?;
        match (name, scopes) {
            (Some(name), Some(scopes)) => Ok(Self { name, scopes, expires_in }),
            // Then `finish` has said so.
            _ => Err(Flaws::here("must have a name and scopes")),
        }
    }
}

fn name(value: Value) -> Result<String, Flaws> {
    let name = text(value)?;
    let longest = AccessToken::LONGEST_NAME;
    if !(1..=longest).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let rule = format!("must have 1 to {longest} characters, and no control characters");
        return Err(Flaws::here(rule));
    }
    Ok(name)
}

fn scopes(value: Value) -> Result<Scopes, Flaws> {
    let Value::Array(values) = value else {
        return Err(Flaws::here("must be an array of scopes"));
    };
    let each = values.into_iter().enumerate().map(|(place, value)| {
        parsed::<Scope>(value).map_err(|flaws| flaws.within(&format!("[{place}]")))
    });
    let scopes: Vec<_> = all(each)?;
    Scopes::new(scopes).ok_or_else(|| Flaws::here("must name at least one scope"))
}

/// A token, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(serialize_with = "shape::text")]
    id: TokenId,
    name: String,
    scopes: Vec<&'static str>,
    #[serde(serialize_with = "shape::text")]
    created_at: UnixMicros,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// A token that was just made.
#[derive(Serialize)]
struct ShownOnce<'a> {
    #[serde(flatten)]
    shown: Shown,
    token: &'a str,
}

impl Shown {
    fn of(token: &AccessToken) -> Self {
        let instant = |instant: Option<UnixMicros>| instant.map(|instant| instant.to_string());
        Self {
            id: token.id,
            name: token.name.clone(),
            scopes: token.scopes.iter().map(Scope::name).collect(),
            created_at: token.created_at,
            expires_at: instant(token.expires_at),
            revoked_at: instant(token.revoked_at),
        }
    }

    fn with<'a>(made: &AccessToken, token: &'a SecretString) -> ShownOnce<'a> {
        ShownOnce { shown: Self::of(made), token: token.expose_secret() }
    }
}

/// An answer that nothing on its way may keep.
fn unstored(mut answer: Response) -> Response {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flaws(body: Value) -> Vec<(String, String)> {
        let flaws = Requested::try_from(body).unwrap_err().into_list();
        flaws.into_iter().map(|flaw| (flaw.field, flaw.message)).collect()
    }

    #[test]
    fn a_token_has_a_name_and_scopes_and_may_have_an_end() {
        let body = json!({"name": "ci", "scopes": ["admin", "admin"], "expires_in": "90d"});
        let requested = Requested::try_from(body).unwrap();
        assert_eq!(requested.name, "ci");
        assert_eq!(requested.scopes, Scopes::only(Scope::Admin));
        assert_eq!(requested.expires_in, Some(Duration::from_hours(90 * 24)));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let wrong = flaws(json!({"name": "", "scopes": ["admin", "root", 1], "expires_in": "1s"}));
        let fields: Vec<_> = wrong.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, ["name", "scopes[1]", "scopes[2]", "expires_in"]);
        assert!(wrong[1].1.starts_with("must be one of events:write, events:read, "));
        assert_eq!(wrong[3].1, "must be from 1m to 87600h");
        assert_eq!(flaws(json!({"name": "a\u{7}", "scopes": []})).len(), 2);
        assert_eq!(flaws(json!({"scopes": "admin", "token": "shk_"})).len(), 3);
    }
}
