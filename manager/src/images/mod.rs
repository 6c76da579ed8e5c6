//! Images: what a reference names, kept as blobs and unpacked into snapshots. This module owns the images' tables; it
//! reads content and snapshots through their own doors, and publishes what happened. It knows no container:
//! who asks for a removal says what is in use.

mod archive;
mod assemble;
mod document;
mod error;
mod leases;
mod list;
mod platform;
mod pull;
mod records;
mod reference;
mod registry;
mod removal;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use oci_spec::image::ImageConfiguration;

pub(crate) use archive::{Export, Input, Loaded};
pub(crate) use document::DocumentError;
pub(crate) use error::ImageError;
pub(crate) use list::Filters;
pub(crate) use platform::Platform;
pub(crate) use pull::{Credentials, Phase, Progress, PullRequest, Pulled};
pub(crate) use reference::Reference;
pub(crate) use registry::RegistryError;
pub(crate) use removal::{Removed, Users};

use crate::content::{Content, Digest};
use crate::events::{Events, Subject};
use crate::snapshots::Snapshots;
use crate::store::Store;
use document::MAX_DOCUMENT_BYTES;
use leases::Leases;
use records::Record;
use registry::Registries;

pub(crate) use records::SCHEMA_1;

/// The shortest prefix of an id that is taken for one.
const MIN_ID_PREFIX: usize = 4;

/// An image that is here, whole and unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Digest of the configuration.
    pub(crate) id: Digest,
    /// Full references, sorted.
    pub(crate) references: Vec<String>,
    /// `name@digest`, of what was pulled.
    pub(crate) repo_digests: Vec<String>,
    /// As its builder wrote it.
    pub(crate) config: ImageConfiguration,
    /// What it is built for.
    pub(crate) platform: Platform,
    /// The committed snapshot that holds its files; `None` without layers.
    pub(crate) chain_id: Option<Digest>,
    /// Uncompressed layer digests, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// Digest of the manifest.
    pub(crate) manifest_digest: Digest,
    /// The manifest's media type.
    pub(crate) media_type: String,
    /// Bytes on disk, unpacked.
    pub(crate) size_bytes: u64,
    /// Bytes as blobs.
    pub(crate) compressed_bytes: u64,
    /// When it was first here.
    pub(crate) pulled_at: SystemTime,
}

/// What happened to an image, in docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Came from a registry.
    Pull,
    /// Got a reference.
    Tag,
    /// Lost a reference.
    Untag,
    /// Is gone.
    Delete,
    /// Came from an archive.
    Load,
    /// Was written into an archive.
    Save,
}

impl Action {
    /// Docker's name for it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::Load => "load",
            Self::Save => "save",
        }
    }
}

/// How images are fetched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Registries, `host[:port]`, that may be spoken to over plain HTTP or with unknown certificates.
    pub(crate) insecure_registries: Vec<String>,
}

/// The images; clones share them.
#[derive(Clone)]
pub(crate) struct Images {
    shared: Arc<Shared>,
}

struct Shared {
    content: Content,
    snapshots: Snapshots,
    store: Store,
    events: Arc<Events>,
    leases: Leases,
    registries: Registries,
    /// One at a time unpacks into a chain id.
    unpacking: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Images {
    /// Wires the nouns together.
    ///
    /// # Errors
    /// [`ImageError::Registry`] when the TLS library cannot be set up.
    pub(crate) fn new(
        content: Content,
        snapshots: Snapshots,
        store: Store,
        events: Arc<Events>,
        options: &Options,
    ) -> Result<Self, ImageError> {
        let registries = Registries::new(&options.insecure_registries);
        Ok(Self {
            shared: Arc::new(Shared {
                content,
                snapshots,
                store,
                events,
                leases: Leases::default(),
                registries,
                unpacking: Mutex::default(),
            }),
        })
    }

    /// The image that `name` means: a reference, an id ("sha256:…" or its digits), or an unambiguous prefix of an id.
    /// Only what is here; nothing is pulled.
    ///
    /// # Errors
    /// [`ImageError::NotHere`], [`ImageError::Ambiguous`], [`ImageError::Reference`].
    pub(crate) async fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        let record = self.find(name).await?;
        self.image(record).await
    }

