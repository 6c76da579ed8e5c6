//! Pulling: reference → index → manifest → configuration and layers. Layers come side by side and are unpacked in their
//! order, each as soon as it is here. What is here already is not fetched; what came in is kept when a pull ends early.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::assemble::{Assembly, Layer, Teller};
use super::configuration::{self, MAX_CONFIGURATION_BYTES};
use super::document::{Descriptor, Document, DocumentError, MAX_DOCUMENT_BYTES, MAX_INDEX_DEPTH, Manifest};
use super::error::ImageError;
use super::handle::{Action, Image, Images};
use super::platform::Platform;
use super::progress::{Phase, Progress};
use super::reference::Reference;
use super::registry::credentials::Credentials;
use super::registry::error::RegistryError;
use super::registry::manifest::{By, Fetched};
use super::registry::session::Session;
use crate::collect::Lease;
use crate::content::{Claim, ContentError, Digest, Origin};

/// Layers that come at a time, as docker has it.
const MAX_DOWNLOADS: usize = 3;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub(crate) struct PullRequest {
    /// What the registry calls it.
    pub(crate) reference: Reference,
    /// For which platform; this machine's when `None`.
    pub(crate) platform: Option<Platform>,
    /// For this pull only; otherwise docker's configuration is asked.
    pub(crate) auth: Option<Credentials>,
}

/// What was pulled.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    /// The image, unpacked.
    pub(crate) image: Image,
    /// What the reference named in the registry: a manifest or an index.
    pub(crate) digest: Digest,
    /// Whether anything changed here.
    pub(crate) changed: bool,
}

/// The manifest that a reference was resolved to.
struct ResolvedManifest {
    manifest: Manifest,
    digest: Digest,
    media_type: String,
    /// What the reference named: the manifest, or an index.
    top: Digest,
}

/// One pull: what all of its steps need.
#[derive(Clone)]
struct Pull {
    images: Images,
    session: Arc<Session>,
    origin: Origin,
    lease: Arc<Lease>,
    teller: Teller,
}

impl Images {
    /// Brings an image here and unpacks it. `progress` is told on the way. When the future is dropped the pull ends,
    /// and goes on the next time where it was.
    ///
    /// # Errors
    /// [`ImageError::Registry`], [`ImageError::Blob`], [`ImageError::NoPlatform`], [`ImageError::Document`], and as for
    /// unpacking.
    pub(crate) async fn pull(
        &self,
        request: PullRequest,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Pulled, ImageError> {
        let name = request.reference.to_string();
        if request.reference.digest().is_none() {
            request.reference.check_is_no_id().map_err(|source| super::names::wrong(&name, source))?;
        }
        let teller = Teller::to(progress);
        teller.resolving(&name).await;
        let session = self.shared.registries.session(&request.reference, request.auth);
        let session = session.map_err(|source| ImageError::Registry { reference: name.clone(), source })?;
        let pull = Pull {
            images: self.clone(),
            session: Arc::new(session),
            origin: Origin::repository(&request.reference.name()),
            lease: Arc::new(self.shared.collector.lease()),
            teller,
        };
        let resolved = pull.resolve(&request.reference, request.platform.as_ref(), &name).await?;
        let is_new = pull.download(&resolved, request.platform.as_ref(), &name).await?;
        let references = match (request.reference.tag(), request.reference.digest()) {
            (Some(tag), None) => vec![format!("{}:{tag}", request.reference.name())],
            // A tag beside a digest is a comment.
            _ => Vec::new(),
        };
        let assembly = Assembly {
            manifest: resolved.digest.clone(),
            media_type: resolved.media_type,
            index: Some(resolved.top.clone()).filter(|top| *top != resolved.digest),
            references,
            repo_digests: vec![format!("{}@{}", request.reference.name(), resolved.top)],
            action: Action::Pull,
        };
        // What happens to the layers was told already.
        let assembled = self.assemble(assembly, &Teller::default()).await?;
        let recorded = self.record(vec![assembled]).await?.pop();
        let (image, is_new_here) = recorded.expect("one image was recorded");
        Ok(Pulled { image, digest: resolved.top, changed: is_new || is_new_here })
    }
}

impl Pull {
    /// Follows the reference, and indexes, down to one manifest.
    async fn resolve(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        name: &str,
    ) -> Result<ResolvedManifest, ImageError> {
        let wrong = |error| ImageError::Document(name.to_owned(), error);
        let by = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => By::Digest(digest),
            (None, tag) => By::Tag(tag.expect("a reference has a digest or a tag")),
        };
        let fetched = self.session.manifest(by).await;
        let mut fetched =
            fetched.map_err(|source| ImageError::Registry { reference: name.to_owned(), source })?;
        let top = fetched.digest.clone();
        for _ in 0..=MAX_INDEX_DEPTH {
            let document = Document::parse(&fetched.bytes, &fetched.media_type).map_err(wrong)?;
            let (digest, media_type) = (fetched.digest.clone(), fetched.media_type.clone());
            self.keep_document(fetched).await?;
            match document {
                Document::Manifest(manifest) => {
                    return Ok(ResolvedManifest { manifest, digest, media_type, top });
                }
                Document::Index(entries) => {
                    let entry = choose(entries, platform, name)?;
                    fetched = self.document(&entry, name).await?;
                }
            }
        }
        let (what, limit) = ("indexes in each other", MAX_INDEX_DEPTH as u64);
        Err(wrong(DocumentError::TooMany { what, count: limit + 1, limit }))
    }

