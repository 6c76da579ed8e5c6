//! What archives are taken for, and which are refused: in memory, against real content.

use serde_json::{Value, json};

use super::archived::{ArchivedImage, Finder};
use super::error::ArchiveError;
use super::intake::Intake;
use super::layout::{INDEX_JSON, MANIFEST_JSON};
use crate::collect::Leases;
use crate::content::{Content, Digest};
use crate::images::document::DocumentError;
use crate::images::error::ImageError;
use crate::images::platform::Platform;

/// Members of a tar, and what they name.
#[derive(Default)]
struct Archive {
    members: Vec<(String, Vec<u8>)>,
    links: Vec<(String, String)>,
}

impl Archive {
    fn with(mut self, name: &str, data: impl AsRef<[u8]>) -> Self {
        self.members.push((name.to_owned(), data.as_ref().to_vec()));
        self
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        self.links.push((name.to_owned(), target.to_owned()));
        self
    }

    /// A blob of an OCI layout, and its descriptor.
    fn blob(self, media_type: &str, data: impl AsRef<[u8]>) -> (Self, Value) {
        let digest = Digest::of(data.as_ref());
        let descriptor =
            json!({ "mediaType": media_type, "digest": digest.as_str(), "size": data.as_ref().len() });
        (self.with(&format!("blobs/sha256/{}", digest.hex()), data), descriptor)
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, target) in &self.links {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, target).expect("memory");
        }
        for (name, data) in &self.members {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            tar.append_data(&mut header, name, data.as_slice()).expect("memory");
        }
        tar.into_inner().expect("memory")
    }

    async fn found(&self) -> Result<Vec<ArchivedImage>, ImageError> {
        found(self.tar(), None).await
    }
}

async fn found(tar: Vec<u8>, platform: Option<&str>) -> Result<Vec<ArchivedImage>, ImageError> {
    let platform = platform.map(|text| text.parse::<Platform>().expect(text));
    tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir().expect("a directory");
        let content = Content::open(directory.path()).expect("content");
        let leases = Leases::default();
        let lease = leases.lease();
        let intake = Intake::read(std::io::Cursor::new(tar), &content, &lease)?;
        let found = Finder { intake: &intake, content: &content, lease: &lease, platform: platform.as_ref() }
            .images()?;
        // Nothing is in use that is not held.
        let held: Vec<Digest> = leases.freeze().names().cloned().collect();
        for image in &found {
            let blobs = image.manifest.layers.iter().chain([&image.manifest.config]).map(|blob| &blob.digest);
            assert!(blobs.chain([&image.manifest_digest]).all(|digest| held.contains(digest)));
        }
        Ok(found)
    })
    .await
    .expect("no panic")
}

fn config(layers: &[&[u8]], architecture: &str) -> String {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": diff_ids } })
        .to_string()
}

fn native() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

fn names(found: &ArchivedImage) -> Vec<String> {
    found.references.iter().map(ToString::to_string).collect()
}

/// An image in an OCI layout: its manifest's descriptor.
fn layout_image(archive: Archive, layer: &[u8], architecture: &str) -> (Archive, Value) {
    let (archive, layer_descriptor) = archive.blob("application/vnd.oci.image.layer.v1.tar", layer);
    let (archive, config) =
        archive.blob("application/vnd.oci.image.config.v1+json", config(&[layer], architecture));
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer_descriptor] }).to_string();
    archive.blob("application/vnd.oci.image.manifest.v1+json", manifest)
}

fn index(manifests: &[Value]) -> String {
    json!({ "schemaVersion": 2, "manifests": manifests }).to_string()
}

#[tokio::test]
async fn docker_save_s_form_is_read_with_links_in_any_order_and_several_images() {
    let (first, second) = (b"first layer".as_slice(), b"second layer".as_slice());
    let manifest = json!([
        { "Config": "aa.json", "RepoTags": ["alpine:3", "localhost:5000/x:1"], "Layers": ["b/layer.tar", "a/layer.tar"] },
        { "Config": "bb.json", "RepoTags": null, "Layers": ["c/layer.tar"] },
    ]);
    let archive = Archive::default()
        .link("b/layer.tar", "../c/layer.tar")
        .with("manifest.json", manifest.to_string())
        .with("repositories", "{}")
        .with("a/layer.tar", second)
        .with("a/VERSION", "1.0")
        .with("a/json", "{}")
        .with("aa.json", config(&[first, second], native()))
        .with("bb.json", config(&[first], native()))
        .with("c/layer.tar", first);
    let found = archive.found().await.expect("two images");
    assert_eq!(names(&found[0]), ["docker.io/library/alpine:3", "localhost:5000/x:1"]);
    let layers: Vec<&Digest> = found[0].manifest.layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(layers, [&Digest::of(first), &Digest::of(second)]);
    assert!(names(&found[1]).is_empty());
    assert_eq!(found[1].manifest.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar");
}

#[tokio::test]
async fn an_oci_layout_is_read_by_its_annotations_and_for_one_platform() {
    let other = if native() == "amd64" { "arm64" } else { "amd64" };
    let (archive, mine) = layout_image(Archive::default(), b"mine", native());
    let (archive, theirs) = layout_image(archive, b"theirs", other);
    let with_platform = |descriptor: &Value, architecture: &str| {
        let mut descriptor = descriptor.clone();
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        descriptor
    };
    let nested = index(&[with_platform(&theirs, other), with_platform(&mine, native())]);
    let (archive, mut nested) = archive.blob("application/vnd.oci.image.index.v1+json", nested);
    nested["annotations"] =
        json!({ "io.containerd.image.name": "quay.io/a/b:1", "org.opencontainers.image.ref.name": "1" });
    let mut named = mine.clone();
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "localhost/c:2" });
    let archive = archive
        .with("./oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .with("./index.json", index(&[nested, named]));
    let images = archive.found().await.expect("one image with two names");
    assert_eq!(images.len(), 1);
    assert_eq!(names(&images[0]), ["quay.io/a/b:1", "localhost/c:2"]);
    assert_eq!(images[0].manifest.layers[0].digest, Digest::of(b"mine"));
    let theirs = found(archive.tar(), Some(&format!("linux/{other}"))).await.expect("the other platform's");
    assert_eq!(theirs[0].manifest.layers[0].digest, Digest::of(b"theirs"));
    let nobodys = found(archive.tar(), Some("linux/s390x")).await;
    assert!(matches!(nobodys, Err(ImageError::Archive(ArchiveError::NoPlatform { .. }))), "{nobodys:?}");
}

