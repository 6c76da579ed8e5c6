//! The images' tables. Plain statements; no files are touched.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Error, OptionalExtension, Row, Transaction, named_params};

use crate::collect::Needed;
use crate::content::Digest;

pub(crate) const SCHEMA_1: &str = "
CREATE TABLE images (
  id TEXT PRIMARY KEY,                               -- digest of the configuration
  manifest TEXT NOT NULL,                            -- digest of the manifest it was last pulled by
  media_type TEXT NOT NULL,                          -- the manifest's
  chain_id TEXT,                                     -- the top snapshot; NULL without layers
  compressed_bytes INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  pulled_at INTEGER NOT NULL                         -- microseconds since 1970
) STRICT, WITHOUT ROWID;
CREATE TABLE image_references (
  reference TEXT PRIMARY KEY,                        -- full, without digest
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX image_references_by_image ON image_references (image);
CREATE TABLE image_repo_digests (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  repo_digest TEXT NOT NULL,                         -- name@digest
  PRIMARY KEY (image, repo_digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE image_blobs (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  PRIMARY KEY (image, digest)
) STRICT, WITHOUT ROWID;
";

/// Which uncompressed digests a layer's blob was found to have: what was not checked by one pull is checked by the next.
pub(crate) const SCHEMA_2: &str = "
CREATE TABLE image_layers (
  image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  blob TEXT NOT NULL,
  diff_id TEXT NOT NULL,
  PRIMARY KEY (image, blob, diff_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layers_by_blob ON image_layers (blob);
";

/// An image's row with what names it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: Digest,
    pub(super) manifest: Digest,
    pub(super) media_type: String,
    pub(super) chain_id: Option<Digest>,
    pub(super) compressed_bytes: u64,
    pub(super) size_bytes: u64,
    pub(super) pulled_at: SystemTime,
    pub(super) references: Vec<String>,
    pub(super) repo_digests: Vec<String>,
    /// Index, manifest, configuration and layers.
    pub(super) blobs: Vec<Digest>,
    /// Layers' blobs with their verified diff_ids; only written.
    pub(super) layers: Vec<(Digest, Digest)>,
}

const COLUMNS: &str =
    "SELECT id, manifest, media_type, chain_id, compressed_bytes, size_bytes, pulled_at FROM images";

fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        manifest: row.get(1)?,
        media_type: row.get(2)?,
        chain_id: row.get(3)?,
        compressed_bytes: row.get::<_, i64>(4)?.unsigned_abs(),
        size_bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        pulled_at: UNIX_EPOCH + Duration::from_micros(row.get::<_, i64>(6)?.unsigned_abs()),
        references: Vec::new(),
        repo_digests: Vec::new(),
        blobs: Vec::new(),
        layers: Vec::new(),
    })
}

fn complete(tx: &Transaction<'_>, mut record: Record) -> rusqlite::Result<Record> {
    let id = &record.id;
    record.references = tx
        .prepare_cached("SELECT reference FROM image_references WHERE image = ?1 ORDER BY reference")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    record.repo_digests = tx
        .prepare_cached("SELECT repo_digest FROM image_repo_digests WHERE image = ?1 ORDER BY repo_digest")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    record.blobs = tx
        .prepare_cached("SELECT digest FROM image_blobs WHERE image = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(record)
}

/// All images. One whose record is damaged is left out, and keeps no other from being listed.
pub(super) fn list(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Record>> {
    let mut records = Vec::new();
    for row in tx.prepare_cached(COLUMNS)?.query_map([], read)? {
        match row.and_then(|record| complete(tx, record)) {
            Ok(record) => records.push(record),
            Err(error @ (Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..))) => {
                tracing::warn!(%error, "an image's record is damaged");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

pub(super) fn count(tx: &Transaction<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM images")?.query_row([], |row| row.get(0))
}

pub(super) fn by_id(tx: &Transaction<'_>, id: &Digest) -> rusqlite::Result<Option<Record>> {
    let found = tx.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?.query_row([id], read).optional()?;
    found.map(|record| complete(tx, record)).transpose()
}

pub(super) fn by_reference(tx: &Transaction<'_>, reference: &str) -> rusqlite::Result<Option<Record>> {
    let id: Option<Digest> = tx
        .prepare_cached("SELECT image FROM image_references WHERE reference = ?1")?
        .query_row([reference], |row| row.get(0))
        .optional()?;
    id.map_or(Ok(None), |id| by_id(tx, &id))
}

/// Every image that was pulled by this `name@digest`.
pub(super) fn by_repo_digest(tx: &Transaction<'_>, repo_digest: &str) -> rusqlite::Result<Vec<Record>> {
    let ids: Vec<Digest> = tx
        .prepare_cached("SELECT image FROM image_repo_digests WHERE repo_digest = ?1 ORDER BY image")?
        .query_map([repo_digest], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let records: Vec<_> = ids.iter().map(|id| by_id(tx, id)).collect::<Result<_, _>>()?;
    Ok(records.into_iter().flatten().collect())
}

/// At most two of the images whose id starts with `prefix` (`sha256:` and digits): one is it, two are ambiguous.
pub(super) fn by_prefix(tx: &Transaction<'_>, prefix: &str) -> rusqlite::Result<Vec<Record>> {
    let records: Vec<Record> = tx
        .prepare_cached(&format!("{COLUMNS} WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2"))?
        .query_map([prefix], read)?
        .collect::<Result<_, _>>()?;
    records.into_iter().map(|record| complete(tx, record)).collect()
}

/// Writes the image's row, adds what names it and what it is made of. Returns true if anything is new.
pub(super) fn save(tx: &Transaction<'_>, record: &Record) -> rusqlite::Result<bool> {
    let known = by_id(tx, &record.id)?;
    let is_known = known.as_ref().is_some_and(|known| {
        known.manifest == record.manifest
            && record.references.iter().all(|reference| known.references.contains(reference))
            && record.repo_digests.iter().all(|digest| known.repo_digests.contains(digest))
    });
    let since_epoch = record.pulled_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO images (id, manifest, media_type, chain_id, compressed_bytes, size_bytes, pulled_at)
         VALUES (:id, :manifest, :media_type, :chain_id, :compressed, :size, :pulled_at)
         ON CONFLICT (id) DO UPDATE SET manifest = :manifest, media_type = :media_type,
           compressed_bytes = :compressed, size_bytes = :size",
    )?
    .execute(named_params! {
        ":id": record.id,
        ":manifest": record.manifest,
        ":media_type": record.media_type,
        ":chain_id": record.chain_id,
        ":compressed": record.compressed_bytes.cast_signed(),
        ":size": record.size_bytes.cast_signed(),
        ":pulled_at": i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
    })?;
    for digest in &record.blobs {
        tx.prepare_cached("INSERT OR IGNORE INTO image_blobs (image, digest) VALUES (?1, ?2)")?
            .execute((&record.id, digest))?;
    }
    for (blob, diff_id) in &record.layers {
        tx.prepare_cached("INSERT OR IGNORE INTO image_layers (image, blob, diff_id) VALUES (?1, ?2, ?3)")?
            .execute((&record.id, blob, diff_id))?;
    }
    for repo_digest in &record.repo_digests {
        tx.prepare_cached("INSERT OR IGNORE INTO image_repo_digests (image, repo_digest) VALUES (?1, ?2)")?
            .execute((&record.id, repo_digest))?;
    }
    for reference in &record.references {
        tag(tx, &record.id, reference)?;
    }
    Ok(!is_known)
}

/// Whether this blob was found to have this uncompressed digest, for some image.
pub(super) fn is_verified(tx: &Transaction<'_>, blob: &Digest, diff_id: &Digest) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM image_layers WHERE blob = ?1 AND diff_id = ?2)")?
        .query_row([blob, diff_id], |row| row.get(0))
}

/// Gives the image a reference, taking it from the image that had it.
pub(super) fn tag(tx: &Transaction<'_>, id: &Digest, reference: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO image_references (reference, image) VALUES (?1, ?2)
         ON CONFLICT (reference) DO UPDATE SET image = ?2",
    )?
    .execute((reference, id))?;
    Ok(())
}

pub(super) fn untag(tx: &Transaction<'_>, reference: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM image_references WHERE reference = ?1")?.execute([reference])?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, id: &Digest) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM images WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Every blob and every snapshot that some image needs.
pub(crate) fn needed(tx: &Transaction<'_>) -> rusqlite::Result<Needed> {
    let column = |statement: &str| -> rusqlite::Result<Vec<Digest>> {
        tx.prepare_cached(statement)?.query_map([], |row| row.get(0))?.collect()
    };
    Ok(Needed {
        blobs: column("SELECT DISTINCT digest FROM image_blobs")?,
        snapshots: column("SELECT DISTINCT chain_id FROM images WHERE chain_id IS NOT NULL")?,
    })
}
