//! The schema: where it stands, and how it is brought up to date.
//!
//! Invariant: it is changed by one at a time, from one known standing to another, or not at all.

use std::{collections::HashMap, sync::LazyLock};

use sqlx::{
    Connection as _, PgConnection,
    migrate::{Migrate as _, MigrateError, Migration, Migrator},
};

use super::{address::Address, open::OpenError};
use crate::store::steps;

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    steps::all([(1, "first", include_str!("../../../migrations/postgres/0001_first.sql"))])
});

const TABLE: &str = "_sqlx_migrations";
/// Read from the table of tables: to resolve the name would answer from a cache, which may be older
/// than the lock that was waited for.
const EXISTS: &str =
    "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND pg_table_is_visible(oid))";
/// Held by whoever changes the schema; any number that nobody else uses.
const LOCK: i64 = 0x5369_6465_686f_6f6b;

/// From where to where the schema was brought; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Where it was.
    pub from: i64,
    /// Where it is.
    pub to: i64,
}

/// Where a schema stands that this build can use, perhaps after some steps.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Some steps behind this build's, or not there at all.
    Behind(i64),
    /// Just this build's.
    Current,
}

/// Looks, and changes nothing.
pub(super) async fn standing(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Standing, OpenError> {
    let server = |error| OpenError::Server(address.to_string(), error);
    let exists: bool =
        sqlx::query_scalar(EXISTS).bind(TABLE).fetch_one(&mut *connection).await.map_err(server)?;
    if !exists {
        return Ok(Standing::Behind(0));
    }
    let steps: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await
            .map_err(server)?;
    let ours: HashMap<i64, &Migration> =
        MIGRATIONS.iter().map(|step| (step.version, step)).collect();
    let known = latest();
    for (number, success, checksum) in &steps {
        let address = || address.to_string();
        let step = match ours.get(number) {
            Some(step) => step,
            None if *number > known => {
                return Err(OpenError::Newer { address: address(), found: *number, known });
            }
            None => return Err(OpenError::Foreign { address: address(), number: *number }),
        };
        if !success || **checksum != *step.checksum {
            return Err(OpenError::Foreign { address: address(), number: *number });
        }
    }
    Ok(match steps.last() {
        Some((number, _, _)) if steps.len() == ours.len() && *number == known => Standing::Current,
        Some((number, _, _)) => Standing::Behind(*number),
        None => Standing::Behind(0),
    })
}

/// Takes the steps that are missing, all in one transaction. Waits for another who is at it.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Migrated, OpenError> {
    let failed = |error| OpenError::Schema(address.to_string(), error);
    let mut tx = connection.begin().await.map_err(failed)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
    lock.execute(&mut *tx).await.map_err(failed)?;
    let to = latest();
    let from = match standing(&mut tx, address).await? {
        Standing::Current => return Ok(Migrated { from: to, to }),
        Standing::Behind(from) => from,
    };
    steps(&mut tx, from).await.map_err(|error| {
        failed(match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
            other => sqlx::Error::Migrate(Box::new(other)),
        })
    })?;
    tx.commit().await.map_err(failed)?;
    Ok(Migrated { from, to })
}

async fn steps(tx: &mut PgConnection, from: i64) -> Result<(), MigrateError> {
    tx.ensure_migrations_table(TABLE).await?;
    for step in MIGRATIONS.iter().filter(|step| step.version > from) {
        tx.apply(TABLE, step).await?;
    }
    Ok(())
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|step| step.version).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_step_is_in_the_program_and_numbered_like_those_of_sqlite() {
        let ours = steps::told(&steps::in_folder("migrations/postgres").await);
        let theirs = steps::told(&steps::in_folder("migrations/sqlite").await);
        assert_eq!(steps::told(&MIGRATIONS), ours);
        let names = |told: Vec<(i64, String, Vec<u8>)>| -> Vec<_> {
            told.into_iter().map(|(number, name, _)| (number, name)).collect()
        };
        assert_eq!(names(ours), names(theirs));
    }
}
