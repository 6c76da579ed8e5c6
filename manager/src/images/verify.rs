//! Verifying a layer whose files are here already: its blob's uncompressed digest is compared without unpacking it.
//! A registry that names a known configuration beside other layers is found out by it.

use std::io::{self, Read};

use tokio_util::sync::CancellationToken;

use super::archive::error::ArchiveError;
use super::archive::input::uncompressed;
use super::assemble::Layer;
use super::error::ImageError;
use super::handle::Images;
use super::records;
use crate::content::{ContentError, Digest, Hasher};

const STEP_BYTES: usize = 1 << 20;

impl Images {
    /// Checks that the layer's blob is what the image's configuration says, unless an image was recorded with both.
    ///
    /// # Errors
    /// [`ImageError::WrongLayer`]; [`ImageError::Content`] when the blob is damaged or gone.
    pub(super) async fn verify_layer(
        &self,
        layer: &Layer,
        cancelled: &CancellationToken,
    ) -> Result<(), ImageError> {
        let (blob, diff_id) = (layer.blob.digest.clone(), layer.diff_id.clone());
        // An uncompressed blob is its own proof.
        if blob == diff_id || self.is_verified(&blob, &diff_id).await? {
            return Ok(());
        }
        let (images, cancelled) = (self.clone(), cancelled.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let found = digest_of_uncompressed(images.shared.content.open_blob(&blob)?, &diff_id, &cancelled);
            match found {
                Ok(found) if found == diff_id => Ok(()),
                // Either the bytes on disk are no longer the blob's, or the blob is not the layer.
                _ if !images.shared.content.recheck_blocking(&blob)? => {
                    Err(ContentError::Damaged(blob).into())
                }
                Ok(found) => Err(ImageError::WrongLayer { digest: blob, expected: diff_id, found }),
                Err(error) => Err(error.into()),
            }
        });
        verified.await?
    }

    async fn is_verified(&self, blob: &Digest, diff_id: &Digest) -> Result<bool, ImageError> {
        let (blob, diff_id) = (blob.clone(), diff_id.clone());
        let read =
            self.shared.store.read("look for a layer", move |tx| records::is_verified(tx, &blob, &diff_id));
        Ok(read.await?)
    }
}

fn digest_of_uncompressed(
    blob: std::fs::File,
    expected: &Digest,
    cancelled: &CancellationToken,
) -> Result<Digest, ArchiveError> {
    let mut input = uncompressed(blob)?;
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; STEP_BYTES];
    loop {
        if cancelled.is_cancelled() {
            return Err(ArchiveError::Left);
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::Read(error)),
        }
    }
}
