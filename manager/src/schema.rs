//! The schema's history: what each noun keeps in the database, in the order in which it came. Entries are only ever
//! appended, never edited: entry n brings a database from schema n to n+1.

use crate::store::Migrations;
use crate::{builds, containers, images, networks, snapshots, volumes};

pub(crate) const MIGRATIONS: &Migrations = &[
    snapshots::SCHEMA_1,
    images::SCHEMA_1,
    containers::SCHEMA_1,
    images::SCHEMA_2,
    containers::SCHEMA_2,
    builds::SCHEMA_1,
    builds::SCHEMA_2,
    volumes::SCHEMA_1,
    networks::SCHEMA_1,
];
