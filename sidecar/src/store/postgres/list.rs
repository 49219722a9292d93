//! Lists of deliveries, pending and finished, newest first.
//!
//! Invariant: a page is read from the end where it begins, through an index that has it in order;
//! of both tables no more is read than the page could show.

use sqlx::{Postgres, postgres::PgArguments, query::Query};

use super::{
    deliveries::delivery,
    pool::Pool,
    rows::{below, key, one_more},
};
use crate::{
    model::{Delivery, DeliveryId, Page, PageRequest, State},
    store::DeliveryFilter,
};

macro_rules! pending {
    ($rest:literal) => {
        concat!(
            "(SELECT id, event_id, subscription_id, event_type, 'pending' AS state, attempts,
                due_at, last_outcome, NULL AS cause, NULL::bytea AS error, script, created_at,
                NULL::bigint AS finished_at
              FROM pending_deliveries ",
            $rest,
            ")"
        )
    };
}

macro_rules! finished {
    ($rest:literal) => {
        concat!(
            "(SELECT id, event_id, subscription_id, event_type, state, attempts,
                NULL::bigint AS due_at, last_outcome, cause, error, script, created_at, finished_at
              FROM finished_deliveries ",
            $rest,
            ")"
        )
    };
}

macro_rules! both {
    ($pending:expr, $finished:expr) => {
        concat!(
            "SELECT * FROM (",
            $pending,
            " UNION ALL ",
            $finished,
            ") AS deliveries ORDER BY id DESC LIMIT $2"
        )
    };
}

// A row is compared, and sorted by, as a whole, where an equality would do for a part of it: only
// the index of just these columns can then be used.

pub(super) const ALL: &str = both!(
    pending!("WHERE id < $1 ORDER BY id DESC LIMIT $2"),
    finished!("WHERE id < $1 ORDER BY id DESC LIMIT $2")
);
pub(super) const PENDING: &str = pending!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
/// Most of the finished ones are delivered.
pub(super) const DELIVERED: &str =
    finished!("WHERE id < $1 AND state = 'delivered' ORDER BY id DESC LIMIT $2");
pub(super) const BY_STATE: &str = finished!(
    "WHERE (state, id) < ($3, $1) AND state >= $3 AND state <> 'delivered'
     ORDER BY state DESC, id DESC LIMIT $2"
);

pub(super) const BY_SUBSCRIPTION: &str = both!(
    pending!(
        "WHERE (subscription_id, id) < ($3, $1) AND subscription_id >= $3
         ORDER BY subscription_id DESC, id DESC LIMIT $2"
    ),
    finished!(
        "WHERE (subscription_id, id) < ($3, $1) AND subscription_id >= $3
         ORDER BY subscription_id DESC, id DESC LIMIT $2"
    )
);
pub(super) const PENDING_BY_SUBSCRIPTION: &str = pending!(
    "WHERE (subscription_id, id) < ($3, $1) AND subscription_id >= $3
     ORDER BY subscription_id DESC, id DESC LIMIT $2"
);
pub(super) const DELIVERED_BY_SUBSCRIPTION: &str = finished!(
    "WHERE (subscription_id, id) < ($3, $1) AND subscription_id >= $3 AND state = 'delivered'
     ORDER BY subscription_id DESC, id DESC LIMIT $2"
);
pub(super) const BY_SUBSCRIPTION_AND_STATE: &str = finished!(
    "WHERE (subscription_id, state, id) < ($3, $4, $1)
        AND (subscription_id, state) >= ($3, $4) AND state <> 'delivered'
     ORDER BY subscription_id DESC, state DESC, id DESC LIMIT $2"
);

pub(super) const BY_EVENT: &str = both!(
    pending!(
        "WHERE (event_id, id) < ($3, $1) AND event_id >= $3
            AND ($4::uuid IS NULL OR subscription_id = $4)
            AND ($5::text IS NULL OR $5 = 'pending')
         ORDER BY event_id DESC, id DESC LIMIT $2"
    ),
    finished!(
        "WHERE (event_id, id) < ($3, $1) AND event_id >= $3
            AND ($4::uuid IS NULL OR subscription_id = $4)
            AND ($5::text IS NULL OR state = $5)
         ORDER BY event_id DESC, id DESC LIMIT $2"
    )
);

pub(super) async fn list(
    pool: &Pool,
    filter: &DeliveryFilter,
    page: PageRequest<DeliveryId>,
) -> sqlx::Result<Page<Delivery, DeliveryId>> {
    let mut connection = pool.lend().await?;
    let found = query(filter, page).fetch_all(&mut *connection).await?;
    let found = connection.done(found.iter().map(delivery).collect::<sqlx::Result<_>>())?;
    Ok(Page::cut(found, page.limit, |delivery: &Delivery| delivery.id))
}

fn query(
    filter: &DeliveryFilter,
    page: PageRequest<DeliveryId>,
) -> Query<'static, Postgres, PgArguments> {
    let bound = |text| sqlx::query(text).bind(below(page.after)).bind(one_more(page.limit));
    let state = filter.state;
    match (filter.event_id, filter.subscription_id) {
        (Some(event), subscription) => bound(BY_EVENT)
            .bind(key(event))
            .bind(subscription.map(key))
            .bind(state.map(State::name)),
        (None, None) => match state {
            None => bound(ALL),
            Some(State::Pending) => bound(PENDING),
            Some(State::Delivered) => bound(DELIVERED),
            Some(State::Filtered | State::Dead) => bound(BY_STATE).bind(state.map(State::name)),
        },
        (None, Some(subscription)) => {
            let of = |text| bound(text).bind(key(subscription));
            match state {
                None => of(BY_SUBSCRIPTION),
                Some(State::Pending) => of(PENDING_BY_SUBSCRIPTION),
                Some(State::Delivered) => of(DELIVERED_BY_SUBSCRIPTION),
                Some(State::Filtered | State::Dead) => {
                    of(BY_SUBSCRIPTION_AND_STATE).bind(state.map(State::name))
                }
            }
        }
    }
}
