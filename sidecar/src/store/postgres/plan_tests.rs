//! How Postgres goes about the statements.
//!
//! Invariant: each has one plan, whatever the tables held when it was made: through the index that
//! it was written for.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use super::{address::Address, testing::Database, *};
use crate::clock::SystemClock;

/// Each statement, and the indexes that it goes through, in the order of its plan.
const STATEMENTS: &[(&str, &str, &[&str])] = &[
    ("events: append", events::APPEND, &[]),
    ("events: one", events::ONE, &["events_pkey"]),
    ("events: claim", events::CLAIM, &["undispatched_pkey", "undispatched_pkey", "events_pkey"]),
    ("events: list", events::LIST, &["events_pkey"]),
    ("events: by type", events::LIST_BY_TYPE, &["events_by_type"]),
    ("events: by subject", events::LIST_BY_SUBJECT, &["events_by_subject"]),
    ("events: latest", events::LATEST, &["events_late"]),
    ("events: number", events::NUMBER, &[]),
    ("dispatch", dispatch::DISPATCH, &["undispatched_pkey"]),
    ("dispatch: append", dispatch::APPEND, &[]),
    (
        "deliveries: claim",
        deliveries::CLAIM,
        &["pending_deliveries_due", "pending_deliveries_pkey", "payloads_pkey"],
    ),
    ("deliveries: leases", deliveries::LEASES, &["pending_deliveries_pkey"]),
    (
        "deliveries: one",
        deliveries::ONE,
        &["pending_deliveries_pkey", "finished_deliveries_pkey", "attempts_pkey"],
    ),
    ("list: all", list::ALL, &["pending_deliveries_pkey", "finished_deliveries_pkey"]),
    ("list: pending", list::PENDING, &["pending_deliveries_pkey"]),
    ("list: delivered", list::DELIVERED, &["finished_deliveries_pkey"]),
    ("list: by state", list::BY_STATE, &["finished_deliveries_by_state"]),
    (
        "list: by subscription",
        list::BY_SUBSCRIPTION,
        &["pending_deliveries_by_subscription", "finished_deliveries_by_subscription"],
    ),
    (
        "list: pending by subscription",
        list::PENDING_BY_SUBSCRIPTION,
        &["pending_deliveries_by_subscription"],
    ),
    (
        "list: delivered by subscription",
        list::DELIVERED_BY_SUBSCRIPTION,
        &["finished_deliveries_by_subscription"],
    ),
    (
        "list: by subscription and state",
        list::BY_SUBSCRIPTION_AND_STATE,
        &["finished_deliveries_by_subscription_and_state"],
    ),
    (
        "list: by event",
        list::BY_EVENT,
        &["pending_deliveries_by_event", "finished_deliveries_by_event"],
    ),
    ("record: pending", record::PENDING, &["pending_deliveries_pkey"]),
    ("record: finished", record::FINISHED, &["finished_deliveries_pkey"]),
    ("record: delivered", record::DELIVERED, &["pending_deliveries_pkey", "lines_delivery_id_key"]),
    ("record: log", record::LOG, &[]),
    ("record: finish", record::FINISH, &["pending_deliveries_pkey", "lines_delivery_id_key"]),
    ("record: keep", record::KEEP, &[]),
    ("record: count", record::COUNT, &["finished_deliveries_pkey"]),
    (
        "order: own",
        order::OWN,
        &["lines_delivery_id_key", "pending_deliveries_pkey", "events_pkey"],
    ),
    ("order: ahead", order::AHEAD, &["lines_pkey"]),
    ("order: line up", order::LINE_UP, &[]),
    ("order: leave all", order::LEAVE_ALL, &["lines_pkey"]),
    (
        "order: next",
        order::NEXT,
        &["lines_pkey", "pending_deliveries_pkey", "lines_delivery_id_key"],
    ),
    ("redrive: events of", redrive::EVENTS_OF, &["finished_deliveries_pkey"]),
    ("redrive: lock", redrive::LOCK, &["events_pkey"]),
    ("redrive: redrive", redrive::REDRIVE, &["finished_deliveries_pkey", "subscriptions_pkey"]),
    ("redrive: discard", redrive::DISCARD, &["finished_deliveries_pkey"]),
    ("redrive: forget", redrive::FORGET, &["attempts_pkey"]),
    ("replay: lock", replay::LOCK, &["events_pkey"]),
    ("replay: waiting", replay::WAITING, &["undispatched_pkey"]),
    ("replay: numbers", replay::NUMBERS, &["payloads_pkey"]),
    (
        "replay: known",
        replay::KNOWN,
        &["pending_deliveries_by_event", "finished_deliveries_by_event"],
    ),
    (
        "reschedule: waiting",
        reschedule::WAITING,
        &["pending_deliveries_by_subscription", "attempts_pkey"],
    ),
    ("reschedule: move", reschedule::MOVE, &["pending_deliveries_pkey"]),
    ("replay: payloads", replay::PAYLOADS, &[]),
    ("replay: deliveries", replay::DELIVERIES, &[]),
    (
        "expire: look",
        expire::LOOK,
        &["events_pkey", "undispatched_pkey", "pending_deliveries_by_event"],
    ),
    ("expire: pending", expire::PENDING, &["pending_deliveries_by_event"]),
    ("expire: deliveries", expire::DELIVERIES, &["finished_deliveries_by_event"]),
    ("expire: attempts", expire::ATTEMPTS, &["attempts_pkey"]),
    ("expire: payloads", expire::PAYLOADS, &["payloads_pkey"]),
    ("expire: events", expire::EVENTS, &["events_pkey"]),
    (
        "backlog: events",
        backlog::EVENTS,
        &["undispatched_pkey", "events_pkey", "undispatched_pkey"],
    ),
    (
        "backlog: deliveries",
        backlog::DELIVERIES,
        &["pending_deliveries_due", "pending_deliveries_due", "pending_deliveries_due"],
    ),
    ("backlog: dead", backlog::DEAD, &["finished_deliveries_by_state"]),
    (
        "backlog: owed",
        backlog::OWED,
        &["pending_deliveries_by_subscription", "pending_deliveries_by_subscription"],
    ),
    ("subscriptions: these", subscriptions::THESE, &["subscriptions_pkey"]),
    ("subscriptions: by target", subscriptions::BY_TARGET, &["subscriptions_pattern_url_key"]),
    ("subscriptions: one locked", subscriptions::ONE_LOCKED, &["subscriptions_pkey"]),
    ("subscriptions: locked", subscriptions::LOCKED, &["subscriptions_pattern_url_key"]),
    ("subscriptions: list", subscriptions::LIST, &["subscriptions_pkey"]),
    ("subscriptions: insert", subscriptions::INSERT, &[]),
    ("subscriptions: update", subscriptions::UPDATE, &["subscriptions_pkey"]),
    ("subscriptions: fails", subscriptions::FAILS, &["subscriptions_pkey"]),
    ("subscriptions: works", subscriptions::WORKS, &["subscriptions_pkey"]),
    ("subscriptions: reserve", subscriptions::RESERVE, &["subscriptions_pkey"]),
    ("subscriptions: delete", subscriptions::DELETE, &["subscriptions_pkey"]),
    (
        "subscriptions: bury",
        subscriptions::BURY,
        &["pending_deliveries_by_subscription", "pending_deliveries_pkey"],
    ),
    ("record: fill", record::FILL, &["payloads_pkey"]),
    ("scripts: keep", scripts::KEEP, &[]),
    ("scripts: one", scripts::ONE, &["scripts_pkey"]),
    ("tokens: add", tokens::ADD, &[]),
    ("tokens: revoke", tokens::REVOKE, &["tokens_pkey"]),
    ("tokens: all", tokens::ALL, &["tokens_pkey"]),
    ("tokens: list", tokens::LIST, &["tokens_pkey"]),
    ("pulse: beat", pulse::BEAT, &["pulse_pkey"]),
    ("pulse: stretch", pulse::STRETCH, &[]),
    ("changes: count", changes::COUNT, &["subscription_changes_pkey"]),
];

