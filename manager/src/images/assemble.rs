//! Assembling: blobs that are here become images. What a pull and an import end with: layers are unpacked into
//! snapshots, lowest first, then all images are recorded in one transaction, then events are published.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::configuration::{self, MAX_CONFIGURATION_BYTES};
use super::document::{Descriptor, Document, DocumentError, MAX_DOCUMENT_BYTES, Manifest};
use super::error::ImageError;
use super::handle::{Action, Image, Images};
use super::progress::{Phase, Progress};
use super::records::{self, Record};
use crate::content::{ContentError, Digest};
use crate::error::Chain;
use crate::layers::unpack::{self, UnpackError};
use crate::snapshots::SnapshotError;

/// A manifest in content, and what the image is to be called.
#[derive(Clone, Debug)]
pub(super) struct Assembly {
    /// The manifest's blob.
    pub(super) manifest: Digest,
    /// As it was given; the manifest may not say it itself.
    pub(super) media_type: String,
    /// The index through which it was found, if it is here; kept as long as the image.
    pub(super) index: Option<Digest>,
    /// Full references.
    pub(super) references: Vec<String>,
    /// `name@digest`, from a registry.
    pub(super) repo_digests: Vec<String>,
    /// Pull or load.
    pub(super) action: Action,
}

impl Assembly {
    /// What the image is called in messages.
    fn name(&self) -> String {
        let names = self.references.first().or(self.repo_digests.first());
        names.map_or_else(|| self.manifest.to_string(), Clone::clone)
    }
}

/// An image whose layers are unpacked, ready to be recorded.
#[derive(Debug)]
pub(super) struct Assembled {
    assembly: Assembly,
    record: Record,
    /// Whether a layer was not here before.
    is_new: bool,
}

/// How long a listener may keep a pull waiting with one message; others may want the same layer.
const TELL_LIMIT: Duration = Duration::from_secs(1);

/// One layer on its way from a blob to a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
    pub(super) chain_id: Digest,
    /// The chain id of what it stands on.
    pub(super) below: Option<Digest>,
}

/// Where progress is told; there may be no listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Teller(Option<mpsc::Sender<Progress>>);

impl Teller {
    pub(super) fn to(listener: mpsc::Sender<Progress>) -> Self {
        Self(Some(listener))
    }

    /// A new phase; waits a little for a listener who is slow.
    pub(super) async fn phase(&self, blob: &Descriptor, phase: Phase, current_bytes: u64) {
        if let Some(listener) = &self.0 {
            // A listener who has left is not told, and that is all.
            drop(listener.send_timeout(progress(blob, phase, current_bytes), TELL_LIMIT).await);
        }
    }

    /// A new count; a listener who is slow misses some.
    pub(super) fn count(&self, blob: &Descriptor, phase: Phase, current_bytes: u64) {
        if let Some(listener) = &self.0 {
            drop(listener.try_send(progress(blob, phase, current_bytes)));
        }
    }

    pub(super) async fn resolving(&self, reference: &str) {
        let digest = reference.to_owned();
        let told = Progress { digest, phase: Phase::Resolving, current_bytes: 0, total_bytes: 0 };
        if let Some(listener) = &self.0 {
            drop(listener.send_timeout(told, TELL_LIMIT).await);
        }
    }
}

fn progress(blob: &Descriptor, phase: Phase, current_bytes: u64) -> Progress {
    Progress { digest: blob.digest.to_string(), phase, current_bytes, total_bytes: blob.size_bytes }
}

impl Images {
    /// Unpacks the layers of a manifest whose configuration and layers are in content, all of them leased by the caller.
    /// Nothing is recorded yet.
    ///
    /// # Errors
    /// [`ImageError::Document`], [`ImageError::Unpack`], [`ImageError::WrongLayer`], [`ImageError::Content`],
    /// [`ImageError::Snapshot`], [`ImageError::Store`]. Layers that were unpacked before stay for the next try, or for
    /// the collector.
    pub(super) async fn assemble(
        &self,
        assembly: Assembly,
        teller: &Teller,
    ) -> Result<Assembled, ImageError> {
        let name = assembly.name();
        let manifest = self.manifest(&assembly.manifest, &assembly.media_type, &name).await?;
        let layers = self.layers(&manifest, &name).await?;
        let mut is_new = false;
        for layer in &layers {
            is_new |= self.unpack_layer(layer, teller).await?;
        }
        let record = self.new_record(&assembly, &manifest, &layers).await?;
        Ok(Assembled { assembly, record, is_new })
    }

