//! Taking images from an archive: everything is read and checked, then every layer is unpacked, and only then is any
//! image recorded. So an archive is taken whole or leaves nothing.

use std::sync::Arc;

use super::archived::{ArchivedImage, Finder};
use super::input::Output;
use super::intake::Intake;
use crate::collect::Lease;
use crate::content::Digest;
use crate::error::Chain;
use crate::images::assemble::{Assembly, Teller};
use crate::images::error::ImageError;
use crate::images::handle::{Action, Images};
use crate::images::platform::Platform;

/// An image that came in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) id: Digest,
    /// What the archive calls it; it may have had other references before.
    pub(crate) references: Vec<String>,
}

impl Images {
    /// Makes the images of an archive, under the references it has for them; those alone are in what is returned. With
    /// `platform`, only those for it. Given up when the archive's sender leaves before its end.
    ///
    /// # Errors
    /// [`ImageError::Archive`], [`ImageError::Document`], [`ImageError::Reference`] when the archive is wrong; what
    /// `assemble` says. Nothing is kept then.
    pub(crate) async fn import(
        &self,
        archive: Output,
        platform: Option<Platform>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let images = self.clone();
        // In a task of its own: should the caller leave, what came in has to be swept all the same.
        let importing = tokio::spawn(async move {
            let lease = Arc::new(images.shared.collector.lease());
            let imported = images.take_in(archive, platform, &lease).await;
            drop(lease);
            if let Err(error) = images.collect().await {
                tracing::warn!(error = %Chain(&error), "what an archive left was not collected");
            }
            imported
        });
        importing.await?
    }

    async fn take_in(
        &self,
        archive: Output,
        platform: Option<Platform>,
        lease: &Arc<Lease>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let (content, held) = (self.shared.content.clone(), Arc::clone(lease));
        let found = tokio::task::spawn_blocking(move || {
            let intake = Intake::read(archive, &content, &held)?;
            let finder =
                Finder { intake: &intake, content: &content, lease: &held, platform: platform.as_ref() };
            finder.images()
        });
        let found = found.await??;
        let teller = Teller::default();
        let mut assembled = Vec::with_capacity(found.len());
        for image in &found {
            for layer in self.layers(&image.manifest, image.manifest_digest.as_str()).await? {
                lease.add(&layer.chain_id);
            }
            assembled.push(self.assemble(assembly(image), &teller).await?);
        }
        let mut loaded = Vec::with_capacity(found.len());
        for ((image, _), archived) in self.record(assembled).await?.into_iter().zip(&found) {
            loaded.push(Loaded { id: image.id, references: archived.names() });
        }
        Ok(loaded)
    }
}

fn assembly(image: &ArchivedImage) -> Assembly {
    Assembly {
        manifest: image.manifest_digest.clone(),
        media_type: image.media_type.clone(),
        index: None,
        references: image.names(),
        repo_digests: Vec::new(),
        action: Action::Load,
    }
}
