//! The steps that a schema is made in, each a file that is part of the program.
//!
//! Invariant: a step is told by its number and a hash of its text, and never changes once it was
//! released.

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// A step: its number and name, as its file has them, and its text.
pub(super) type Step = (i64, &'static str, &'static str);

/// All steps of a schema.
pub(super) fn all(steps: impl IntoIterator<Item = Step>) -> Migrator {
    let made = steps.into_iter().map(|(number, name, text)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(made.collect())
}

/// What tells the steps apart: number, name, hash.
#[cfg(test)]
pub(super) fn told(steps: &Migrator) -> Vec<(i64, String, Vec<u8>)> {
    let told = steps.iter().map(|step| {
        (step.version, step.description.clone().into_owned(), step.checksum.clone().into_owned())
    });
    told.collect()
}

/// The steps whose files lie in this folder of the package.
#[cfg(test)]
pub(super) async fn in_folder(folder: &str) -> Migrator {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    Migrator::new(folder).await.unwrap()
}