    /// Records images, all or none, and publishes it. Returns them, each with whether anything is new.
    ///
    /// # Errors
    /// [`ImageError::TooManyNames`], [`ImageError::Store`], [`ImageError::Content`].
    pub(super) async fn record(&self, assembled: Vec<Assembled>) -> Result<Vec<(Image, bool)>, ImageError> {
        let mut records = Vec::with_capacity(assembled.len());
        let mut names: HashMap<Digest, BTreeSet<String>> = HashMap::new();
        for one in &assembled {
            let id = one.record.id.clone();
            let read = self.shared.store.read("look for an image", move |tx| records::by_id(tx, &id));
            let known = read.await?;
            let names = names.entry(one.record.id.clone()).or_default();
            names.extend(known.iter().flat_map(|known| known.references.clone()));
            names.extend(one.record.references.clone());
            super::names::check_count(&one.assembly.name(), names.len())?;
            records.push(self.keep_good_manifest(one.record.clone(), known).await);
        }
        let write = self.shared.store.write("record images", move |tx| {
            records.iter().map(|record| records::save(tx, record)).collect::<Result<Vec<bool>, _>>()
        });
        let are_new = write.await?;
        let mut images = Vec::with_capacity(assembled.len());
        for (one, is_new_record) in assembled.into_iter().zip(are_new) {
            let (name, id) = (one.assembly.name(), one.record.id.to_string());
            images.push((self.resolve(&id).await?, one.is_new || is_new_record));
            self.publish(one.assembly.action, &id, &name);
        }
        Ok(images)
    }

    /// An image that is here keeps the manifest that it was recorded with, as long as all of that is here: another
    /// registry's manifest for the same configuration does not take its place.
    async fn keep_good_manifest(&self, mut record: Record, known: Option<Record>) -> Record {
        if let Some(known) = known.filter(|known| known.manifest != record.manifest)
            && self.is_manifest_whole(&known).await
        {
            record.manifest = known.manifest;
            record.media_type = known.media_type;
            record.compressed_bytes = known.compressed_bytes;
        }
        record
    }