/// A database with the schema in it, and the address of a connection that works.
async fn database() -> (Database, PgConnectOptions) {
    let database = Database::empty().await;
    let config = Config { url: database.url.clone().into(), patience: Duration::ZERO };
    let clock = Arc::new(SystemClock::start());
    PostgresStore::connect(&config, Keyring::default(), clock).await.unwrap().close().await;
    let working = Address::parse(&config.url).unwrap().working();
    (database, working)
}

async fn run(connection: &mut PgConnection, text: impl Into<String>) {
    let text = text.into();
    let done = raw_sql(AssertSqlSafe(text.clone())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn explain(connection: &mut PgConnection, options: &str, text: &str, values: &str) -> Value {
    run(connection, format!("PREPARE explained AS {text}")).await;
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let explain = format!("EXPLAIN ({options}, FORMAT JSON) EXECUTE explained {values}");
    let plan = raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await;
    let plan: String = sqlx::Row::try_get_unchecked(&plan.unwrap(), 0).unwrap();
    run(connection, "DEALLOCATE explained").await;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    plan[0]["Plan"].clone()
}

/// The plan without values, which it must not depend on.
async fn plan(connection: &mut PgConnection, text: &str) -> Value {
    let mut numbers = text.split('$').skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    let count = numbers.by_ref().max().unwrap_or(0);
    let values = vec!["NULL"; count].join(", ");
    let call = explain(connection, "COSTS OFF", text, &values);
    call.await
}

/// Every step of a plan, with `key` of it.
fn steps<'p>(plan: &'p Value, key: &str) -> Vec<&'p str> {
    let own = plan[key].as_str();
    let children = plan["Plans"].as_array().into_iter().flatten();
    own.into_iter().chain(children.flat_map(|child| steps(child, key))).collect()
}

