//! Brings a database to the newest schema. Entry n of the list that it is given brings `user_version` from n to n+1.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// The schema's history: entries are only ever appended, never edited.
pub(crate) type Migrations = [&'static str];

pub(super) fn apply(writer: &mut Connection, path: &Path, migrations: &Migrations) -> Result<(), StoreError> {
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    let found: u32 = writer.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(opened)?;
    let known = u32::try_from(migrations.len()).expect("a few migrations");
    if found > known {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known });
    }
    for (version, statements) in (1..).zip(migrations).skip(found as usize) {
        migrate(writer, statements, version).map_err(|source| StoreError::Migrate { version, source })?;
    }
    Ok(())
}

fn migrate(writer: &mut Connection, statements: &str, version: u32) -> Result<(), rusqlite::Error> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}
