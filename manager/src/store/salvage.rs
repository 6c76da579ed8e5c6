//! Makes a new database of what can be read of others. They are only read: rows that cannot be are left out, and what
//! the first one has lost, the next one fills.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{Migrations, StoreError, migrate};

/// Never makes a file; a WAL beside it can only be read by one that may write.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Reads the databases `sources` in this order into a new one at `path`, which must not be there. Returns how many rows
/// it has.
pub(super) fn salvage(
    path: &Path,
    sources: &[PathBuf],
    migrations: &Migrations,
) -> Result<usize, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut new = Connection::open(path).map_err(failed)?;
    // Rows are read in the schema that they were written in, and brought to ours with the rest of the database.
    let known = migrations.len();
    let schema = sources.iter().find_map(|source| schema(source)).filter(|schema| *schema <= known);
    migrate::apply(&mut new, path, &migrations[..schema.unwrap_or(known)])?;
    new.pragma_update(None, "foreign_keys", "OFF").map_err(failed)?;
    new.execute_batch("BEGIN").map_err(failed)?;
    let tables = names(&new, "SELECT name FROM sqlite_schema WHERE type = 'table'").map_err(failed)?;
    let mut rows = 0;
    for table in tables {
        for source in sources {
            let (count, all) = copy_table(&new, source, &table).map_err(failed)?;
            rows += count;
            // A database that still tells all of a table knows best what is not in it any more.
            if all {
                break;
            }
        }
    }
    new.execute_batch("COMMIT").map_err(failed)?;
    migrate::apply(&mut new, path, migrations)?;
    Ok(rows)
}

/// The schema that a database says it has.
fn schema(source: &Path) -> Option<usize> {
    let database = Connection::open_with_flags(source, FLAGS).ok()?;
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).ok()?;
    usize::try_from(version).ok().filter(|version| *version > 0)
}

/// Copies what can be read of a table, and says whether that was all of it.
fn copy_table(new: &Connection, source: &Path, table: &str) -> Result<(usize, bool), rusqlite::Error> {
    let Ok(old) = Connection::open_with_flags(source, FLAGS) else { return Ok((0, false)) };
    let columns = names(new, &format!("SELECT name FROM pragma_table_info('{table}')"))?;
    let list = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({list}) VALUES ({marks})");
    let (mut count, mut is_all) = (0, true);
    // From the other end, too: a damaged page in the middle hides only itself.
    for order in ["ASC", "DESC"] {
        let key = columns.first().map_or("1", String::as_str);
        let select = format!("SELECT {list} FROM {table} NOT INDEXED ORDER BY {key} {order}");
        let Ok(mut statement) = old.prepare(&select) else { return Ok((count, false)) };
        let Ok(mut rows) = statement.query([]) else { return Ok((count, false)) };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values: Result<Vec<rusqlite::types::Value>, _> =
                        (0..columns.len()).map(|column| row.get(column)).collect();
                    let Ok(values) = values else {
                        is_all = false;
                        continue;
                    };
                    // A row that no longer fits the schema is a damaged one.
                    count += new.execute(&insert, rusqlite::params_from_iter(values)).unwrap_or(0);
                }
                Ok(None) => return Ok((count, is_all && order == "ASC")),
                Err(_) => break,
            }
        }
    }
    Ok((count, false))
}

pub(super) fn names(database: &Connection, query: &str) -> Result<Vec<String>, rusqlite::Error> {
    database.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}
