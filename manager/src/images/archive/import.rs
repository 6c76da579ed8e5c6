//! Taking images from an archive: everything is read and checked, then every layer is unpacked, and only then is any
//! image recorded. So an archive is taken whole or leaves nothing.

use std::sync::Arc;

use super::found::{Finder, Found};
use super::input::Output;
use super::intake::Intake;
use crate::content::Digest;
use crate::error::Chain;
use crate::images::assemble::{Assembly, Teller};
use crate::images::leases::Lease;
use crate::images::{Action, ImageError, Images, Platform};

/// An image that came in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) id: Digest,
    /// What the archive calls it; it may have had other references before.
    pub(crate) references: Vec<String>,
}

impl Images {
    /// Makes the images of an archive, under the references it has for them. With `platform`, only those for it.
    /// Given up when the archive's sender leaves before its end.
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
        // Apart from the caller, who may leave: what came in has to be swept then.
        let importing = tokio::spawn(async move {
            let lease = Arc::new(images.shared.leases.lease());
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
        for image in &found {
            for layer in self.layers(&image.manifest, image.manifest_digest.as_str()).await? {
                lease.add(&layer.chain_id);
                self.unpack_layer(&layer, &teller).await?;
            }
        }
        let mut loaded = Vec::with_capacity(found.len());
        for image in found {
            let assembly = assembly(image);
            let references = assembly.references.clone();
            let image = self.assemble(assembly, &teller).await?.0;
            loaded.push(Loaded { id: image.id, references });
        }
        Ok(loaded)
    }
}

fn assembly(found: Found) -> Assembly {
    Assembly {
        manifest: found.manifest_digest,
        media_type: found.media_type,
        index: None,
        references: found.references.iter().map(ToString::to_string).collect(),
        repo_digests: Vec::new(),
        action: Action::Load,
    }
}
