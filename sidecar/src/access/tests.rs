//! Who is let in, and who is told what.
//!
//! Invariant: the tokens here are made as the API makes them.

use sidehook_event::TypeId;

use super::*;
use crate::{config::Listen, model::make_token};

fn now() -> UnixMicros {
    UnixMicros::new(1_000)
}

fn on(listen: &str) -> Exposure {
    let listen: Listen = listen.parse().unwrap();
    Exposure { api: vec![listen.clone()], ingest: Some(listen) }
}

fn configured(api: Option<&str>, ingest: Option<&str>) -> Access {
    let configured = Configured { api: api.map(Into::into), ingest: ingest.map(Into::into) };
    Access::new(&configured, on("127.0.0.1:5000"))
}

/// The token `id`, and what is kept of it.
fn made(id: u128, scopes: &str) -> (String, AccessToken) {
    let id = TokenId::from_bits(id);
    let token = make_token(id, || 7).expose_secret().to_owned();
    let stored = AccessToken {
        id,
        name: "test".to_owned(),
        scopes: scopes.parse().unwrap(),
        digest: TokenDigest::of(&token),
        created_at: UnixMicros::EPOCH,
        expires_at: None,
        revoked_at: None,
    };
    (token, stored)
}

fn holding(tokens: impl IntoIterator<Item = AccessToken>) -> Access {
    let access = configured(None, None);
    let stored = tokens.into_iter().map(|token| (token.id, token)).collect();
    *access.stored.write().unwrap() = Arc::new(Stored(stored));
    access
}

fn verdict(access: &Access, token: &str, scope: Scope) -> std::result::Result<(), Refusal> {
    access.bearer(Some(token), now)?.check(scope)
}

#[test]
fn a_configured_token_lets_its_bearer_in() {
    let access = configured(Some("the token of the API"), Some("that of gateways"));
    for (token, scope, expected) in [
        ("the token of the API", Scope::Admin, Ok(())),
        ("the token of the API", Scope::EventsWrite, Ok(())),
        ("that of gateways", Scope::EventsWrite, Ok(())),
        ("that of gateways", Scope::EventsRead, Err(Refusal::Lacking(Scope::EventsRead))),
        ("the token of the AP", Scope::Admin, Err(Refusal::Unknown)),
        ("the token of the API ", Scope::Admin, Err(Refusal::Unknown)),
        ("", Scope::Admin, Err(Refusal::Unknown)),
    ] {
        assert_eq!(verdict(&access, token, scope), expected, "{token} {}", scope.name());
    }
    assert_eq!(access.bearer(None, now), Err(Refusal::Missing));
}

#[test]
fn of_two_configured_tokens_that_are_one_the_stronger_counts() {
    let access = configured(Some("one for both of them"), Some("one for both of them"));
    assert_eq!(verdict(&access, "one for both of them", Scope::Admin), Ok(()));
}

#[test]
fn a_stored_token_lets_its_bearer_in_until_it_ends() {
    let (reader, stored_reader) = made(1, "events:read");
    let (expired, stored_expired) = made(2, "admin");
    let (ending, stored_ending) = made(3, "admin");
    let (revoked, stored_revoked) = made(4, "admin");
    let (other, _) = made(5, "admin");
    let access = holding([
        stored_reader,
        AccessToken { expires_at: Some(now()), ..stored_expired },
        AccessToken { expires_at: Some(UnixMicros::new(1_001)), ..stored_ending },
        AccessToken { revoked_at: Some(now()), ..stored_revoked },
    ]);
    assert_eq!(verdict(&access, &reader, Scope::EventsRead), Ok(()));
    let lacking = Refusal::Lacking(Scope::EventsWrite);
    assert_eq!(verdict(&access, &reader, Scope::EventsWrite), Err(lacking));
    assert_eq!(verdict(&access, &expired, Scope::Admin), Err(Refusal::Expired));
    assert_eq!(verdict(&access, &ending, Scope::Admin), Ok(()));
    assert_eq!(verdict(&access, &revoked, Scope::Admin), Err(Refusal::Revoked));
    assert_eq!(verdict(&access, &other, Scope::Admin), Err(Refusal::Unknown));
}

#[test]
fn who_knows_the_id_of_a_token_does_not_know_the_token() {
    let (_, stored) = made(1, "admin");
    let forged = make_token(stored.id, || 8);
    let access = holding([AccessToken { revoked_at: Some(now()), ..stored }]);
    // Not even that it was revoked is told.
    assert_eq!(verdict(&access, forged.expose_secret(), Scope::Admin), Err(Refusal::Unknown));
}

#[test]
fn a_face_is_open_on_this_machine_until_there_is_a_token_for_it() {
    let open = |access: &Access| (access.is_open(Face::Api), access.is_open(Face::Ingest));
    assert_eq!(open(&configured(None, None)), (true, true));
    assert_eq!(open(&configured(Some("t"), None)), (false, true));
    assert_eq!(open(&configured(None, Some("t"))), (true, false));
    assert_eq!(open(&holding([made(1, "metrics:read").1])), (false, true));
    assert_eq!(open(&holding([made(1, "events:write").1])), (true, false));
    // The last one that was revoked opens nothing.
    let revoked = AccessToken { revoked_at: Some(now()), ..made(1, "events:write admin").1 };
    assert_eq!(open(&holding([revoked])), (false, false));
}

#[test]
fn what_others_can_reach_is_never_open() {
    let open = |listen: &str, configured: &Configured| {
        let access = Access::new(configured, on(listen));
        let checked = access.check_exposure().map_err(|open| open.to_string());
        (access.is_open(Face::Api), access.is_open(Face::Ingest), checked)
    };
    let both = Configured { api: Some("a".into()), ingest: Some("b".into()) };
    let half = Configured { api: Some("a".into()), ingest: None };
    for listen in ["127.0.0.1:5000", "[::1]:5000", "127.8.8.8:1", "unix:/run/sidehook.sock"] {
        assert_eq!(open(listen, &Configured::default()), (true, true, Ok(())), "{listen}");
    }
    for listen in ["0.0.0.0:5000", "[::]:5000", "10.0.0.1:5000"] {
        let (api, ingest, checked) = open(listen, &Configured::default());
        assert!(!api && !ingest);
        let said = checked.unwrap_err();
        assert!(said.starts_with("configuration key api_token: must be set"), "{said}");
        assert!(said.contains(listen), "{said}");
        let (api, ingest, checked) = open(listen, &half);
        assert!(!api && !ingest);
        let said = checked.unwrap_err();
        assert!(said.contains("key ingest_token: must be set, or a token with events:write"));
        assert_eq!(open(listen, &both), (false, false, Ok(())));
    }
}
