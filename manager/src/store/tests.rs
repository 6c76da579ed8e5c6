//! The database by itself, and what becomes of damaged ones.

use std::fs;
use std::path::Path;

use knarr_proto::kind::Kind;

use super::*;

const TABLE: &str = "CREATE TABLE t (x INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;";
const MIGRATIONS: &Migrations = &[TABLE];
const ROWS: i64 = 500;

fn opened() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("knarr.db"), MIGRATIONS).expect("a new database");
    (directory, store)
}

/// A root with rows in its database, a last good copy, and a container's directory.
fn used_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(root.path().join("containers/one")).expect("a directory");
    // Its container came before its database, so this one is replaced already.
    let store = reopened(root.path());
    fill(&store, 0, ROWS);
    store.copy_blocking().expect("a copy");
    root
}

fn fill(store: &Store, from: i64, to: i64) {
    let rows = |tx: &Transaction<'_>| {
        (from..to)
            .try_for_each(|x| tx.execute("INSERT INTO t VALUES (?1, ?2)", (x, "text ".repeat(20))).map(drop))
    };
    store.write_blocking("fill", rows).expect("written");
}

fn count(store: &Store) -> i64 {
    let count = |tx: &Transaction<'_>| tx.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    store.read_blocking("count", count).expect("counted")
}

#[track_caller]
fn reopened(root: &Path) -> Store {
    Store::of_root(root, MIGRATIONS).unwrap_or_else(|error| panic!("{}", crate::error::Chain(&error)))
}

#[test]
fn nothing_is_acknowledged_that_a_deleted_or_replaced_database_would_lose() {
    for (what, has_reader) in [("deleted", true), ("moved", true), ("replaced", true), ("replaced", false)] {
        let (directory, store) = opened();
        fill(&store, 0, 3);
        if has_reader {
            assert_eq!(count(&store), 3);
        }
        let path = directory.path().join("knarr.db");
        match what {
            "deleted" => fs::remove_file(&path).expect("deleted"),
            _ => fs::rename(&path, directory.path().join("elsewhere")).expect("moved"),
        }
        if what == "replaced" {
            fs::copy(directory.path().join("elsewhere"), &path).expect("copied");
        }
        let insert = |tx: &Transaction<'_>| tx.execute("INSERT INTO t VALUES (7, 'x')", []).map(drop);
        for written in [store.write_blocking("add", insert), store.write_unsynced_blocking("add", insert)] {
            let error = written.expect_err(what);
            assert_eq!(error.kind(), Kind::FailedPrecondition, "{what}");
            assert!(error.to_string().contains("start") && error.to_string().contains("knarr.db"), "{error}");
        }
        let delete = |tx: &Transaction<'_>| tx.execute("DELETE FROM t WHERE x = 1", []).map(drop);
        store.for_removal().write_blocking("remove", delete).expect(what);
        match has_reader {
            true => assert_eq!(count(&store), 2, "{what}: what is here can still be read and removed"),
            // Another database must not tell what is to be kept.
            false => {
                let read = store.read_blocking("count", |tx| tx.query_row("SELECT 1", [], |_| Ok(())));
                assert!(matches!(read, Err(StoreError::Gone { .. })), "{what}: {read:?}");
            }
        }
    }
}

#[test]
fn a_database_opens_again_with_the_same_schema() {
    let (directory, store) = opened();
    drop(store);
    Store::open(&directory.path().join("knarr.db"), MIGRATIONS).expect("the same database");
}

