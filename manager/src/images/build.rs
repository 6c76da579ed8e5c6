//! Images that are made here: a configuration and layers, some of them another image's.

use serde_json::{Value, json};

use super::assemble::{Assembly, Teller};
use super::configuration::MAX_CONFIGURATION_BYTES;
use super::document::{Descriptor, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use super::error::ImageError;
use super::handle::{Action, Image, Images};
use super::names::new_name;
use crate::collect::Lease;
use crate::content::Digest;

/// A layer that was made here: an uncompressed blob, which its diff_id names, and a snapshot of its chain id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewLayer {
    pub(crate) diff_id: Digest,
    pub(crate) size_bytes: u64,
}

/// An image to make. The blobs of its layers are in content and leased by the caller, as are their snapshots.
#[derive(Clone, Debug)]
pub(crate) struct NewImage {
    /// The image whose layers are below the new ones.
    pub(crate) base: Option<Digest>,
    pub(crate) layers: Vec<NewLayer>,
    /// The configuration as JSON; it names all layers.
    pub(crate) config: Vec<u8>,
    /// References, as people write them.
    pub(crate) references: Vec<String>,
}

impl Images {
    /// The configuration of an image that is here, as its builder wrote it.
    ///
    /// # Errors
    /// [`ImageError::Content`] when it is damaged.
    pub(crate) async fn raw_configuration(&self, id: &Digest) -> Result<Vec<u8>, ImageError> {
        Ok(self.shared.content.read(id, MAX_CONFIGURATION_BYTES).await?)
    }

    /// The reference that `text` means in full.
    ///
    /// # Errors
    /// [`ImageError::Reference`].
    pub(crate) fn full_reference(text: &str) -> Result<String, ImageError> {
        let reference = new_name(text)?;
        match reference.digest() {
            Some(_) => Err(ImageError::TagWithDigest(reference.to_string())),
            None => Ok(reference.to_string()),
        }
    }

    /// Makes and records an image.
    ///
    /// # Errors
    /// [`ImageError`]; nothing is recorded then.
    pub(crate) async fn make(&self, new: NewImage, lease: &Lease) -> Result<Image, ImageError> {
        let mut layers = match &new.base {
            Some(base) => self.base_layers(base).await?,
            None => Vec::new(),
        };
        layers.extend(new.layers.iter().map(|layer| described(OCI_LAYER, &layer.diff_id, layer.size_bytes)));
        let references = new.references.iter().map(|text| Self::full_reference(text));
        let references = references.collect::<Result<Vec<_>, _>>()?;
        let config = Digest::of(&new.config);
        lease.add(&config);
        let described_config = described(OCI_CONFIG, &config, new.config.len() as u64);
        self.shared.content.put(new.config).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described_config,
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        lease.add(&digest);
        self.shared.content.put(manifest).await?;
        let assembly = Assembly {
            manifest: digest,
            media_type: OCI_MANIFEST.to_owned(),
            index: None,
            references,
            repo_digests: Vec::new(),
            action: Action::Tag,
        };
        let assembled = self.assemble(assembly, &Teller::default()).await?;
        let recorded = self.record(vec![assembled]).await?;
        Ok(recorded.into_iter().next().expect("one image was recorded").0)
    }

    /// The descriptors of an image's layers.
    async fn base_layers(&self, id: &Digest) -> Result<Vec<Value>, ImageError> {
        let record = self.find(id.as_str(), None).await?.record;
        let manifest = self.manifest(&record.manifest, &record.media_type, id.as_str()).await?;
        let described = |blob: &Descriptor| described(&blob.media_type, &blob.digest, blob.size_bytes);
        Ok(manifest.layers.iter().map(described).collect())
    }
}

fn described(media_type: &str, digest: &Digest, size_bytes: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size_bytes})
}
