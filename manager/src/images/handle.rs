//! The images: finding one by whatever names it, and the nouns that the other verbs, each in a file beside this one, work
//! with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use knarr_proto::docker::reference::short;
use oci_spec::image::ImageConfiguration;

use super::configuration::{self, MAX_CONFIGURATION_BYTES};
use super::error::ImageError;
use super::names::{check_count, image_name, new_name};
use super::platform::Platform;
use super::records::{self, Record};
use super::reference::{ImageName, Reference};
use super::registry::Registries;
use crate::collect::Collector;
use crate::content::{Content, Digest};
use crate::events::{Events, Subject};
use crate::snapshots::Snapshots;
use crate::store::Store;

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

/// What images are made of, and what they are kept in.
pub(crate) struct ImageParts {
    pub(crate) collector: Collector,
    pub(crate) content: Content,
    pub(crate) snapshots: Snapshots,
    pub(crate) store: Store,
}

/// An image's record, and how it was named.
pub(super) struct Match {
    pub(super) record: Record,
    /// The reference without digest by which it was found; `None` for an id or a digest.
    pub(super) reference: Option<String>,
}

/// The images; clones share them.
#[derive(Clone)]
pub(crate) struct Images {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) content: Content,
    pub(super) snapshots: Snapshots,
    pub(super) store: Store,
    pub(super) events: Arc<Events>,
    pub(super) collector: Collector,
    pub(super) registries: Registries,
    /// One at a time unpacks into a chain id.
    pub(super) unpacking: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Images {
    /// Wires the nouns together.
    ///
    /// # Errors
    /// [`ImageError::Registry`] when the TLS library cannot be set up.
    pub(crate) fn new(parts: ImageParts, events: Arc<Events>, options: &Options) -> Result<Self, ImageError> {
        let ImageParts { collector, content, snapshots, store } = parts;
        let registries = Registries::new(&options.insecure_registries);
        Ok(Self {
            shared: Arc::new(Shared {
                content,
                snapshots,
                store,
                events,
                collector,
                registries,
                unpacking: Mutex::default(),
            }),
        })
    }

    /// The image that `name` means: an id ("sha256:…" or its digits), an unambiguous prefix of an id, or a reference; an
    /// id comes first. Only what is here; nothing is pulled.
    ///
    /// # Errors
    /// [`ImageError::NotHere`], [`ImageError::Ambiguous`], [`ImageError::Reference`]; [`ImageError::Content`] when its
    /// configuration is damaged.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        let found = self.find(name, None).await?;
        self.image(found.record).await
    }

    /// As [`Images::resolve`], for an image that has to be for `platform`.
    ///
    /// # Errors
    /// As there; [`ImageError::OtherPlatform`].
    pub(crate) async fn resolve_for(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, ImageError> {
        let image = self.image(self.find(name, platform).await?.record).await?;
        match platform {
            Some(wanted) if wanted.fit(&image.platform).is_none() => Err(ImageError::OtherPlatform {
                image: name.to_owned(),
                wanted: wanted.to_string(),
                offered: image.platform.to_string(),
            }),
            _ => Ok(image),
        }
    }

    /// Gives the image `source` one more reference, or moves that reference to it.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`ImageError::TagWithDigest`], [`ImageError::TooManyNames`].
    pub(crate) async fn tag(&self, source: &str, target: &str) -> Result<(), ImageError> {
        let target = new_name(target)?;
        if target.digest().is_some() {
            return Err(ImageError::TagWithDigest(target.to_string()));
        }
        let record = self.find(source, None).await?.record;
        let reference = target.to_string();
        let is_new = !record.references.contains(&reference);
        check_count(source, record.references.len() + usize::from(is_new))?;
        let image = record.id.to_string();
        let (id, name) = (record.id, reference.clone());
        self.shared.store.write("tag an image", move |tx| records::tag(tx, &id, &name)).await?;
        self.publish(Action::Tag, &image, &reference);
        Ok(())
    }

    /// Tells what happened to the image with this id, after it is on disk; `reference` is empty if there is none. As
    /// docker has it, references are in their short form, and the subject of a pull is the reference.
    pub(super) fn publish(&self, action: Action, id: &str, reference: &str) {
        let name = short(reference);
        let actor = if action == Action::Pull { &name } else { id };
        let attributes = BTreeMap::from([("name".to_owned(), name.clone())]);
        self.shared.events.publish(Subject::Image, action.name(), actor, attributes);
    }

    /// The record that `name` means; of several with one digest, that which fits `platform` (this machine's if `None`).
    pub(super) async fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Match, ImageError> {
        let (prefix, reference) = match image_name(name)? {
            ImageName::Id(prefix) => (Some(prefix), None),
            ImageName::IdOrReference(prefix, reference) => (Some(prefix), Some(reference)),
            ImageName::Reference(reference) => (None, Some(reference)),
        };
        if let Some(prefix) = prefix {
            let read = self.shared.store.read("find an image", move |tx| records::by_prefix(tx, &prefix));
            let mut found = read.await?;
            match (found.pop(), found.pop()) {
                (Some(_), Some(_)) => return Err(ImageError::Ambiguous(name.to_owned())),
                (Some(record), None) => {
                    let other = match &reference {
                        Some(reference) => self.called(reference).await?,
                        None => None,
                    };
                    return match other.is_some_and(|other| other.id != record.id) {
                        true => Err(ImageError::IdAndName { name: name.to_owned() }),
                        false => Ok(Match { record, reference: None }),
                    };
                }
                (None, _) => {}
            }
        }
        let not_here = || ImageError::NotHere(name.to_owned());
        let reference = reference.ok_or_else(not_here)?;
        if let Some(digest) = reference.digest() {
            let repo_digest = format!("{}@{digest}", reference.name());
            let read =
                self.shared.store.read("find an image", move |tx| records::by_repo_digest(tx, &repo_digest));
            let record = self.best_fit(read.await?, platform).await.ok_or_else(not_here)?;
            return Ok(Match { record, reference: None });
        }
        let record = self.called(&reference).await?.ok_or_else(not_here)?;
        Ok(Match { record, reference: Some(reference.to_string()) })
    }

    pub(super) async fn called(&self, reference: &Reference) -> Result<Option<Record>, ImageError> {
        let full = reference.to_string();
        Ok(self.shared.store.read("find an image", move |tx| records::by_reference(tx, &full)).await?)
    }

    /// An index has one digest and several images; the first that fits best, or else the first.
    async fn best_fit(&self, mut records: Vec<Record>, platform: Option<&Platform>) -> Option<Record> {
        if records.len() < 2 {
            return records.pop();
        }
        let wanted = platform.cloned().unwrap_or_else(Platform::here);
        let mut fits = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let fit = match self.image(record.clone()).await {
                Ok(image) => wanted.fit(&image.platform),
                // It is damaged, which is told if it is the only one left to choose.
                Err(_) => None,
            };
            fits.push((fit.unwrap_or(u32::MAX), place));
        }
        let (_, place) = fits.into_iter().min()?;
        Some(records.swap_remove(place))
    }

    pub(super) async fn image(&self, record: Record) -> Result<Image, ImageError> {
        let bytes = self.shared.content.read(&record.id, MAX_CONFIGURATION_BYTES).await?;
        let (config, diff_ids) = configuration::parse(&bytes)
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
        })
    }
}
