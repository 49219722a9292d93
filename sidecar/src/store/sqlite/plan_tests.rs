//! How SQLite goes about the statements that run often.
//!
//! Invariant: none of them walks through a table that grows, or sorts one.

use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::*;

/// The plan of a statement, a step per line.
async fn plan(pool: &SqlitePool, text: &str) -> String {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let steps = sqlx::query(explain).fetch_all(pool).await.unwrap();
    let steps = steps.iter().map(|step| step.get::<String, _>("detail"));
    steps.collect::<Vec<_>>().join("\n")
}

async fn plans() -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let store =
        SqliteStore::open(&folder.path().join("sidehook.db"), Keyring::default()).await.unwrap();
    let mut plans = Vec::new();
    for (name, text) in [
        ("events: one", events::ONE),
        ("events: claim", events::CLAIM),
        ("events: lease", events::LEASE),
        ("events: list", events::LIST),
        ("events: by type", events::LIST_BY_TYPE),
        ("events: by subject", events::LIST_BY_SUBJECT),
        ("events: latest", events::LATEST),
        ("dispatch: take", dispatch::TAKE),
        ("deliveries: one", deliveries::ONE),
        ("deliveries: these", deliveries::THESE),
        ("deliveries: attempts", deliveries::ATTEMPTS),
        ("deliveries: claim", deliveries::CLAIM),
        ("deliveries: lease", deliveries::LEASE),
        ("deliveries: leases", deliveries::LEASES),
        ("deliveries: list", deliveries::LIST),
        ("deliveries: by state", deliveries::LIST_BY_STATE),
        ("deliveries: by event", deliveries::LIST_BY_EVENT),
        ("deliveries: by subscription", deliveries::LIST_BY_SUBSCRIPTION),
        ("deliveries: by subscription and state", deliveries::LIST_BY_SUBSCRIPTION_AND_STATE),
        ("record: standings", record::STANDINGS),
        ("record: move", record::MOVE.largest()),
        ("order: own", order::OWN),
        ("order: ahead", order::AHEAD),
        ("order: leave", order::LEAVE),
        ("order: leave all", order::LEAVE_ALL),
        ("order: next", order::NEXT),
        ("redrive: redrive", redrive::REDRIVE),
        ("redrive: discard", redrive::DISCARD),
        ("replay: dispatched", replay::DISPATCHED),
        ("replay: known", replay::KNOWN),
        ("reschedule: waiting", reschedule::WAITING),
        ("reschedule: move", reschedule::MOVE),
        ("expire: look", expire::LOOK),
        ("expire: delete", expire::DELETE),
        ("backlog: events", backlog::EVENTS),
        ("backlog: deliveries", backlog::DELIVERIES),
        ("backlog: dead", backlog::DEAD),
        ("backlog: owed", backlog::OWED),
        ("subscriptions: one", subscriptions::ONE),
        ("subscriptions: these", subscriptions::THESE),
        ("subscriptions: by target", subscriptions::BY_TARGET),
        ("subscriptions: list", subscriptions::LIST),
        ("subscriptions: update", subscriptions::UPDATE),
        ("subscriptions: fails", subscriptions::FAILS),
        ("subscriptions: works", subscriptions::WORKS),
        ("subscriptions: reserve", subscriptions::RESERVE),
        ("subscriptions: delete", subscriptions::DELETE),
        ("subscriptions: bury", subscriptions::BURY),
        ("record: fill", record::FILL),
        ("scripts: one", scripts::ONE),
        ("tokens: revoke", tokens::REVOKE),
        ("tokens: list", tokens::LIST),
    ] {
        plans.push((name, plan(&store.writer, text).await));
    }
    plans
}

#[tokio::test]
async fn no_statement_walks_through_a_table_or_sorts_one() {
    for (name, plan) in plans().await {
        for step in plan.lines() {
            // Values that were handed in may be walked through; so may, from its beginning to
            // the limit, what waits to be dispatched.
            let scans = step.strip_prefix("SCAN ");
            let table = scans.and_then(|scan| scan.split(' ').next());
            assert!(
                table.is_none_or(|table| {
                    ["json_each", "new", "64", "u", "CONSTANT"].contains(&table)
                        || table.starts_with('(')
                }),
                "{name}: {plan}"
            );
            assert!(!step.contains("TEMP B-TREE"), "{name}: {plan}");
        }
    }
}

/// Which index, since a wrong one would be no walk and yet slow.
#[tokio::test]
async fn every_list_is_read_through_the_index_made_for_it() {
    let plans = plans().await;
    for (name, index) in [
        ("events: by type", "events_by_type (type=? AND id>? AND id<?)"),
        ("events: by subject", "events_by_subject (subject=? AND id>? AND id<?)"),
        ("events: latest", "events_late"),
        ("deliveries: claim", "deliveries_due (due_at<?)"),
        ("deliveries: by state", "deliveries_by_state (state=? AND id<?)"),
        ("backlog: deliveries", "COVERING INDEX deliveries_due (due_at>?)"),
        ("backlog: deliveries", "COVERING INDEX deliveries_due (due_at<?)"),
        ("backlog: dead", "deliveries_by_state (state=?)"),
        ("backlog: owed", "deliveries_by_subscription_and_state (subscription_id=? AND state=?)"),
        ("deliveries: by event", "deliveries_by_event (event_id=? AND id<?)"),
        ("deliveries: by subscription", "deliveries_by_subscription (subscription_id=? AND id<?)"),
        (
            "deliveries: by subscription and state",
            "deliveries_by_subscription_and_state (subscription_id=? AND state=? AND id<?)",
        ),
        (
            "subscriptions: bury",
            "deliveries_by_subscription_and_state (subscription_id=? AND state=?)",
        ),
    ] {
        let (_, plan) = plans.iter().find(|(known, _)| *known == name).unwrap();
        assert!(plan.contains(index), "{name}: {plan}");
    }
}