    async fn is_manifest_whole(&self, known: &Record) -> bool {
        let Ok(manifest) = self.manifest(&known.manifest, &known.media_type, known.id.as_str()).await else {
            return false;
        };
        let content = self.shared.content.clone();
        let look = move || {
            let is_here = |blob: &Descriptor| matches!(content.size(&blob.digest), Ok(Some(size)) if size == blob.size_bytes);
            manifest.layers.iter().chain([&manifest.config]).all(is_here)
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }

    pub(super) async fn manifest(
        &self,
        digest: &Digest,
        given: &str,
        name: &str,
    ) -> Result<Manifest, ImageError> {
        let bytes = self.shared.content.read(digest, MAX_DOCUMENT_BYTES).await?;
        match Document::parse(&bytes, given) {
            Ok(Document::Manifest(manifest)) => Ok(manifest),
            Ok(Document::Index(_)) => {
                let error = DocumentError::Unsupported(given.to_owned(), "image manifest");
                Err(ImageError::Document(name.to_owned(), error))
            }
            Err(error) => Err(ImageError::Document(name.to_owned(), error)),
        }
    }

    /// The manifest's layers, with what its configuration says of them.
    pub(super) async fn layers(&self, manifest: &Manifest, name: &str) -> Result<Vec<Layer>, ImageError> {
        let bytes = self.shared.content.read(&manifest.config.digest, MAX_CONFIGURATION_BYTES).await?;
        let (_, diff_ids) = configuration::parse_for(&bytes, manifest.layers.len())
            .map_err(|error| ImageError::Document(name.to_owned(), error))?;
        let chain_ids = configuration::chain_ids(&diff_ids);
        let below = std::iter::once(None).chain(chain_ids.clone().into_iter().map(Some));
        let parts = manifest.layers.iter().zip(diff_ids).zip(chain_ids).zip(below);
        let layers = parts.map(|(((blob, diff_id), chain_id), below)| Layer {
            blob: blob.clone(),
            diff_id,
            chain_id,
            below,
        });
        Ok(layers.collect())
    }

    /// Unpacks the layer into a snapshot on top of its parent's. Returns true if the snapshot is new. Concurrent callers
    /// share one unpack; dropping this future cancels it.
    pub(super) async fn unpack_layer(&self, layer: &Layer, teller: &Teller) -> Result<bool, ImageError> {
        let (images, layer, teller) = (self.clone(), layer.clone(), teller.clone());
        let cancelled = CancellationToken::new();
        let _ends_with_us = cancelled.clone().drop_guard();
        tokio::spawn(async move { images.unpack_in_turn(&layer, &teller, &cancelled).await }).await?
    }

    async fn unpack_in_turn(
        &self,
        layer: &Layer,
        teller: &Teller,
        cancelled: &CancellationToken,
    ) -> Result<bool, ImageError> {
        let shared = &self.shared;
        let _turn = self.turn(&layer.chain_id).lock_owned().await;
        if shared.snapshots.has(&layer.chain_id).await? {
            self.verify_layer(layer, cancelled).await?;
            teller.phase(&layer.blob, Phase::Exists, layer.blob.size_bytes).await;
            return Ok(false);
        }
        teller.phase(&layer.blob, Phase::Unpacking, 0).await;
        let (key, layout) = shared.snapshots.prepare_layer(&layer.chain_id, layer.below.as_ref()).await?;
        let task = unpack::Layer {
            blob: shared.content.open_blob(&layer.blob.digest)?,
            diff_id: &layer.diff_id,
            layout: &layout,
            is_layered: shared.snapshots.is_layered(),
        };
        let count = |bytes| teller.count(&layer.blob, Phase::Unpacking, bytes);
        let unpacked = unpack::unpack(task, cancelled, count).await;
        if let Err(source) = unpacked {
            self.give_up(&key).await;
            self.check_blob(&layer.blob.digest, &source).await?;
            return Err(ImageError::Unpack { digest: layer.blob.digest.clone(), source });
        }
        match shared.snapshots.commit(&key, &layer.chain_id).await {
            Ok(()) | Err(SnapshotError::Exists { .. }) => {}
            Err(error) => {
                self.give_up(&key).await;
                return Err(error.into());
            }
        }
        teller.phase(&layer.blob, Phase::Complete, layer.blob.size_bytes).await;
        Ok(true)
    }

    /// Removes what was unpacked of a layer. The error that ended the unpacking is the one to return.
    async fn give_up(&self, key: &str) {
        if let Err(error) = self.shared.snapshots.remove(key).await {
            tracing::warn!(snapshot = key, error = %Chain(&error), "half a layer stays until the next start");
        }
    }

    /// A blob that does not unpack may have decayed on disk: then it is set aside, and the next pull fetches it again.
    async fn check_blob(&self, digest: &Digest, error: &UnpackError) -> Result<(), ImageError> {
        use knarr_proto::kind::Kind;
        // A damaged blob is corrupt, or looks like something else than a compressed tar.
        if !matches!(error.kind(), Kind::DataLoss | Kind::InvalidArgument) {
            return Ok(());
        }
        let (content, digest) = (self.shared.content.clone(), digest.clone());
        tokio::task::spawn_blocking(move || match content.recheck_blocking(&digest)? {
            true => Ok(()),
            false => Err(ContentError::Damaged(digest).into()),
        })
        .await?
    }

    fn turn(&self, chain_id: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.shared.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(chain_id.clone()).or_default())
    }

    async fn new_record(
        &self,
        assembly: &Assembly,
        manifest: &Manifest,
        layers: &[Layer],
    ) -> Result<Record, ImageError> {
        let mut size_bytes = 0;
        for layer in layers {
            size_bytes += self.shared.snapshots.usage(layer.chain_id.as_str()).await?.size_bytes;
        }
        let blobs = manifest.layers.iter().chain([&manifest.config]);
        let compressed_bytes = blobs.clone().map(|blob| blob.size_bytes).sum();
        let documents = std::iter::once(&assembly.manifest).chain(&assembly.index);
        Ok(Record {
            id: manifest.config.digest.clone(),
            manifest: assembly.manifest.clone(),
            media_type: assembly.media_type.clone(),
            chain_id: layers.last().map(|top| top.chain_id.clone()),
            compressed_bytes,
            size_bytes,
            pulled_at: SystemTime::now(),
            references: assembly.references.clone(),
            repo_digests: assembly.repo_digests.clone(),
            blobs: blobs.map(|blob| &blob.digest).chain(documents).cloned().collect(),
            layers: layers.iter().map(|layer| (layer.blob.digest.clone(), layer.diff_id.clone())).collect(),
        })
    }
}