    /// Gives the image `source` one more reference, or moves that reference to it.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`ImageError::TagWithDigest`].
    pub(crate) async fn tag(&self, source: &str, target: &str) -> Result<(), ImageError> {
        let target = parsed(target)?;
        if target.digest().is_some() {
            return Err(ImageError::TagWithDigest(target.to_string()));
        }
        let record = self.find(source).await?;
        let reference = target.to_string();
        let (id, name) = (record.id, reference.clone());
        self.shared.store.write("tag an image", move |tx| records::tag(tx, &id, &name)).await?;
        self.publish(Action::Tag, &reference, &reference);
        Ok(())
    }

    /// Tells what happened, after it is on disk. `actor` is the reference for pull, tag and untag, the image's id
    /// otherwise; `name` is a reference if there is one.
    fn publish(&self, action: Action, actor: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.shared.events.publish(Subject::Image, action.name(), actor, attributes);
    }

    async fn find(&self, name: &str) -> Result<Record, ImageError> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_id = is_hex && (MIN_ID_PREFIX..=64).contains(&hex.len());
        let reference = parsed(name);
        if let Ok(reference) = &reference
            && let Some(record) = self.find_reference(reference).await?
        {
            return Ok(record);
        }
        if is_id {
            let prefix = hex.to_owned();
            let mut found =
                self.shared.store.read("find an image", move |tx| records::by_prefix(tx, &prefix)).await?;
            match (found.pop(), found.pop()) {
                (Some(_), Some(_)) => return Err(ImageError::Ambiguous(name.to_owned())),
                (Some(record), None) => return Ok(record),
                (None, _) => return Err(ImageError::NotHere(name.to_owned())),
            }
        }
        reference.and(Err(ImageError::NotHere(name.to_owned())))
    }

    async fn find_reference(&self, reference: &Reference) -> Result<Option<Record>, ImageError> {
        let reference = reference.clone();
        let found = self.shared.store.read("find an image", move |tx| match reference.digest() {
            Some(digest) => records::by_repo_digest(tx, &format!("{}@{digest}", reference.name())),
            None => records::by_reference(tx, &reference.to_string()),
        });
        Ok(found.await?)
    }

    async fn image(&self, record: Record) -> Result<Image, ImageError> {
        let bytes = self.shared.content.read(&record.id, MAX_DOCUMENT_BYTES).await?;
        let config: ImageConfiguration = serde_json::from_slice(&bytes).map_err(|source| {
            ImageError::Document(
                record.id.to_string(),
                DocumentError::Json { what: "the configuration", source },
            )
        })?;
        let layers = config.rootfs().diff_ids().len();
        let (config, diff_ids) = document::configuration(&bytes, layers)
            .map_err(|error| ImageError::Document(record.id.to_string(), error))?;
        Ok(Image {
            platform: Platform::from(&config),
            config,
            diff_ids,
            id: record.id,
            references: record.references,
            repo_digests: record.repo_digests,
            chain_id: record.chain_id,
            manifest_digest: record.manifest,
            media_type: record.media_type,
            size_bytes: record.size_bytes,
            compressed_bytes: record.compressed_bytes,
            pulled_at: record.pulled_at,
        })
    }
}

/// Enough of a wrong reference to recognise it in a message.
const MAX_QUOTED_CHARS: usize = 80;

/// A reference that somebody wrote.
///
/// # Errors
/// [`ImageError::Reference`].
pub(crate) fn parsed(text: &str) -> Result<Reference, ImageError> {
    text.parse().map_err(|source| ImageError::Reference {
        text: text.chars().take(MAX_QUOTED_CHARS).collect(),
        source,
    })
}
