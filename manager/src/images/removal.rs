//! Removal: references first, then the image, then what no image needs any more.

use std::collections::HashSet;

use super::records::{self, Record};
use super::{Action, ImageError, Images, parsed};
use crate::content::Digest;

/// Containers named in a refusal; more would not be read.
const MAX_NAMED_CONTAINERS: usize = 5;

/// Which containers use an image, said by whoever asks for its removal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// Running or paused.
    pub(crate) running: Vec<String>,
    /// Created or stopped.
    pub(crate) stopped: Vec<String>,
}

/// What a removal took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// References that name nothing any more.
    pub(crate) untagged: Vec<String>,
    /// Ids, chain ids and blob digests that are gone.
    pub(crate) deleted: Vec<String>,
}

impl Images {
    /// Removes the reference `name`, and the image with its last one; an id removes the image with its only reference
    /// (with `force`, with all of them). `users` says which containers were made from an image's id.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`ImageError::InUse`], [`ImageError::SeveralReferences`]; what [`Images::collect`] says.
    pub(crate) async fn remove(
        &self,
        name: &str,
        force: bool,
        users: impl FnOnce(&Digest) -> Users,
    ) -> Result<Removed, ImageError> {
        let record = self.find(name).await?;
        let untagged = names_to_remove(&record, name, force)?;
        let is_last = untagged.len() == record.references.len();
        if is_last {
            refuse_used(name, force, users(&record.id))?;
        }
        let (id, references) = (record.id.clone(), untagged.clone());
        let is_gone = self
            .shared
            .store
            .for_removal()
            .write("remove an image", move |tx| {
                for reference in &references {
                    records::untag(tx, reference)?;
                }
                // A pull may have given it another name since we looked.
                let left = records::by_id(tx, &id)?.is_some_and(|left| !left.references.is_empty());
                if is_last && !left {
                    records::delete(tx, &id)?;
                }
                Ok(is_last && !left)
            })
            .await?;
        for reference in &untagged {
            self.publish(Action::Untag, reference, reference);
        }
        let mut deleted = Vec::new();
        if is_gone {
            let id = record.id.to_string();
            self.publish(Action::Delete, &id, untagged.first().map_or("", String::as_str));
            deleted.push(id.clone());
            deleted.extend(self.collect().await?.into_iter().filter(|gone| *gone != id));
        }
        Ok(Removed { untagged, deleted })
    }

    /// Is told that one container less stands on the image `id`. If the image was removed in spite of it, what was kept
    /// for its containers goes with the last.
    ///
    /// # Errors
    /// As [`Images::collect`].
    pub(crate) async fn released(&self, id: &str) -> Result<(), ImageError> {
        let Ok(id) = id.parse::<Digest>() else { return Ok(()) };
        let found = self.shared.store.read("look for an image", move |tx| records::by_id(tx, &id)).await?;
        if found.is_none() {
            self.collect().await?;
        }
        Ok(())
    }

    /// Removes the blobs and snapshots that no image, no container and no running pull needs; says which.
    ///
    /// # Errors
    /// [`ImageError::Store`], [`ImageError::Content`], [`ImageError::Snapshot`], [`ImageError::Task`].
    pub(crate) async fn collect(&self) -> Result<Vec<String>, ImageError> {
        let images = self.clone();
        tokio::task::spawn_blocking(move || images.collect_blocking()).await?
    }

    fn collect_blocking(&self) -> Result<Vec<String>, ImageError> {
        let shared = &self.shared;
        let frozen = shared.leases.freeze();
        let (blobs, chains) = shared.store.read_blocking("list what images need", records::needed)?;
        let leased: HashSet<Digest> = frozen.names().cloned().collect();
        let kept: HashSet<Digest> = chains.into_iter().chain(leased.iter().cloned()).collect();
        let mut gone = shared.snapshots.collect_blocking(&kept)?;
        let needed: HashSet<Digest> = blobs.into_iter().chain(leased).collect();
        for digest in shared.content.list()? {
            if !needed.contains(&digest) && shared.content.remove(&digest)? {
                gone.push(digest.to_string());
            }
        }
        drop(frozen);
        Ok(gone)
    }
}

/// The references that removing `name` takes away.
fn names_to_remove(record: &Record, name: &str, force: bool) -> Result<Vec<String>, ImageError> {
    let by_tag = parsed(name)
        .ok()
        .filter(|reference| reference.digest().is_none())
        .map(|reference| reference.to_string())
        .filter(|reference| record.references.contains(reference));
    match by_tag {
        Some(reference) => Ok(vec![reference]),
        None if record.references.len() > 1 && !force => Err(ImageError::SeveralReferences {
            image: name.to_owned(),
            references: record.references.clone(),
        }),
        None => Ok(record.references.clone()),
    }
}

fn refuse_used(name: &str, force: bool, users: Users) -> Result<(), ImageError> {
    let is_running = !users.running.is_empty();
    let mut containers = users.running;
    if !force {
        containers.extend(users.stopped);
    }
    if containers.is_empty() {
        return Ok(());
    }
    containers.truncate(MAX_NAMED_CONTAINERS);
    Err(ImageError::InUse { image: name.to_owned(), containers, running: is_running })
}
