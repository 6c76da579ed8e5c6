//! Writing images as one tar that `docker load`, containerd, podman and skopeo read: an OCI layout with docker's
//! manifest.json. The same images give the same bytes, whenever and wherever they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Read, Write};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::layout::{INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT};
use crate::collect::Lease;
use crate::content::{Content, ContentError, Digest, Hasher};
use crate::images::document::{Document, MAX_DOCUMENT_BYTES, Manifest};
use crate::images::error::ImageError;
use crate::images::handle::{Action, Image, Images};

/// Pieces under way to the receiver of the archive.
const UNDER_WAY: usize = 4;
/// Of one piece, so that a message carries some of it and stays small.
const PIECE_BYTES: usize = 256 << 10;
/// More in one archive is a mistake.
const MAX_IMAGES: usize = 1024;

/// An archive that is being written.
pub(crate) struct Export {
    pieces: mpsc::Receiver<Result<Vec<u8>, ImageError>>,
}

/// What is written of one image.
struct Chosen {
    image: Image,
    manifest: Manifest,
    references: BTreeSet<String>,
}

impl Export {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// [`ImageError::ArchiveWrite`], [`ImageError::Content`] when a blob cannot be read; nothing follows then.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, ImageError>> {
        self.pieces.recv().await
    }
}

impl Images {
    /// Writes these images into one archive, each under the reference it is named by here; one named by its id has
    /// none. Given up when the [`Export`] is dropped.
    ///
    /// # Errors
    /// As [`Images::resolve`] for the first that is not here; [`ImageError::NothingToExport`].
    pub(crate) async fn export(&self, names: &[String]) -> Result<Export, ImageError> {
        if names.is_empty() || names.len() > MAX_IMAGES {
            return Err(ImageError::NothingToExport { limit: MAX_IMAGES });
        }
        let lease = self.shared.collector.lease();
        let mut chosen: BTreeMap<Digest, Chosen> = BTreeMap::new();
        for name in names {
            let found = self.find(name, None).await?;
            let (reference, image) = (found.reference, self.image(found.record).await?);
            let manifest = self.manifest_of(&image, &lease).await?;
            let entry = chosen.entry(image.manifest_digest.clone());
            let entry = entry.or_insert_with(|| Chosen { image, manifest, references: BTreeSet::new() });
            entry.references.extend(reference);
        }
        let (sender, pieces) = mpsc::channel(UNDER_WAY);
        let images = self.clone();
        tokio::task::spawn_blocking(move || {
            let chosen: Vec<Chosen> = chosen.into_values().collect();
            match write(&images.shared.content, &chosen, &sender) {
                Ok(()) => {
                    for Chosen { image, references, .. } in &chosen {
                        let name = references.first().map_or("", String::as_str);
                        images.publish(Action::Save, image.id.as_str(), name);
                    }
                }
                // A receiver that has left is not told.
                Err(error) => drop(sender.blocking_send(Err(error))),
            }
            drop(lease);
        });
        Ok(Export { pieces })
    }

    /// The image's manifest; it and what it names is held until the archive is written.
    async fn manifest_of(&self, image: &Image, lease: &Lease) -> Result<Manifest, ImageError> {
        let digest = &image.manifest_digest;
        lease.add(digest);
        let bytes = self.shared.content.read(digest, MAX_DOCUMENT_BYTES).await?;
        match Document::parse(&bytes, &image.media_type) {
            Ok(Document::Manifest(manifest)) => {
                manifest.layers.iter().chain([&manifest.config]).for_each(|blob| lease.add(&blob.digest));
                Ok(manifest)
            }
            Ok(Document::Index(_)) => Err(ImageError::NotHere(digest.to_string())),
            Err(error) => Err(ImageError::Document(digest.to_string(), error)),
        }
    }
}