#[test]
fn a_database_from_a_newer_daemon_is_refused() {
    let (directory, store) = opened();
    store.write_blocking("pretend", |tx| tx.pragma_update(None, "user_version", 10_000)).expect("set");
    drop(store);
    let error = Store::of_root(directory.path(), MIGRATIONS).err().expect("refused");
    assert!(matches!(error, StoreError::TooNew { found: 10_000, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(!directory.path().join("lost").exists(), "nothing was moved");
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    let (_directory, store) = opened();
    let failed = store
        .write("insert", |tx| {
            tx.execute("INSERT INTO t VALUES (1, '')", [])?;
            tx.execute("INSERT INTO nowhere VALUES (1)", [])
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Query { doing: "insert", .. })), "{failed:?}");
    assert_eq!(count(&store), 0);
}

#[tokio::test]
async fn a_burst_of_reads_keeps_no_more_descriptors_than_a_few() {
    let (directory, store) = opened();
    let reads = (0..100).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let slow = |tx: &Transaction<'_>| {
                std::thread::sleep(Duration::from_millis(2));
                tx.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
            };
            store.read("count slowly", slow).await
        })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.expect("no panic").expect("read");
    }
    let descriptors = fs::read_dir("/proc/self/fd").expect("proc").flatten();
    let ours = descriptors
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(directory.path())));
    // Three files: database, WAL and index; the writer's and four readers'.
    let ours = ours.count();
    assert!(ours <= 15, "{ours} descriptors stay open");
}

#[test]
fn a_read_that_panics_gives_its_connection_back() {
    let (_directory, store) = opened();
    for _ in 0..20 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.read_blocking("panic", |_| -> Result<(), rusqlite::Error> { panic!("as asked") })
        }));
        panicked.expect_err("it panics");
    }
    assert_eq!(count(&store), 0);
}

#[test]
fn a_new_root_has_a_whole_history_and_keeps_it() {
    let root = tempfile::tempdir().expect("a directory");
    for _ in 0..3 {
        assert_eq!(*reopened(root.path()).history(), History::Whole);
    }
}

#[test]
fn a_database_from_before_there_were_lineages_is_taken_as_it_is() {
    let (directory, store) = opened();
    fs::create_dir_all(directory.path().join("containers/one")).expect("a directory");
    fill(&store, 0, 3);
    drop(store);
    let opened = reopened(directory.path());
    assert_eq!((opened.history(), count(&opened)), (&History::Whole, 3));
}

#[test]
fn a_lost_database_comes_back_from_its_copy() {
    type Loss = fn(&Path);
    let losses: [(&str, Loss); 6] = [
        ("missing", |file| fs::remove_file(file).expect("there")),
        ("empty", |file| fs::write(file, "").expect("writable")),
        ("zeros", |file| fs::write(file, vec![0; 64 * 1024]).expect("writable")),
        ("cut in a page", |file| cut(file, 1000)),
        ("cut after a page", |file| cut(file, 4096)),
        ("another file", |file| fs::write(file, "not a database".repeat(1000)).expect("writable")),
    ];
    for (name, lose) in losses {
        let root = used_root();
        let file = root.path().join("knarr.db");
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(root.path().join(format!("knarr.db{suffix}"))).ok();
        }
        lose(&file);
        let opened = reopened(root.path());
        assert!(matches!(*opened.history(), History::Broken(_)), "{name}: {:?}", *opened.history());
        assert_eq!(count(&opened), ROWS, "{name}");
        drop(opened);
        assert_eq!(*reopened(root.path()).history(), History::Whole, "{name}: the next start");
    }
}

fn cut(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(length)).expect("cut");
}

#[test]
fn a_lost_database_without_a_copy_is_no_new_one() {
    let root = used_root();
    for name in ["knarr.db", "knarr.db.copy", "knarr.lineage"] {
        fs::remove_file(root.path().join(name)).expect("there");
    }
    let opened = reopened(root.path());
    assert!(matches!(opened.history(), History::Broken(reason) if reason.contains("is missing")));
}

#[test]
fn a_damaged_page_costs_its_own_rows_at_most() {
    let root = used_root();
    // Checkpointed when the last connection is closed, so that the file has all.
    let file = root.path().join("knarr.db");
    let pages = fs::metadata(&file).expect("there").len() / 4096;
    let original = fs::read(&file).expect("readable");
    for page in 1..pages {
        for name in ["knarr.db-wal", "knarr.db-shm", "knarr.lineage"] {
            fs::remove_file(root.path().join(name)).ok();
        }
        let mut bytes = original.clone();
        let start = usize::try_from(page * 4096).expect("small");
        bytes[start..start + 4096].fill(0);
        fs::write(&file, bytes).expect("writable");
        let opened = reopened(root.path());
        assert_eq!(count(&opened), ROWS, "page {page}: {:?}", *opened.history());
    }
    assert!(fs::read_dir(root.path().join("lost")).expect("kept").count() > 0);
}