async fn plans(working: &PgConnectOptions) -> Vec<Value> {
    let mut connection = PgConnection::connect_with(working).await.unwrap();
    let mut plans = Vec::new();
    for (_, text, _) in STATEMENTS {
        plans.push(plan(&mut connection, text).await);
    }
    connection.close().await.unwrap();
    plans
}

/// So many deliveries, ten for each event; every hundredth of them dead, and of each thousand one
/// pending, of which half are due. They are in time between 0 and `count`.
async fn fill(database: &Database, count: u64) {
    let mut shell = database.shell().await;
    let id = |number: &str| {
        format!(
            "(lpad(to_hex({number}), 12, '0') || '70008000' || lpad(to_hex({number}), 12, '0'))::uuid"
        )
    };
    let (event, delivery, subscription) = (id("n / 10"), id("n"), id("n % 97"));
    let rows = format!("FROM generate_series(1, {count}) AS n");
    for insert in [
        format!(
            "INSERT INTO events (id, sequence, stored_at, time_us, skew_us, type, source, subject, frame)
             SELECT {event}, n, n, n / 10 * 1000, CASE WHEN n % 100000 = 0 THEN 2000000 ELSE 0 END,
                 CASE WHEN n % 3000 = 0 THEN 'orders.created' ELSE 'people.created' END, 'edge',
                 convert_to((n % 1000)::text, 'UTF8'), 'frame' {rows} WHERE n % 10 = 0"
        ),
        format!("INSERT INTO undispatched SELECT {event}, n, false {rows} WHERE n % 10000 = 0"),
        format!(
            "INSERT INTO payloads SELECT {event}, 0, 'application/json', NULL, '{{}}'
             {rows} WHERE n % 10 = 0"
        ),
        format!(
            "INSERT INTO pending_deliveries (id, event_id, subscription_id, created_at, due_at,
                 attempts, payload, claimed, event_type)
             SELECT {delivery}, {event}, {subscription}, n, n % 2 * 1000000000, 0, 0, false,
                 'people.created' {rows} WHERE n % 1000 IN (1, 2)"
        ),
        format!(
            "INSERT INTO finished_deliveries (id, event_id, subscription_id, created_at,
                 finished_at, attempts, payload, event_type, state, last_outcome,
                 cause, error)
             SELECT {delivery}, {event}, {subscription}, n, n, 1, 0, 'people.created',
                 CASE WHEN n % 100 = 0 THEN 'dead' ELSE 'delivered' END, 'success',
                 CASE WHEN n % 100 = 0 THEN 'exhausted' END,
                 CASE WHEN n % 100 = 0 THEN 'answered 500'::bytea END
             {rows} WHERE n % 1000 NOT IN (1, 2)"
        ),
        format!(
            "INSERT INTO attempts (delivery_id, number, started_at, duration_us, outcome)
             SELECT {delivery}, 1, n, 1000, 'success' {rows} WHERE n % 1000 NOT IN (1, 2)"
        ),
    ] {
        run(&mut shell, insert).await;
    }
    shell.close().await.unwrap();
}

#[tokio::test]
async fn no_plan_depends_on_what_the_tables_held_when_it_was_made() {
    let (database, working) = database().await;
    let without_statistics = plans(&working).await;
    for ((name, _, indexes), plan) in STATEMENTS.iter().zip(&without_statistics) {
        assert_eq!(steps(plan, "Index Name"), *indexes, "{name}: {plan:#}");
        for kind in steps(plan, "Node Type") {
            let reads_all = ["Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join"];
            assert!(!reads_all.contains(&kind), "{name}: {plan:#}");
        }
    }
    for (held, change) in [
        ("nothing, as is known", "VACUUM ANALYZE".to_owned()),
        ("one subscription's alone", {
            fill(&database, 3_000).await;
            let one = "SET subscription_id = md5('')::uuid";
            format!("UPDATE pending_deliveries {one}; UPDATE finished_deliveries {one}")
        }),
        ("the same, as is known", "ANALYZE".to_owned()),
        ("nothing any more, which is not known", {
            let tables = "events, undispatched, payloads, pending_deliveries, finished_deliveries";
            format!("TRUNCATE {tables}, attempts")
        }),
    ] {
        for statement in change.split(';') {
            database.run(statement).await;
        }
        for ((name, _, _), (plan, expected)) in
            STATEMENTS.iter().zip(plans(&working).await.iter().zip(&without_statistics))
        {
            assert_eq!(plan, expected, "{name}, when the tables held {held}");
        }
    }
}

