//! OCI images made by the tests themselves, so that every layer, digest and oddity is known:
//! [`Layer`] is a tar, [`Image`] is layers and a configuration, written as an OCI layout or a docker archive.

mod layer;
mod write;

use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use layer::Layer;

/// How an image's layers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, as most images have it.
    Gzip,
}

/// Layers and what to run in them.
#[derive(Clone, Debug)]
pub struct Image {
    layers: Vec<Vec<u8>>,
    config: Value,
    compression: Compression,
}

impl Default for Image {
    fn default() -> Self {
        Self::empty()
    }
}

impl Image {
    /// No layers, no command.
    #[must_use]
    pub fn empty() -> Self {
        let config = json!({ "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] });
        Self { layers: Vec::new(), config, compression: Compression::Gzip }
    }

    /// One layer with busybox and its links; runs `sh`.
    #[must_use]
    pub fn busybox() -> Self {
        Self::empty().layer(Layer::busybox()).config("Cmd", json!(["sh"]))
    }

    /// Puts a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer.into_tar());
        self
    }

    /// Puts a layer on top, given as a tar.
    #[must_use]
    pub fn tar_layer(mut self, tar: Vec<u8>) -> Self {
        self.layers.push(tar);
        self
    }

    /// Sets a field of the image's `config` object: `Cmd`, `Entrypoint`, `Env`, `User`, `WorkingDir`, `Labels`, `StopSignal` …
    #[must_use]
    pub fn config(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// How the layers are stored; gzip unless said.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many layers there are.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }
}

/// `sha256:…` of these bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}