fn write(
    content: &Content,
    chosen: &[Chosen],
    sender: &mpsc::Sender<Result<Vec<u8>, ImageError>>,
) -> Result<(), ImageError> {
    let mut tar = tar::Builder::new(BufWriter::with_capacity(PIECE_BYTES, Pieces(sender)));
    let mut blobs = BTreeSet::new();
    for Chosen { image, manifest, .. } in chosen {
        blobs.insert(&image.manifest_digest);
        blobs.extend(manifest.layers.iter().chain([&manifest.config]).map(|blob| &blob.digest));
    }
    let manifest_sizes = sizes(content, chosen)?;
    let documents = [
        (OCI_LAYOUT, json!({ "imageLayoutVersion": "1.0.0" })),
        (INDEX_JSON, index(chosen, &manifest_sizes)),
        (MANIFEST_JSON, entries(chosen)),
    ];
    for (name, document) in documents {
        let bytes = document.to_string().into_bytes();
        append(&mut tar, name, bytes.len() as u64, bytes.as_slice()).map_err(ImageError::ArchiveWrite)?;
    }
    for digest in blobs {
        let size_bytes = content.size(digest)?.ok_or_else(|| ContentError::NotHere(digest.clone()))?;
        let hasher = Hasher::new(digest.algorithm());
        let mut blob = Hashed { input: content.open_blob(digest)?, hasher, has_failed: false };
        let appended =
            append(&mut tar, &member_name(digest), size_bytes, Read::by_ref(&mut blob).take(size_bytes));
        if !blob.has_failed {
            appended.map_err(ImageError::ArchiveWrite)?;
        }
        if blob.has_failed || blob.hasher.finish() != *digest {
            content.set_aside_blocking(digest)?;
            return Err(ContentError::Damaged(digest.clone()).into());
        }
    }
    let mut output = tar.into_inner().map_err(ImageError::ArchiveWrite)?;
    output.flush().map_err(ImageError::ArchiveWrite)
}

fn sizes(content: &Content, chosen: &[Chosen]) -> Result<Vec<u64>, ImageError> {
    let size = |digest: &Digest| {
        content.size(digest)?.ok_or_else(|| ImageError::from(ContentError::NotHere(digest.clone())))
    };
    chosen.iter().map(|chosen| size(&chosen.image.manifest_digest)).collect()
}

/// index.json: an entry for each name, as docker and containerd write it.
fn index(chosen: &[Chosen], manifest_sizes: &[u64]) -> Value {
    let mut manifests = Vec::new();
    for (Chosen { image, references, .. }, size) in chosen.iter().zip(manifest_sizes) {
        let mut descriptor = json!({
            "mediaType": image.media_type,
            "digest": image.manifest_digest.as_str(),
            "size": size,
            "platform": { "os": image.platform.os, "architecture": image.platform.architecture },
        });
        if !image.platform.variant.is_empty() {
            descriptor["platform"]["variant"] = json!(image.platform.variant);
        }
        for reference in references {
            let mut named = descriptor.clone();
            let tag = reference.rsplit_once(':').map_or("", |(_, tag)| tag);
            named["annotations"] =
                json!({ "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag });
            manifests.push(named);
        }
        if references.is_empty() {
            manifests.push(descriptor);
        }
    }
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

/// manifest.json; docker's own names are written the short way, because `docker load` prints them as they are.
fn entries(chosen: &[Chosen]) -> Value {
    let entry = |chosen: &Chosen| {
        let short = |reference: &String| {
            let short = reference.strip_prefix("docker.io/").unwrap_or(reference);
            short.strip_prefix("library/").unwrap_or(short).to_owned()
        };
        json!({
            "Config": member_name(&chosen.manifest.config.digest),
            "RepoTags": chosen.references.iter().map(short).collect::<Vec<_>>(),
            "Layers": chosen.manifest.layers.iter().map(|layer| member_name(&layer.digest)).collect::<Vec<_>>(),
        })
    };
    chosen.iter().map(entry).collect()
}

fn member_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    size_bytes: u64,
    data: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size_bytes);
    tar.append_data(&mut header, name, data)
}

/// Hashes what is read, so that no damaged blob gets into an archive that says it is whole.
struct Hashed<R> {
    input: R,
    hasher: Hasher,
    /// The blob cannot be read to its end.
    has_failed: bool,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer);
        match &read {
            Ok(count) => self.hasher.update(&buffer[..*count]),
            Err(error) => self.has_failed |= error.kind() != io::ErrorKind::Interrupted,
        }
        read
    }
}

struct Pieces<'a>(&'a mpsc::Sender<Result<Vec<u8>, ImageError>>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
