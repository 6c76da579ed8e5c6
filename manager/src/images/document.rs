//! Manifests and indexes: read strictly, because their author is not trusted.
//!
//! A document is either an index or a manifest, never both (CVE-2021-41190), its `mediaType` is the Content-Type it came
//! with, and everything in it is counted before it is used.

use knarr_proto::kind::Kind;
use serde::Deserialize;

use super::platform::Platform;
use crate::content::{Digest, InvalidDigest};

/// containerd's bound for one document.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// overlayfs takes 500 lower directories, docker 127 layers; more are a mistake or an attack.
const MAX_LAYERS: usize = 127;
/// Indexes in indexes: image, attestations, and one to spare.
pub(super) const MAX_INDEX_DEPTH: usize = 4;
/// Entries of one index.
const MAX_INDEX_ENTRIES: usize = 1024;
/// The largest layer, compressed: more than any registry takes.
pub(super) const MAX_BLOB_BYTES: u64 = 64 << 30;

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What configurations are called in manifests. The last four are those of images that were pushed in 2016 and 2017, as
/// docker lists them; other types are other things than images.
const CONFIGS: [&str; 6] = [
    OCI_CONFIG,
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];
const DOCKER_SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// It is no JSON of this shape.
    #[error("{what} is not well-formed")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It could be read as two things (CVE-2021-41190).
    #[error("it has the fields of both a manifest and an index")]
    Ambiguous,
    /// It says it is one thing and came as another.
    #[error("its media type is {stated}, but it came as {given}")]
    MediaType {
        /// In the document.
        stated: String,
        /// From the registry or the descriptor.
        given: String,
    },
    /// Schema 1 has not been written since 2017.
    #[error("it is a docker schema 1 image: build or push it again with a current docker")]
    Schema1,
    /// Something that is no image: a chart, a signature, a file system image.
    #[error("media type {0} is no {1}")]
    Unsupported(String, &'static str),
    /// A bound was passed.
    #[error("it has {count} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// The bound.
        limit: u64,
    },
    /// A descriptor's digest.
    #[error("a descriptor in it has no proper digest")]
    Digest(#[source] InvalidDigest),
    /// Layers and diff_ids do not match.
    #[error("its manifest has {layers} layers, its configuration {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// A descriptor's size is wrong.
    #[error("{digest} has {found} bytes, its descriptor says {expected}")]
    Size {
        /// The document.
        digest: Digest,
        /// The descriptor's.
        expected: u64,
        /// The document's.
        found: u64,
    },
}

impl DocumentError {
    /// What kind of failure this is: mostly, that the image is wrong.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Size { .. } => Kind::DataLoss,
            _ => Kind::InvalidArgument,
        }
    }
}

/// What a document points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
    pub(super) platform: Option<Platform>,
    /// `org.opencontainers.image.ref.name` and `io.containerd.image.name`, in an archive's index.
    pub(super) names: Names,
}

/// What an archive's index calls an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) reference: Option<String>,
    pub(super) containerd: Option<String>,
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A parsed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    #[serde(default)]
    annotations: Option<RawAnnotations>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize)]
struct RawAnnotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    reference: Option<String>,
    #[serde(rename = "io.containerd.image.name")]
    containerd: Option<String>,
}

impl TryFrom<RawDescriptor> for Descriptor {
    type Error = DocumentError;

    fn try_from(raw: RawDescriptor) -> Result<Self, DocumentError> {
        if raw.size > MAX_BLOB_BYTES {
            return Err(DocumentError::TooMany {
                what: "bytes in a blob",
                count: raw.size,
                limit: MAX_BLOB_BYTES,
            });
        }
        let platform = raw.platform.and_then(|platform| {
            let mut text = format!("{}/{}", platform.os, platform.architecture);
            if !platform.variant.is_empty() {
                text = format!("{text}/{}", platform.variant);
            }
            text.parse().ok()
        });
        let names = raw.annotations.map_or_else(Names::default, |annotations| Names {
            reference: annotations.reference,
            containerd: annotations.containerd,
        });
        Ok(Self {
            media_type: raw.media_type,
            digest: raw.digest.parse().map_err(DocumentError::Digest)?,
            size_bytes: raw.size,
            platform,
            names,
        })
    }
}

impl Document {
    /// Reads a document that came as `given` media type (empty when nothing was said, as in an archive's index.json).
    pub(super) fn parse(bytes: &[u8], given: &str) -> Result<Self, DocumentError> {
        if DOCKER_SCHEMA_1.contains(&given) {
            return Err(DocumentError::Schema1);
        }
        let raw: RawDocument = serde_json::from_slice(bytes)
            .map_err(|source| DocumentError::Json { what: "the manifest", source })?;
        if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
            return Err(DocumentError::Schema1);
        }
        if raw.manifests.is_some() && (raw.config.is_some() || raw.layers.is_some()) {
            return Err(DocumentError::Ambiguous);
        }
        let media_type = match raw.media_type {
            Some(stated) if !given.is_empty() && stated != given => {
                return Err(DocumentError::MediaType { stated, given: given.to_owned() });
            }
            Some(stated) => stated,
            None => given.to_owned(),
        };
        match (media_type.as_str(), raw.manifests, raw.config, raw.layers) {
            (OCI_INDEX | DOCKER_INDEX | "", Some(manifests), _, _) => {
                limited("manifests", manifests.len(), MAX_INDEX_ENTRIES)?;
                Ok(Self::Index(manifests.into_iter().map(Descriptor::try_from).collect::<Result<_, _>>()?))
            }
            (OCI_MANIFEST | DOCKER_MANIFEST | "", None, Some(config), Some(layers)) => {
                manifest(config, layers).map(Self::Manifest)
            }
            _ => Err(DocumentError::Unsupported(media_type, "image manifest or index")),
        }
    }
}

