//! From blobs to images: what index.json and manifest.json name, checked to be whole before anything is made of it.
//! Blocks, but touches content only.

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::error::ArchiveError;
use super::input::Compression;
use super::intake::{Intake, Stored};
use super::layout::{INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT};
use super::members;
use crate::collect::Lease;
use crate::content::{Content, Digest};
use crate::images::configuration::{self, MAX_CONFIGURATION_BYTES};
use crate::images::document::DocumentError;
use crate::images::document::{
    Descriptor, Document, MAX_DOCUMENT_BYTES, MAX_INDEX_DEPTH, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::images::error::ImageError;
use crate::images::names::MAX_NAMES;
use crate::images::platform::Platform;
use crate::images::reference::Reference;

/// Entries of manifest.json, as many as an index may have.
const MAX_IMAGES: usize = 1024;

/// An image whose blobs are all here.
#[derive(Debug)]
pub(super) struct ArchivedImage {
    pub(super) manifest_digest: Digest,
    pub(super) media_type: String,
    pub(super) manifest: Manifest,
    pub(super) references: Vec<Reference>,
}

impl ArchivedImage {
    /// Its references as they are recorded, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.references.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }
}

/// An entry of manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// A manifest for an image that came without one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewManifest {
    schema_version: u32,
    media_type: &'static str,
    config: NewDescriptor,
    layers: Vec<NewDescriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewDescriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Looks for images in what was taken in.
pub(super) struct Finder<'a> {
    pub(super) intake: &'a Intake,
    pub(super) content: &'a Content,
    pub(super) lease: &'a Lease,
    /// `None`: this machine's where there is a choice, anything where there is none.
    pub(super) platform: Option<&'a Platform>,
}