#[tokio::test]
async fn both_forms_in_one_archive_are_one_image() {
    let layer = b"layer".as_slice();
    let (archive, mut descriptor) = layout_image(Archive::default(), layer, native());
    descriptor["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/a:1" });
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let entry = json!([{ "Config": name(config(&[layer], native()).as_bytes()), "RepoTags": ["a:1", "a:2"], "Layers": [name(layer)] }]);
    let archive = archive.with("index.json", index(&[descriptor])).with("manifest.json", entry.to_string());
    let found = archive.found().await.expect("one image");
    assert_eq!(found.len(), 1);
    assert_eq!(names(&found[0]), ["docker.io/library/a:1", "docker.io/library/a:2"]);
}

#[tokio::test]
async fn archives_that_are_wrong_are_refused_by_name() {
    type Expected = fn(&ImageError) -> bool;
    let docker = |config: &str, layers: &[&str]| json!([{ "Config": config, "Layers": layers }]).to_string();
    let good = || Archive::default().with("c.json", config(&[b"l"], native())).with("l.tar", "l");
    let (bad_size, mut descriptor) = layout_image(Archive::default(), b"x", native());
    descriptor["size"] = json!(5);
    let lying = Archive::default().with(&format!("blobs/sha256/{}", Digest::of(b"right").hex()), "wrong");
    let cases: Vec<(Archive, Expected)> = vec![
        (Archive::default(), |error| matches!(error, ImageError::Archive(ArchiveError::NoImages))),
        (good().with("manifest.json", "[]"), |error| {
            matches!(error, ImageError::Archive(ArchiveError::Empty(MANIFEST_JSON)))
        }),
        (good().with("manifest.json", "{"), |error| {
            matches!(error, ImageError::Archive(ArchiveError::Json { .. }))
        }),
        (good().with("manifest.json", docker("none.json", &["l.tar"])), |error| {
            matches!(error, ImageError::Archive(ArchiveError::NoMember(_)))
        }),
        (good().with("manifest.json", docker("c.json", &["none.tar"])), |error| {
            matches!(error, ImageError::Archive(ArchiveError::NoMember(_)))
        }),
        (good().with("manifest.json", docker("c.json", &["../l.tar"])), |error| {
            matches!(error, ImageError::Archive(ArchiveError::Name(_)))
        }),
        (good().with("manifest.json", docker("c.json", &["l.tar", "l.tar"])), |error| {
            matches!(error, ImageError::Document(_, DocumentError::LayerCount { .. }))
        }),
        (good().with("manifest.json", docker("l.tar", &["l.tar"])), |error| {
            matches!(error, ImageError::Document(_, DocumentError::Json { .. }))
        }),
        (
            good().link("loop", "pool").link("pool", "loop").with("manifest.json", docker("loop", &[])),
            |error| matches!(error, ImageError::Archive(ArchiveError::Link(_))),
        ),
        (bad_size.with("index.json", index(&[descriptor])), |error| {
            matches!(error, ImageError::Document(_, DocumentError::Size { .. }))
        }),
        (lying, |error| {
            matches!(error, ImageError::Content(crate::content::ContentError::WrongDigest { .. }))
        }),
        (Archive::default().with("index.json", index(&[])), |error| {
            matches!(error, ImageError::Archive(ArchiveError::Empty(INDEX_JSON)))
        }),
    ];
    for (number, (archive, is_expected)) in cases.into_iter().enumerate() {
        let error = archive.found().await.expect_err("refused");
        assert!(is_expected(&error), "case {number}: {error:?}");
    }
    let mut cut = good().with("manifest.json", docker("c.json", &["l.tar"])).tar();
    cut.truncate(cut.len() - 1400);
    assert!(matches!(found(cut, None).await, Err(ImageError::Archive(ArchiveError::Read(_)))));
}
