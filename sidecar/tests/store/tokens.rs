//! Tokens: what is kept of them, and that they never go away.
//!
//! Invariant: no test knows a token itself; the store does not either.

use sidehook::{
    model::{AccessToken, PageRequest, TokenDigest, TokenId},
    store::Store,
};

use crate::{
    ground::Ground,
    samples::{at, minted},
};

fn token(number: u64) -> AccessToken {
    AccessToken {
        id: minted(number),
        name: format!("für Grafana {number}"),
        scopes: "events:read metrics:read".parse().unwrap(),
        digest: TokenDigest::of(&format!("the token {number}")),
        created_at: at(number),
        expires_at: Some(at(number + 900)),
        revoked_at: None,
    }
}

async fn all(store: &dyn Store) -> Vec<AccessToken> {
    let mut tokens = store.all_tokens().await.unwrap();
    tokens.sort_by_key(|token| token.id);
    tokens
}

pub(crate) async fn a_token_is_read_back_as_it_was_made(ground: &mut dyn Ground) {
    let store = ground.store();
    assert_eq!(all(&*store).await, []);
    let endless = AccessToken { expires_at: None, ..token(2) };
    for token in [token(1), endless.clone()] {
        store.add_token(&token).await.unwrap();
    }
    assert_eq!(all(&*store).await, [token(1), endless]);
}

pub(crate) async fn a_token_that_is_added_again_changes_nothing(ground: &mut dyn Ground) {
    let store = ground.store();
    store.add_token(&token(1)).await.unwrap();
    store.revoke_token(minted(1), at(5)).await.unwrap();
    let again = AccessToken { id: minted(1), ..token(2) };
    store.add_token(&again).await.unwrap();
    assert_eq!(all(&*store).await, [AccessToken { revoked_at: Some(at(5)), ..token(1) }]);
}

pub(crate) async fn a_token_is_revoked_once_and_stays(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in [1, 2] {
        store.add_token(&token(number)).await.unwrap();
    }
    assert!(store.revoke_token(minted(1), at(5)).await.unwrap());
    assert!(store.revoke_token(minted(1), at(6)).await.unwrap());
    let revoked = AccessToken { revoked_at: Some(at(5)), ..token(1) };
    assert_eq!(all(&*store).await, [revoked, token(2)]);
}

pub(crate) async fn a_revocation_of_nothing_says_so(ground: &mut dyn Ground) {
    let store = ground.store();
    store.add_token(&token(1)).await.unwrap();
    assert!(!store.revoke_token(minted(2), at(5)).await.unwrap());
    assert_eq!(all(&*store).await, [token(1)]);
}

pub(crate) async fn tokens_are_listed_newest_first_page_by_page(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in [3, 1, 4, 0, 2] {
        store.add_token(&token(number)).await.unwrap();
    }
    let page = async |after: Option<u64>| {
        let after = after.map(minted::<TokenId>);
        store.tokens(PageRequest { after, limit: 2 }).await.unwrap()
    };
    let first = page(None).await;
    assert_eq!((first.data, first.next), (vec![token(4), token(3)], Some(minted(3))));
    let second = page(Some(3)).await;
    assert_eq!((second.data, second.next), (vec![token(2), token(1)], Some(minted(1))));
    let last = page(Some(1)).await;
    assert_eq!((last.data, last.next), (vec![token(0)], None));
}

pub(crate) async fn what_was_revoked_stays_so_after_a_crash(ground: &mut dyn Ground) {
    ground.store().add_token(&token(1)).await.unwrap();
    ground.store().revoke_token(minted(1), at(5)).await.unwrap();
    ground.crash().await;
    let revoked = AccessToken { revoked_at: Some(at(5)), ..token(1) };
    assert_eq!(all(&*ground.store()).await, [revoked]);
}