/// Refuses more than `limit` of something.
pub(super) fn limited(what: &'static str, count: usize, limit: usize) -> Result<(), DocumentError> {
    if count > limit {
        return Err(DocumentError::TooMany { what, count: count as u64, limit: limit as u64 });
    }
    Ok(())
}

fn manifest(config: RawDescriptor, layers: Vec<RawDescriptor>) -> Result<Manifest, DocumentError> {
    limited("layers", layers.len(), MAX_LAYERS)?;
    let config = Descriptor::try_from(config)?;
    if !CONFIGS.contains(&config.media_type.as_str()) {
        return Err(DocumentError::Unsupported(config.media_type, "image configuration"));
    }
    let layers: Vec<Descriptor> = layers.into_iter().map(Descriptor::try_from).collect::<Result<_, _>>()?;
    for layer in &layers {
        if !is_layer(&layer.media_type) {
            return Err(DocumentError::Unsupported(layer.media_type.clone(), "layer that can be unpacked"));
        }
    }
    Ok(Manifest { config, layers })
}

/// How it is compressed is seen from its first bytes; here it is only about being a tar.
fn is_layer(media_type: &str) -> bool {
    let Some((base, compression)) = media_type.split_once(".tar") else { return false };
    let is_known_base = matches!(
        base,
        "application/vnd.oci.image.layer.v1"
            | "application/vnd.oci.image.layer.nondistributable.v1"
            | "application/vnd.docker.image.rootfs.diff"
            | "application/vnd.docker.image.rootfs.foreign.diff"
    );
    is_known_base && matches!(compression, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{HEX}","size":2}}"#)
    }

    fn manifest_with(layers: &[String]) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(OCI_CONFIG),
            layers.join(",")
        )
    }

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}}"#,
            descriptor(OCI_CONFIG)
        );
        for given in [OCI_MANIFEST, OCI_INDEX, ""] {
            assert!(matches!(Document::parse(text.as_bytes(), given), Err(DocumentError::Ambiguous)));
        }
    }

    #[test]
    fn the_media_type_inside_is_the_one_outside() {
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert_eq!(Document::parse(text.as_bytes(), OCI_INDEX).expect("an index"), Document::Index(vec![]));
        let error = Document::parse(text.as_bytes(), DOCKER_INDEX).expect_err("other type");
        assert!(matches!(error, DocumentError::MediaType { .. }), "{error:?}");
        let wrong = Document::parse(manifest_with(&[]).as_bytes(), OCI_INDEX);
        assert!(matches!(wrong, Err(DocumentError::Unsupported(..))), "{wrong:?}");
    }

    #[test]
    fn layers_that_are_no_tar_are_refused() {
        for good in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ] {
            Document::parse(manifest_with(&[descriptor(good)]).as_bytes(), OCI_MANIFEST).expect(good);
        }
        for bad in ["application/vnd.erofs.layer.v1", "application/vnd.oci.image.layer.v1.tar+xz", ""] {
            let parsed = Document::parse(manifest_with(&[descriptor(bad)]).as_bytes(), OCI_MANIFEST);
            assert!(matches!(parsed, Err(DocumentError::Unsupported(..))), "{bad}: {parsed:?}");
        }
    }

    #[test]
    fn configurations_of_old_images_are_taken_and_those_of_other_things_are_not() {
        let with = |media_type: &str| manifest_with(&[]).replace(OCI_CONFIG, media_type);
        for good in CONFIGS {
            Document::parse(with(good).as_bytes(), OCI_MANIFEST).expect(good);
        }
        for bad in [
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.oci.empty.v1+json",
            "application/vnd.wasm.config.v0+json",
            "text/plain",
        ] {
            let parsed = Document::parse(with(bad).as_bytes(), OCI_MANIFEST);
            assert!(matches!(parsed, Err(DocumentError::Unsupported(..))), "{bad}: {parsed:?}");
        }
    }

    #[test]
    fn the_bounds_hold() {
        let layer = descriptor(OCI_LAYER);
        for (count, is_allowed) in [(MAX_LAYERS, true), (MAX_LAYERS + 1, false)] {
            let text = manifest_with(&vec![layer.clone(); count]);
            assert_eq!(Document::parse(text.as_bytes(), OCI_MANIFEST).is_ok(), is_allowed, "{count}");
        }
        let negative = manifest_with(&[layer.replace(":2}", ":-2}")]);
        assert!(matches!(Document::parse(negative.as_bytes(), ""), Err(DocumentError::Json { .. })));
        let huge = manifest_with(&[layer.replace(":2}", ":68719476737}")]);
        assert!(matches!(Document::parse(huge.as_bytes(), ""), Err(DocumentError::TooMany { .. })));
    }
}