/// How many deliveries there are in the test below: millions, for one who has the time.
const ROWS: &str = "SIDEHOOK_TEST_ROWS";

#[expect(clippy::print_stdout, reason = "figures, for one who asks for them with --nocapture")]
#[tokio::test]
async fn claims_and_lists_read_little_however_large_the_tables_are() {
    let count = std::env::var(ROWS).map_or(20_000, |count| count.parse().unwrap());
    let (database, working) = database().await;
    fill(&database, count).await;
    database.run("VACUUM ANALYZE").await;
    let id = |number: u64| {
        let hex = format!("{number:012x}70008000{number:012x}");
        format!("'{hex}'")
    };
    let (newest, half) = ("'ffffffff-ffff-ffff-ffff-ffffffffffff'".to_owned(), id(count / 2));
    let (event, nil) = (id(count / 20), "'00000000-0000-0000-0000-000000000000'");
    let due = "2, 100, 5000000000";
    let mut connection = PgConnection::connect_with(&working).await.unwrap();
    for (name, text, values, rows, limit) in [
        ("events: claim", events::CLAIM, format!("{count}, 100, {count}"), 100, 1_500),
        ("events: list", events::LIST, format!("{newest}, {nil}, 0, 201"), 201, 250),
        (
            "events: by type",
            events::LIST_BY_TYPE,
            format!("{newest}, {nil}, 0, 201, 'orders.created'"),
            201,
            500,
        ),
        (
            "events: by subject",
            events::LIST_BY_SUBJECT,
            format!("{newest}, {nil}, 0, 201, NULL, '70'"),
            201,
            500,
        ),
        ("deliveries: claim", deliveries::CLAIM, due.to_owned(), 100, 2_500),
        ("deliveries: one", deliveries::ONE, id(5), 1, 20),
        ("list: all", list::ALL, format!("{half}, 201"), 201, 500),
        ("list: pending", list::PENDING, format!("{newest}, 201"), 201, 500),
        ("list: delivered", list::DELIVERED, format!("{half}, 201"), 201, 300),
        ("list: by state", list::BY_STATE, format!("{half}, 201, 'dead'"), 201, 500),
        (
            "list: by subscription",
            list::BY_SUBSCRIPTION,
            format!("{newest}, 201, {}", id(7)),
            201,
            700,
        ),
        (
            "list: delivered by subscription",
            list::DELIVERED_BY_SUBSCRIPTION,
            format!("{newest}, 201, {}", id(7)),
            201,
            500,
        ),
        (
            "list: by subscription and state",
            list::BY_SUBSCRIPTION_AND_STATE,
            format!("{newest}, 201, {}, 'dead'", id(0)),
            201,
            500,
        ),
        ("list: by event", list::BY_EVENT, format!("{newest}, 201, {event}, NULL, NULL"), 10, 40),
        ("expire: look", expire::LOOK, format!("{nil}, {newest}, {count}, 256"), 256, 2_500),
        ("backlog: events", backlog::EVENTS, "100".to_owned(), 1, 250),
        ("backlog: deliveries", backlog::DELIVERIES, format!("100, {count}"), 1, 500),
        ("backlog: dead", backlog::DEAD, "100".to_owned(), 1, 500),
    ] {
        run(&mut connection, "BEGIN").await;
        let plan = explain(&mut connection, "ANALYZE, BUFFERS", text, &values).await;
        run(&mut connection, "ROLLBACK").await;
        let number = |key: &str| plan[key].as_f64().unwrap();
        let buffers = number("Shared Hit Blocks") + number("Shared Read Blocks");
        let (found, took) = (number("Actual Rows"), number("Actual Total Time"));
        println!(
            "{name:32} {found:4} rows {buffers:5} buffers {took:8.3} ms  {}",
            steps(&plan, "Index Name").join(" ")
        );
        assert!(buffers <= f64::from(limit), "{name}: {buffers} buffers: {plan:#}");
        assert!(found <= f64::from(rows) && found > 0.0, "{name}: {plan:#}");
    }
    connection.close().await.unwrap();
}
