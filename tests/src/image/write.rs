//! Images on disk: an OCI layout directory (what skopeo pushes) and a docker archive (what `docker save` writes).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Compression, Image, digest};
use crate::process;
use crate::scratch::Scratch;

impl Image {
    /// Writes an OCI layout with this one image, tagged, and returns the manifest's digest.
    ///
    /// # Panics
    /// When a file can't be written.
    #[track_caller]
    pub fn write_layout(&self, directory: &Path, tag: &str) -> String {
        fs::create_dir_all(directory.join("blobs/sha256")).expect("the layout's directory");
        let layers: Vec<Value> = self.layers.iter().map(|tar| self.write_layer(directory, tar)).collect();
        let config = put(directory, &self.config_bytes(), "application/vnd.oci.image.config.v1+json");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
        });
        let mut entry = put(directory, &to_bytes(&manifest), "application/vnd.oci.image.manifest.v1+json");
        let manifest_digest = entry["digest"].as_str().expect("put gives a digest").to_owned();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        fs::write(directory.join("index.json"), to_bytes(&index)).expect("index.json");
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
        manifest_digest
    }

    /// As [`Self::write_layout`], into one tar (`oci-archive:` in skopeo's words).
    #[track_caller]
    pub fn write_oci_archive(&self, scratch: &Scratch, tag: &str) -> PathBuf {
        let directory = scratch.join("oci-archive-layout");
        self.write_layout(&directory, tag);
        let archive = scratch.join("image.oci.tar");
        let mut tar = scratch.command("tar");
        tar.arg("-C").arg(&directory).arg("-cf").arg(&archive).args(["oci-layout", "index.json", "blobs"]);
        process::run(&mut tar).success();
        fs::remove_dir_all(&directory).expect("the layout can be removed");
        archive
    }

    /// Writes a docker archive (`manifest.json`, as `docker save` does) for these names.
    ///
    /// # Panics
    /// When the file can't be written.
    #[track_caller]
    pub fn write_docker_archive(&self, path: &Path, names: &[&str]) {
        let file = fs::File::create(path).expect("the archive can be made");
        let mut tar = tar::Builder::new(file);
        let mut append = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).expect("the archive can be written");
        };
        let mut layer_names = Vec::new();
        for layer in &self.layers {
            let name = format!("{}.tar", digest(layer).trim_start_matches("sha256:"));
            append(&name, layer);
            layer_names.push(name);
        }
        let config = self.config_bytes();
        let config_name = format!("{}.json", digest(&config).trim_start_matches("sha256:"));
        append(&config_name, &config);
        let manifest = json!([{ "Config": config_name, "RepoTags": names, "Layers": layer_names }]);
        append("manifest.json", &to_bytes(&manifest));
        tar.finish().expect("the archive can be finished");
    }

    /// The image's id: the digest of its configuration.
    #[must_use]
    pub fn id(&self) -> String {
        digest(&self.config_bytes())
    }

    fn config_bytes(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|tar| digest(tar)).collect();
        let history: Vec<Value> =
            (0..self.layers.len()).map(|number| json!({ "created_by": format!("layer {number}") })).collect();
        to_bytes(&json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        }))
    }

    fn write_layer(&self, directory: &Path, tar: &[u8]) -> Value {
        match self.compression {
            Compression::None => put(directory, tar, "application/vnd.oci.image.layer.v1.tar"),
            Compression::Gzip => put(directory, &gzip(tar), "application/vnd.oci.image.layer.v1.tar+gzip"),
        }
    }
}

/// Writes a blob into a layout, and returns its descriptor.
#[track_caller]
pub(crate) fn put(directory: &Path, bytes: &[u8], media_type: &str) -> Value {
    let digest = digest(bytes);
    let path = directory.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    fs::write(path, bytes).expect("a blob can be written");
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory for a layer");
    encoder.finish().expect("memory for a layer")
}

fn to_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value has a text")
}