#[test]
fn an_older_database_gives_way_to_a_newer_copy() {
    let root = used_root();
    let file = root.path().join("knarr.db");
    let old = fs::read(&file).expect("readable");
    let opened = reopened(root.path());
    fill(&opened, ROWS, ROWS + 7);
    opened.copy_blocking().expect("a copy");
    drop(opened);
    fs::write(&file, old).expect("writable");
    let opened = reopened(root.path());
    assert!(
        matches!(opened.history(), History::Broken(reason) if reason.contains("older")),
        "{:?}",
        *opened.history()
    );
    assert_eq!(count(&opened), ROWS + 7);
}

#[test]
fn an_old_file_beside_a_newer_log_gives_way_to_the_copy() {
    let root = used_root();
    let (file, log) = (root.path().join("knarr.db"), root.path().join("knarr.db-wal"));
    let old = fs::read(&file).expect("readable");
    // Closed, so that the file has what is written here, and the log that is kept has not.
    let opened = reopened(root.path());
    fill(&opened, ROWS, ROWS + 7);
    drop(opened);
    let opened = reopened(root.path());
    fill(&opened, ROWS + 7, ROWS + 9);
    opened.copy_blocking().expect("a copy");
    let newer = fs::read(&log).expect("readable");
    drop(opened);
    fs::write(&file, old).and_then(|()| fs::write(&log, newer)).expect("writable");
    let opened = reopened(root.path());
    assert!(
        matches!(opened.history(), History::Broken(reason) if reason.contains("older")),
        "{:?}",
        *opened.history()
    );
    assert_eq!(count(&opened), ROWS + 9);
}

#[test]
fn a_log_that_was_not_brought_in_when_knarrd_was_killed_is_taken() {
    let root = used_root();
    let (file, log) = (root.path().join("knarr.db"), root.path().join("knarr.db-wal"));
    let opened = reopened(root.path());
    fill(&opened, ROWS, ROWS + 7);
    let (killed_file, killed_log) = (fs::read(&file).expect("readable"), fs::read(&log).expect("readable"));
    drop(opened);
    fs::write(&file, killed_file).and_then(|()| fs::write(&log, killed_log)).expect("writable");
    let opened = reopened(root.path());
    assert_eq!((opened.history(), count(&opened)), (&History::Whole, ROWS + 7));
}

#[test]
fn a_text_that_is_none_is_found_and_comes_from_the_copy() {
    let root = used_root();
    let opened = reopened(root.path());
    let break_one = |tx: &Transaction<'_>| {
        tx.execute("UPDATE t SET text = CAST(x'74c3' AS TEXT) WHERE x = 5", []).map(drop)
    };
    opened.write_blocking("break", break_one).expect("SQLite takes it");
    drop(opened);
    let opened = reopened(root.path());
    assert!(matches!(opened.history(), History::Broken(reason) if reason.contains("row of t")));
    assert_eq!(count(&opened), ROWS);
    let text = |tx: &Transaction<'_>| tx.query_row("SELECT text FROM t WHERE x = 5", [], |row| row.get(0));
    let text: String = opened.read_blocking("read", text).expect("text");
    assert!(text.starts_with("text"), "{text}");
}

#[test]
fn another_roots_database_is_not_taken() {
    let (root, other) = (used_root(), used_root());
    let theirs = reopened(other.path());
    fill(&theirs, ROWS, ROWS + 1);
    drop(theirs);
    fs::copy(other.path().join("knarr.db"), root.path().join("knarr.db")).expect("copied");
    let opened = reopened(root.path());
    assert!(matches!(opened.history(), History::Broken(reason) if reason.contains("another root")));
    assert_eq!(count(&opened), ROWS);
}