impl Finder<'_> {
    /// Every image, in the archive's order.
    pub(super) fn images(&self) -> Result<Vec<ArchivedImage>, ImageError> {
        let (index, entries) = (self.intake.document(INDEX_JSON), self.intake.document(MANIFEST_JSON));
        if index.is_none() && entries.is_none() {
            return Err(ArchiveError::NoImages.into());
        }
        let mut images = match index {
            Some(index) => self.layout(index)?,
            None => Vec::new(),
        };
        if let Some(entries) = entries {
            self.entries(entries, &mut images)?;
        }
        Ok(images)
    }

    fn layout(&self, index: &[u8]) -> Result<Vec<ArchivedImage>, ImageError> {
        if let Some(layout) = self.intake.document(OCI_LAYOUT) {
            let layout: Layout = serde_json::from_slice(layout)
                .map_err(|source| ArchiveError::Json { what: OCI_LAYOUT, source })?;
            if !layout.image_layout_version.starts_with("1.") {
                let version = layout.image_layout_version.chars().take(40).collect();
                return Err(ArchiveError::LayoutVersion(version).into());
            }
        }
        let in_index = |error| ImageError::Document(INDEX_JSON.to_owned(), error);
        let Document::Index(descriptors) = Document::parse(index, "").map_err(in_index)? else {
            return Err(ArchiveError::Empty(INDEX_JSON).into());
        };
        let mut images: Vec<ArchivedImage> = Vec::new();
        for descriptor in &descriptors {
            let Some(mut image) = self.resolve(descriptor, 0)? else { continue };
            let references = references_of(descriptor)?;
            match images.iter_mut().find(|known| known.manifest_digest == image.manifest_digest) {
                Some(known) => add(&mut known.references, references)?,
                None => {
                    image.references = references;
                    images.push(image);
                }
            }
        }
        match (descriptors.is_empty(), images.is_empty()) {
            (true, _) => Err(ArchiveError::Empty(INDEX_JSON).into()),
            (false, true) => Err(ArchiveError::NoPlatform { wanted: self.wanted().to_string() }.into()),
            (false, false) => Ok(images),
        }
    }

    /// The image that a descriptor leads to; `None` when it is for another platform.
    fn resolve(&self, descriptor: &Descriptor, depth: usize) -> Result<Option<ArchivedImage>, ImageError> {
        let wanted = self.wanted();
        if descriptor.platform.as_ref().is_some_and(|offered| wanted.fit(offered).is_none()) {
            return Ok(None);
        }
        if depth == MAX_INDEX_DEPTH {
            let limit = MAX_INDEX_DEPTH as u64;
            return Err(ArchiveError::TooMany { what: "indexes in each other", limit }.into());
        }
        let digest = &descriptor.digest;
        self.check_blob(descriptor)?;
        let bytes = self.content.read_blocking(digest, MAX_DOCUMENT_BYTES)?;
        let in_document = |error| ImageError::Document(digest.to_string(), error);
        match Document::parse(&bytes, &descriptor.media_type).map_err(in_document)? {
            Document::Manifest(manifest) => {
                let given = descriptor.media_type.clone();
                let media_type = if given.is_empty() { OCI_MANIFEST.to_owned() } else { given };
                self.whole(digest.clone(), media_type, manifest)
            }
            Document::Index(entries) => {
                // An archive may lack the blobs of the platforms that it was not written for.
                let here = |entry: &&Descriptor| matches!(self.content.size(&entry.digest), Ok(Some(_)));
                let fit =
                    |entry: &&Descriptor| entry.platform.as_ref().map_or(Some(0), |own| wanted.fit(own));
                let best = entries.iter().filter(here).filter(|entry| fit(entry).is_some()).min_by_key(fit);
                best.map_or(Ok(None), |entry| self.resolve(entry, depth + 1))
            }
        }
    }

    fn entries(&self, entries: &[u8], images: &mut Vec<ArchivedImage>) -> Result<(), ImageError> {
        let entries: Vec<Entry> = serde_json::from_slice(entries)
            .map_err(|source| ArchiveError::Json { what: MANIFEST_JSON, source })?;
        if entries.len() > MAX_IMAGES {
            return Err(ArchiveError::TooMany { what: "images", limit: MAX_IMAGES as u64 }.into());
        }
        if entries.is_empty() && images.is_empty() {
            return Err(ArchiveError::Empty(MANIFEST_JSON).into());
        }
        for entry in entries {
            let tags = entry.repo_tags.unwrap_or_default();
            let references =
                tags.iter().map(|tag| crate::images::names::new_name(tag)).collect::<Result<_, _>>()?;
            let config = self.member(&entry.config)?;
            if let Some(known) = images.iter_mut().find(|known| known.manifest.config.digest == config.digest)
            {
                add(&mut known.references, references)?;
                continue;
            }
            let names = entry.layers.unwrap_or_default();
            let layers = names.iter().map(|name| self.member(name)).collect::<Result<Vec<_>, _>>()?;
            let Some(mut image) = self.composed(config, &layers)? else { continue };
            add(&mut image.references, references)?;
            images.push(image);
        }
        if images.is_empty() {
            return Err(ArchiveError::NoPlatform { wanted: self.wanted().to_string() }.into());
        }
        Ok(())
    }

    /// Gives an image that came without a manifest one, so that it is like every other.
    fn composed(&self, config: &Stored, layers: &[&Stored]) -> Result<Option<ArchivedImage>, ImageError> {
        let descriptor = |stored: &Stored, media_type: String| NewDescriptor {
            media_type,
            digest: stored.digest.to_string(),
            size: stored.size_bytes,
        };
        let layer = |stored: &&Stored| {
            let suffix = match stored.compression {
                Compression::None => "",
                Compression::Gzip => "+gzip",
                Compression::Zstd => "+zstd",
            };
            descriptor(stored, format!("{OCI_LAYER}{suffix}"))
        };
        let manifest = NewManifest {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            config: descriptor(config, OCI_CONFIG.to_owned()),
            layers: layers.iter().map(layer).collect(),
        };
        let bytes = serde_json::to_vec(&manifest).expect("text and numbers are JSON");
        let digest = Digest::of(&bytes);
        let parsed = Document::parse(&bytes, OCI_MANIFEST);
        let parsed = parsed.map_err(|error| ImageError::Document(MANIFEST_JSON.to_owned(), error))?;
        let Document::Manifest(manifest) = parsed else {
            return Err(ArchiveError::Empty(MANIFEST_JSON).into());
        };
        self.lease.add(&digest);
        Handle::current().block_on(self.content.put(bytes))?;
        self.whole(digest, OCI_MANIFEST.to_owned(), manifest)
    }

    /// Checks that all of an image is here and fits together; `None` when another platform was asked for.
    fn whole(
        &self,
        manifest_digest: Digest,
        media_type: String,
        manifest: Manifest,
    ) -> Result<Option<ArchivedImage>, ImageError> {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            self.check_blob(blob)?;
        }
        let config_digest = &manifest.config.digest;
        let bytes = self.content.read_blocking(config_digest, MAX_CONFIGURATION_BYTES)?;
        let (config, _) = configuration::parse_for(&bytes, manifest.layers.len())
            .map_err(|error| ImageError::Document(config_digest.to_string(), error))?;
        let fits = self.platform.is_none_or(|wanted| wanted.fit(&Platform::from(&config)).is_some());
        Ok(fits.then_some(ArchivedImage { manifest_digest, media_type, manifest, references: Vec::new() }))
    }

    /// A blob may also have been here before; it is kept from the collector before it is looked for.
    fn check_blob(&self, blob: &Descriptor) -> Result<(), ImageError> {
        self.lease.add(&blob.digest);
        match self.content.size(&blob.digest)? {
            None => Err(ArchiveError::NoBlob(blob.digest.clone()).into()),
            Some(found) if found != blob.size_bytes => {
                let digest = blob.digest.clone();
                let error = DocumentError::Size { digest, expected: blob.size_bytes, found };
                Err(ImageError::Document(blob.digest.to_string(), error))
            }
            Some(_) => Ok(()),
        }
    }

    fn member(&self, name: &str) -> Result<&Stored, ArchiveError> {
        self.intake.find(&members::normal("", name.as_bytes())?)
    }

    fn wanted(&self) -> Platform {
        self.platform.cloned().unwrap_or_else(Platform::here)
    }
}

/// containerd's name is a whole reference. The OCI one is free text: a reference is taken, a bare word is only a tag.
fn references_of(descriptor: &Descriptor) -> Result<Vec<Reference>, ImageError> {
    let names = &descriptor.names;
    let reference = match (&names.containerd, &names.reference) {
        (Some(name), _) => Some(crate::images::names::new_name(name)?),
        (None, Some(name)) if name.contains(['/', ':']) => match name.parse::<Reference>() {
            Ok(_) => Some(crate::images::names::new_name(name)?),
            Err(_) => None,
        },
        (None, _) => None,
    };
    // A name with a digest says what the image is, not what it is called.
    Ok(reference.filter(|reference| reference.digest().is_none()).into_iter().collect())
}

fn add(references: &mut Vec<Reference>, more: Vec<Reference>) -> Result<(), ArchiveError> {
    for reference in more {
        if references.contains(&reference) {
            continue;
        }
        if references.len() == MAX_NAMES {
            return Err(ArchiveError::TooManyNames { limit: MAX_NAMES });
        }
        references.push(reference);
    }
    Ok(())
}