    /// A document that an index names: from here, or from the registry.
    async fn document(&self, entry: &Descriptor, name: &str) -> Result<Fetched, ImageError> {
        self.hold([&entry.digest]).await?;
        match self.images.shared.content.read(&entry.digest, MAX_DOCUMENT_BYTES).await {
            Ok(bytes) => {
                let (media_type, digest) = (entry.media_type.clone(), entry.digest.clone());
                return Ok(Fetched { bytes, media_type, digest });
            }
            Err(ContentError::NotHere(_) | ContentError::Damaged(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let fetched = self.session.manifest(By::Digest(&entry.digest)).await;
        let fetched =
            fetched.map_err(|source| ImageError::Registry { reference: name.to_owned(), source })?;
        let found = fetched.bytes.len() as u64;
        if found != entry.size_bytes {
            let (digest, expected) = (entry.digest.clone(), entry.size_bytes);
            return Err(ImageError::Document(
                name.to_owned(),
                DocumentError::Size { digest, expected, found },
            ));
        }
        Ok(fetched)
    }

    async fn keep_document(&self, fetched: Fetched) -> Result<(), ImageError> {
        self.hold([&fetched.digest]).await?;
        self.images.shared.content.put_as(&fetched.digest, fetched.bytes).await?;
        Ok(())
    }

    /// Keeps the collector from these until the pull ends.
    async fn hold<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<(), ImageError> {
        let digests: Vec<Digest> = digests.into_iter().cloned().collect();
        let lease = Arc::clone(&self.lease);
        tokio::task::spawn_blocking(move || digests.iter().for_each(|digest| lease.add(digest))).await?;
        Ok(())
    }

    /// Downloads the configuration and the layers, and unpacks them. Returns true if anything is new.
    async fn download(
        &self,
        resolved: &ResolvedManifest,
        platform: Option<&Platform>,
        name: &str,
    ) -> Result<bool, ImageError> {
        let manifest = &resolved.manifest;
        let blobs = manifest.layers.iter().chain([&manifest.config]).map(|blob| &blob.digest);
        self.hold(blobs).await?;
        if manifest.config.size_bytes > MAX_CONFIGURATION_BYTES {
            let (what, count) = ("bytes in its configuration", manifest.config.size_bytes);
            let error = DocumentError::TooMany { what, count, limit: MAX_CONFIGURATION_BYTES };
            return Err(ImageError::Document(name.to_owned(), error));
        }
        let (layers, mut is_new) = self.layers(manifest, platform, name).await?;
        self.hold(layers.iter().map(|layer| &layer.chain_id)).await?;
        let (mut downloads, mut failures) = self.start_downloads(&manifest.layers).await;
        for layer in &layers {
            if let Some(download) = downloads.remove(&layer.blob.digest) {
                // The first that fails ends the pull, wherever in the order it is.
                is_new |= tokio::select! {
                    biased;
                    Some(error) = failures.recv() => return Err(error),
                    downloaded = download => downloaded?,
                };
            }
            is_new |= tokio::select! {
                biased;
                Some(error) = failures.recv() => return Err(error),
                unpacked = self.unpack(layer) => unpacked?,
            };
        }
        match failures.recv().await {
            Some(error) => Err(error),
            None => Ok(is_new),
        }
    }

    /// Starts a download of each blob. They end with the handles.
    async fn start_downloads(
        &self,
        layers: &[Descriptor],
    ) -> (HashMap<Digest, AbortOnDropHandle<bool>>, mpsc::Receiver<ImageError>) {
        let (failed, failures) = mpsc::channel(1);
        let turns = Arc::new(Semaphore::new(MAX_DOWNLOADS));
        let mut seen = HashSet::new();
        let mut downloads = HashMap::new();
        for layer in layers.iter().filter(|layer| seen.insert(&layer.digest)) {
            self.teller.phase(layer, Phase::Waiting, 0).await;
            let (pull, layer, turns, failed) =
                (self.clone(), layer.clone(), Arc::clone(&turns), failed.clone());
            let digest = layer.digest.clone();
            let download = async move {
                let _turn = turns.acquire_owned().await.expect("it is never closed");
                match pull.fetch(&layer, true).await {
                    Ok(is_new) => is_new,
                    Err(error) => {
                        // One error is enough; the next ones are not received.
                        drop(failed.try_send(error));
                        std::future::pending().await
                    }
                }
            };
            downloads.insert(digest, AbortOnDropHandle::new(tokio::spawn(download)));
        }
        (downloads, failures)
    }

    /// Downloads the configuration, and reads the layers from it. Returns them, and whether it is new. One that was here
    /// and turns out to be damaged is downloaded again.
    async fn layers(
        &self,
        manifest: &Manifest,
        platform: Option<&Platform>,
        name: &str,
    ) -> Result<(Vec<Layer>, bool), ImageError> {
        let mut is_new = self.fetch(&manifest.config, false).await?;
        let mut layers = self.images.layers(manifest, name).await;
        if is_damaged(&layers) {
            is_new = self.fetch(&manifest.config, false).await?;
            layers = self.images.layers(manifest, name).await;
        }
        let layers = layers?;
        self.check_platform(manifest, platform, name).await?;
        Ok((layers, is_new))
    }

    /// Unpacks one layer. If its blob was here and turns out to be damaged, it is downloaded again.
    async fn unpack(&self, layer: &Layer) -> Result<bool, ImageError> {
        let unpacked = self.images.unpack_layer(layer, &self.teller).await;
        if !is_damaged(&unpacked) {
            return unpacked;
        }
        self.fetch(&layer.blob, true).await?;
        self.images.unpack_layer(layer, &self.teller).await
    }

    /// Downloads one blob, unless it is here. Returns true if it was downloaded.
    async fn fetch(&self, blob: &Descriptor, is_layer: bool) -> Result<bool, ImageError> {
        let failed = |source| ImageError::Blob { digest: blob.digest.clone(), source };
        // What is left of an interrupted download may be wrong; a second try begins without it.
        for is_last in [false, true] {
            let claim = self.images.shared.content.claim(&blob.digest, blob.size_bytes, &self.origin).await?;
            let Claim::Bring(ingest) = claim else {
                self.teller
                    .phase(blob, if is_layer { Phase::Downloaded } else { Phase::Exists }, blob.size_bytes)
                    .await;
                return Ok(false);
            };
            let is_resumed = ingest.offset() > 0;
            self.teller.phase(blob, Phase::Downloading, ingest.offset()).await;
            let told = |bytes| self.teller.count(blob, Phase::Downloading, bytes);
            match self.session.blob(&blob.digest, blob.size_bytes, ingest, told).await {
                Ok(()) => break,
                Err(RegistryError::Content(ContentError::WrongDigest { .. })) if is_resumed && !is_last => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.teller.phase(blob, Phase::Downloaded, blob.size_bytes).await;
        Ok(true)
    }

    /// An index was chosen from by platform; a lone manifest says it only in its configuration.
    async fn check_platform(
        &self,
        manifest: &Manifest,
        wanted: Option<&Platform>,
        name: &str,
    ) -> Result<(), ImageError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let bytes = self.images.shared.content.read(&manifest.config.digest, MAX_CONFIGURATION_BYTES).await?;
        let (config, _) =
            configuration::parse(&bytes).map_err(|error| ImageError::Document(name.to_owned(), error))?;
        let offered = Platform::from(&config);
        if wanted.fit(&offered).is_some() {
            return Ok(());
        }
        let (reference, wanted, offered) = (name.to_owned(), wanted.clone(), offered.to_string());
        Err(ImageError::NoPlatform { reference, wanted, offered })
    }
}

fn is_damaged<T>(result: &Result<T, ImageError>) -> bool {
    matches!(result, Err(ImageError::Content(ContentError::Damaged(_))))
}

/// The entry that fits best; of equals, the first.
fn choose(
    entries: Vec<Descriptor>,
    platform: Option<&Platform>,
    name: &str,
) -> Result<Descriptor, ImageError> {
    let wanted = platform.cloned().unwrap_or_else(Platform::here);
    let offered: HashSet<String> =
        entries.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect();
    let is_single = entries.len() == 1;
    let fit = |entry: &Descriptor| match &entry.platform {
        Some(platform) => wanted.fit(platform),
        // Simple builders leave it out.
        None => is_single.then_some(0),
    };
    let best =
        entries.into_iter().filter_map(|entry| Some((fit(&entry)?, entry))).min_by_key(|(fit, _)| *fit);
    best.map(|(_, entry)| entry).ok_or_else(|| {
        let mut offered: Vec<String> = offered.into_iter().collect();
        offered.sort();
        let offered = if offered.is_empty() { "no platform at all".to_owned() } else { offered.join(", ") };
        ImageError::NoPlatform { reference: name.to_owned(), wanted, offered }
    })
}
