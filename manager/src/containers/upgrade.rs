//! The form that containers' records had before `Spec` and `Settings`, brought to ours: in the table by a migration, in the
//! bundles when they are read. One set of expressions does both. It is never edited: what later versions add, they add
//! with a default.

use knarr_proto::id::ContainerId;
use rusqlite::Connection;

use super::spec::Record;

/// The spec of the JSON in the column `identity`. Missing members are left out, which is what serde's defaults are for.
macro_rules! spec_of_identity {
    () => {
        "json_patch('{}', json_object(
    'id', identity -> '$.id',
    'created_at', identity -> '$.created_at',
    'image', json_object('reference', identity -> '$.config.image', 'id', identity -> '$.image_id'),
    'asked', json_object(
        'entrypoint', identity -> '$.config.entrypoint',
        'command', identity -> '$.config.command',
        'env', identity -> '$.config.env',
        'working_dir', identity -> '$.config.working_dir',
        'user', identity -> '$.config.user',
        'group_add', identity -> '$.config.group_add'),
    'process', json_object(
        'args', identity -> '$.process.args',
        'env', identity -> '$.process.env',
        'working_dir', identity -> '$.process.working_dir',
        'user', identity -> '$.process.user',
        'group_add', identity -> '$.config.group_add'),
    'streams', json_object(
        'tty', identity -> '$.config.tty',
        'open_stdin', identity -> '$.config.open_stdin',
        'stdin_once', identity -> '$.config.stdin_once',
        'terminal_size', identity -> '$.config.terminal_size'),
    'files', json_object(
        'read_only_rootfs', identity -> '$.config.read_only_rootfs',
        'mounts', json((SELECT json_group_array(json(mount)) FROM (
            SELECT value AS mount FROM json_each(identity, '$.config.mounts') WHERE type = 'object'
            UNION ALL
            SELECT json_object('kind', json('{\"volume\":{}}'), 'target', value, 'read_only', json('false'))
            FROM json_each(identity, '$.process.volumes') WHERE type = 'text')))),
    'isolation', json_object(
        'hostname', identity -> '$.config.hostname',
        'network', identity -> '$.config.network',
        'privileged', identity -> '$.config.privileged',
        'no_new_privileges', identity -> '$.config.no_new_privileges',
        'cap_add', identity -> '$.config.cap_add',
        'cap_drop', identity -> '$.config.cap_drop',
        'sysctls', identity -> '$.config.sysctls',
        'ulimits', identity -> '$.config.ulimits')))"
    };
}

/// The settings of the JSON in the column `identity`.
macro_rules! settings_of_identity {
    () => {
        "json_patch('{}', json_object(
    'name', identity -> '$.name',
    'labels', identity -> '$.config.labels',
    'resources', identity -> '$.config.resources',
    'stop', json_object(
        'signal', identity -> '$.process.stop_signal',
        'asked_signal', identity -> '$.config.stop_signal',
        'timeout_seconds', identity -> '$.config.stop_timeout_seconds'),
    'auto_remove', identity -> '$.config.auto_remove'))"
    };
}

