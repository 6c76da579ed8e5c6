//! Removal: references first, then the image, then what no image needs any more.

use super::error::ImageError;
use super::handle::{Action, Images, Match};
use super::records;
use crate::content::Digest;
use crate::error::Chain;

/// Containers named in a refusal; more would not be read.
const MAX_NAMED_CONTAINERS: usize = 5;

/// Which containers use an image, as the caller of a removal knows it.
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
    /// As [`Images::resolve`]; [`ImageError::InUse`], [`ImageError::SeveralReferences`]; [`ImageError::Store`].
    pub(crate) async fn remove(
        &self,
        name: &str,
        force: bool,
        users: impl FnOnce(&Digest) -> Users,
    ) -> Result<Removed, ImageError> {
        let found = self.find(name, None).await?;
        let untagged = names_to_remove(&found, name, force)?;
        let record = found.record;
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
        let id = record.id.to_string();
        for reference in &untagged {
            self.publish(Action::Untag, &id, reference);
        }
        let mut deleted = Vec::new();
        if is_gone {
            self.publish(Action::Delete, &id, untagged.first().map_or("", String::as_str));
            deleted.push(id.clone());
            match self.collect().await {
                Ok(gone) => deleted.extend(gone.into_iter().filter(|gone| *gone != id)),
                // The image is removed all the same; the next collection tries again.
                Err(error) => {
                    tracing::warn!(image = id, error = %Chain(&error), "what an image left was not collected");
                }
            }
        }
        Ok(Removed { untagged, deleted })
    }

    /// Is told that one container less stands on the image `id`. If the image was removed in spite of it, what was kept
    /// for its containers goes with the last.
    ///
    /// # Errors
    /// [`ImageError::Store`], [`ImageError::Collect`].
    pub(crate) async fn released(&self, id: &str) -> Result<(), ImageError> {
        let Ok(id) = id.parse::<Digest>() else { return Ok(()) };
        let found = self.shared.store.read("look for an image", move |tx| records::by_id(tx, &id)).await?;
        if found.is_none() {
            self.collect().await?;
        }
        Ok(())
    }

    /// Removes the blobs and snapshots that nothing needs; returns their names.
    ///
    /// # Errors
    /// [`ImageError::Collect`].
    pub(crate) async fn collect(&self) -> Result<Vec<String>, ImageError> {
        Ok(self.shared.collector.collect().await?)
    }
}

/// The references that removing `name` takes away: the one that it is, or all of an image that it names by id.
fn names_to_remove(found: &Match, name: &str, force: bool) -> Result<Vec<String>, ImageError> {
    let references = &found.record.references;
    match &found.reference {
        Some(reference) => Ok(vec![reference.clone()]),
        None if references.len() > 1 && !force => {
            Err(ImageError::SeveralReferences { image: name.to_owned(), references: references.clone() })
        }
        None => Ok(references.clone()),
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
