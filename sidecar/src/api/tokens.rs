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
use serde_json::{Value, json};
use sidehook_event::UnixMicros;
use utoipa::ToSchema;

use super::{
    Context, Flaws, Problem,
    body::JsonBody,
    form::{Form, Reader},
    listing::{Listing, listing, page},
    named::scope,
    openapi::Description,
    path::{Keys, id},
    read::{duration, text},
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
        .at("/tokens", [post(Scope::Admin, create, created), get(Scope::Admin, list, listed)])
        .at("/tokens/{id}", [delete(Scope::Admin, revoke, revoked)])
}

fn created() -> Description {
    Description::of("createToken", "Let somebody in, and no more")
        .about("The token is in this answer and nowhere else.")
        .reads(Requested::read)
        .shows::<ShownOnce>(StatusCode::CREATED, "The token itself is shown here.")
        .with(StatusCode::CREATED, "cache-control", "no-store")
}

fn listed() -> Description {
    Description::of("listTokens", "List tokens")
        .about("Those that have ended too, without the tokens themselves.")
        .query(|form| Some(page::<TokenId>(form)))
        .lists::<Shown>("The newest come first.")
}

fn revoked() -> Description {
    Description::of("revokeToken", "Revoke a token")
        .answers(StatusCode::NO_CONTENT, "From now on it lets nobody in.")
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
    let page = Form::whole_query(query.as_deref(), |form| Some(page(form)))?;
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
        Form::whole(body, Self::read)
    }
}

impl Requested {
    fn read(form: &mut Form) -> Option<Self> {
        let name = form.require("name", name());
        let scopes = form.require("scopes", scopes());
        let expires_in = duration(SHORTEST, LONGEST).about("Without it the token has no end.");
        let expires_in = form.read("expires_in", expires_in);
        Some(Self { name: name?, scopes: scopes?, expires_in })
    }
}

fn name() -> Reader<String> {
    let longest = AccessToken::LONGEST_NAME;
    let checked = text().then(move |name| {
        if !(1..=longest).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(format!("must have 1 to {longest} characters, and no control characters"));
        }
        Ok(name)
    });
    let pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$";
    checked.with(move || json!({"minLength": 1, "maxLength": longest, "pattern": pattern}))
}

fn scopes() -> Reader<Scopes> {
    let scopes = scope().list("scopes", Scope::NAMES.len());
    scopes.then(|scopes| Scopes::new(scopes).ok_or("must name at least one scope"))
}

/// A token, as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct Shown {
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::TokenId)]
    id: TokenId,
    name: String,
    #[schema(value_type = Vec<shape::Scope>)]
    scopes: Vec<&'static str>,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    created_at: UnixMicros,
    #[schema(required, value_type = Option<shape::Instant>)]
    expires_at: Option<String>,
    #[schema(required, value_type = Option<shape::Instant>)]
    revoked_at: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = NewToken)]
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