/// The second schema: what never changes apart from what verbs change. What cannot be read of a row is kept as it is,
/// so that only that container is damaged.
pub(crate) const SCHEMA_2: &str = concat!(
    "
CREATE TABLE new_containers (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    image    TEXT NOT NULL,
    phase    TEXT NOT NULL,
    spec     TEXT NOT NULL,
    settings TEXT NOT NULL,
    life     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_containers
    SELECT id, name,
        CASE WHEN json_valid(identity) THEN coalesce(identity ->> '$.config.image', '') ELSE '' END,
        phase,
        CASE WHEN json_valid(identity) THEN ",
    spec_of_identity!(),
    " ELSE identity END,
        CASE WHEN json_valid(identity) THEN ",
    settings_of_identity!(),
    " ELSE '' END,
        life
    FROM containers;
DROP TABLE containers;
ALTER TABLE new_containers RENAME TO containers;"
);

/// Reads the copy of a record that an earlier version left in its bundle.
pub(super) fn record(id: &ContainerId, identity: &str) -> Option<Record> {
    let query = concat!(
        "SELECT ",
        spec_of_identity!(),
        ", ",
        settings_of_identity!(),
        " FROM (SELECT ?1 AS identity) WHERE json_valid(identity)"
    );
    let read = Connection::open_in_memory().and_then(|database| {
        database.query_row(query, [identity], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
    });
    let (spec, settings) = read.ok()?;
    let record =
        Record { spec: serde_json::from_str(&spec).ok()?, settings: serde_json::from_str(&settings).ok()? };
    (record.spec.id == *id).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::super::records;
    use super::super::spec::{Settings, Spec, StopSettings};
    use super::*;
    use crate::schema;
    use crate::store::Store;
    use crate::tasks::plan::{Mount, MountKind, NetworkMode};

    /// Rows as knarr wrote them before: the whole of one, and one of an early version with less in it.
    const WHOLE: &str = include_str!("upgrade/identity.json");
    const EARLY: &str = r#"{"id":"early","name":"early","image_id":"sha256:1","created_at":5,"config":{"image":"a"},
        "process":{"args":["x"],"env":[],"working_dir":"/","user":"","stop_signal":15,"volumes":[]}}"#;
    const LIFE: &str = r#"{"phase":"running","pid":7,"started_at":9,"exit":null,"boot_id":"b","ends":2}"#;

    /// What a database of the version before makes of these identities, by id and name.
    fn upgraded(rows: &[(&str, &str)]) -> Vec<records::Row> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("knarr.db");
        drop(Store::open(&path, &schema::MIGRATIONS[..4]).expect("the version before"));
        let database = Connection::open(&path).expect("a database");
        for (id, identity) in rows {
            let insert =
                "INSERT INTO containers (id, name, phase, identity, life) VALUES (?1, ?1, 'running', ?2, ?3)";
            database.execute(insert, [*id, *identity, LIFE]).expect("a row");
        }
        drop(database);
        let store = Store::open(&path, schema::MIGRATIONS).expect("an upgrade is no error");
        store.read_blocking("read the containers", records::all).expect("the new table")
    }

    #[test]
    fn a_row_of_the_version_before_says_the_same() {
        let row = upgraded(&[("whole", WHOLE)]).pop().expect("a row");
        let read = row.record.expect("it can be read");
        let Record { spec, settings } = &read;
        assert_eq!((spec.id.as_str(), spec.created_at.0), ("whole", 1_795_428_000_123_456_789));
        assert_eq!((spec.image.reference.as_str(), spec.image.id.as_str()), ("docker.io/a:1", "sha256:abc"));
        assert_eq!(spec.asked.entrypoint.as_deref(), Some(&[][..]), "cleared is not absent");
        assert_eq!(
            (spec.asked.command.as_slice(), spec.process.args.as_slice()),
            (&["run".into()][..], &["run".into(), "all".into()][..])
        );
        assert_eq!((spec.asked.user.as_str(), spec.process.user.as_str()), ("", "of-the-image"));
        assert_eq!(spec.process.group_add, ["44"]);
        assert!(spec.streams.tty && spec.streams.open_stdin && !spec.streams.stdin_once);
        assert_eq!(spec.streams.terminal_size.map(|size| size.columns), Some(80));
        let tmpfs = Mount {
            kind: MountKind::Tmpfs { size_bytes: u64::MAX, mode: 448 },
            target: "/t".into(),
            read_only: true,
        };
        let inside =
            |target: &str| Mount { kind: MountKind::Volume {}, target: target.into(), read_only: false };
        assert_eq!(spec.files.mounts, [tmpfs, inside("/data"), inside("/var/lib")]);
        assert_eq!(spec.isolation.sharing.network, NetworkMode::Host);
        assert_eq!(spec.isolation.ulimits[0].hard, u64::MAX);
        assert_eq!(spec.isolation.sysctls["kernel.msgmax"], "5");
        assert_eq!(settings.labels["a \"b\""], "c\u{1F980}\n");
        assert_eq!(settings.resources.memory.memory_bytes, 1 << 40);
        let stop = StopSettings { signal: 10, asked_signal: "USR1".into(), timeout_seconds: Some(0) };
        assert_eq!((settings.name.as_str(), &settings.stop, settings.auto_remove), ("whole", &stop, true));
        assert_eq!((row.life.expect("a life").ends, row.phase.as_str()), (2, "running"));
        // The copy in the bundle is brought to the same, and what we write of it is read again.
        assert_eq!(record(&spec.id, WHOLE).as_ref(), Some(&read));
        let json = |value: serde_json::Result<String>| value.expect("JSON");
        let spec_again: Spec = serde_json::from_str(&json(serde_json::to_string(spec))).expect("a spec");
        let settings_again: Settings =
            serde_json::from_str(&json(serde_json::to_string(settings))).expect("settings");
        assert_eq!((&spec_again, &settings_again), (spec, settings));
    }

    #[test]
    fn a_row_of_an_early_version_gets_the_defaults() {
        let early = upgraded(&[("early", EARLY)]).pop().expect("a row").record.expect("it can be read");
        assert_eq!(early.spec.asked.entrypoint, None);
        assert_eq!((early.settings.stop.signal, early.settings.stop.timeout_seconds), (15, None));
        assert!(early.spec.files.mounts.is_empty() && !early.settings.auto_remove);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_kept_and_disturbs_no_other() {
        let damaged = [
            "",
            "{",
            "null",
            "[]",
            "7",
            "{}",
            r#"{"id":{},"config":7,"process":null}"#,
            r#"{"id":"d","name":"d","config":{"mounts":["a",null,{}],"image":[1]},"process":{"volumes":[1,{},null]}}"#,
            "{\"id\":\"\u{FFFD}",
        ];
        let ids: Vec<String> = (0..damaged.len()).map(|number| format!("damaged-{number}")).collect();
        let mut rows: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(damaged).collect();
        rows.push(("early", EARLY));
        let read = upgraded(&rows);
        assert_eq!(read.len(), rows.len());
        for row in read {
            assert_eq!(row.record.is_ok(), row.id == "early", "{}", row.id);
            assert_eq!(row.life.expect("untouched").ends, 2);
        }
        for identity in damaged {
            assert_eq!(record(&"d".parse().expect("an id"), identity), None, "{identity:?}");
        }
    }
}
