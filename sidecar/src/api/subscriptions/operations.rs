//! What can be done with subscriptions: the paths, and what is told of each.
//!
//! Invariant: a subscription can be deleted by its URL and event type whatever its event type is,
//! that of an action such as `test` too.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::{
    super::{
        Context,
        listing::page,
        openapi::Description,
        path::Keys,
        routes::{Operation, Routes, delete, get, patch, post},
    },
    change, delete_by_target, disable, enable, list, one, remove,
    request::Requested,
    rotate::Rotation,
    rotate_secret, secret,
    shape::{Shown, ShownSecret},
    test, trial, upsert,
};
use crate::model::{Scope, SubscriptionId};

/// By what it delivers to and asks for, in place of its id.
const TARGET: &str = "/subscriptions/{url}/{event_type}";
const READ: Scope = Scope::SubscriptionsRead;
const WRITE: Scope = Scope::SubscriptionsWrite;

pub(in crate::api) fn routes() -> Routes<Arc<Context>> {
    let subscription =
        [get(READ, one, shown), patch(WRITE, change, changed), delete(WRITE, remove, deleted)];
    // Whoever knows the secret can sign what was never delivered: more than a look.
    Routes::new()
        .at("/subscriptions", [post(WRITE, upsert, upserted), get(READ, list, listed)])
        .at("/subscriptions/{id}", subscription)
        .at("/subscriptions/{id}/secret", [get(WRITE, secret, secret_shown), case("secret")])
        .at(
            "/subscriptions/{id}/rotate-secret",
            [post(WRITE, rotate_secret, rotated), case("rotate-secret")],
        )
        .at("/subscriptions/{id}/test", [post(WRITE, test, tried), case("test")])
        .at("/subscriptions/{id}/enable", [post(WRITE, enable, enabled), case("enable")])
        .at("/subscriptions/{id}/disable", [post(WRITE, disable, disabled), case("disable")])
        .at(TARGET, [delete(WRITE, delete_by_target, unsubscribed)])
}

/// Deletes by a target whose event type is also the name of a part of a subscription.
pub(in crate::api) fn case(event_type: &'static str) -> Operation<Arc<Context>> {
    let of_it = async move |state: State<Arc<Context>>, Keys(url): Keys<String>| {
        delete_by_target(state, Keys((url, event_type.to_owned()))).await
    };
    delete(WRITE, of_it, unsubscribed).told_at(TARGET)
}

fn upserted() -> Description {
    Description::of("upsertSubscription", "Make a subscription, or replace one")
        .about(
            "The one with the same `event_type` and `url` is replaced as a whole; its id and its \
             secret stay, unless another secret is given or another `signature`. An event that \
             happens after the answer is delivered to it.",
        )
        .reads(Requested::read)
        .shows::<Shown>(StatusCode::CREATED, "It was made. The secret is shown here.")
        .with(StatusCode::CREATED, "location", "Its path.")
        .shows::<Shown>(StatusCode::OK, "It was replaced.")
}

fn listed() -> Description {
    Description::of("listSubscriptions", "List subscriptions")
        .query(|form| Some(page::<SubscriptionId>(form)))
        .lists::<Shown>("The newest come first.")
}

fn shown() -> Description {
    Description::of("showSubscription", "Show a subscription")
        .shows::<Shown>(StatusCode::OK, "Without its secret.")
}

fn changed() -> Description {
    Description::of("changeSubscription", "Change a subscription")
        .about(
            "A JSON Merge Patch (RFC 7396): what it does not name stays, objects are merged, null \
             takes a field back to its default. Deliveries that wait follow what is changed.",
        )
        .patches(Requested::read)
        .shows::<Shown>(StatusCode::OK, "As it is now, with its secret if that is a new one.")
        .conflicts("Another subscription has the same `event_type` and `url`.")
}

fn deleted() -> Description {
    Description::of("deleteSubscription", "Delete a subscription")
        .about("What is still pending is given up, with the cause `unsubscribed`.")
        .answers(StatusCode::NO_CONTENT, "It is gone.")
}

fn unsubscribed() -> Description {
    Description::of("unsubscribe", "Delete a subscription by its URL and event type")
        .about("A URL with a `~` of its own can only be deleted by id.")
        .answers(StatusCode::NO_CONTENT, "It is gone.")
}

fn secret_shown() -> Description {
    Description::of("showSecret", "Show the secret that signs, and those that still do")
        .shows::<ShownSecret>(StatusCode::OK, "What signs at the moment.")
}

fn rotated() -> Description {
    Description::of("rotateSecret", "Exchange the secret")
        .about("Until the overlap is over every delivery carries two signatures, one by each.")
        .may_read(Rotation::read)
        .shows::<Shown>(StatusCode::OK, "With the new secret.")
}

fn tried() -> Description {
    Description::of("testSubscription", "Send an example, and see what is answered")
        .about("Signed and laid out as any delivery, once; nothing is recorded.")
        .may_read(trial::Asked::read)
        .shows::<trial::Shown>(StatusCode::OK, "What was sent, and what came back.")
}

fn enabled() -> Description {
    Description::of("enableSubscription", "Deliver to it again")
        .shows::<Shown>(StatusCode::OK, "As it is now.")
}

fn disabled() -> Description {
    Description::of("disableSubscription", "Deliver to it no more")
        .about("What happens meanwhile is not delivered; what was pending before waits.")
        .shows::<Shown>(StatusCode::OK, "As it is now.")
}
