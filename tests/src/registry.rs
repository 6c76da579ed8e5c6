//! Debian's docker-registry on a loopback port of its own, with its storage in the test's scratch directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::eventually::eventually;
use crate::image::Image;
use crate::process::{self, Background};
use crate::programs;
use crate::scratch::Scratch;

/// A running registry; stopped when it goes out of scope.
#[derive(Debug)]
pub struct Registry<'a> {
    scratch: &'a Scratch,
    address: String,
    storage: PathBuf,
    _server: Background,
}

impl<'a> Registry<'a> {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(scratch: &'a Scratch) -> Self {
        let storage = scratch.directory("registry");
        let config = scratch.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        fs::write(&config, text).expect("the registry's configuration");
        let log = scratch.join("registry.log");
        let mut command = scratch.command(programs::tool("docker-registry"));
        let server = Background::start(command.arg("serve").arg(&config), &log);
        // Port 0 is any free port; which one it was given, it says in its log.
        let address = eventually(Duration::from_secs(20), || {
            let text = fs::read_to_string(&log).ok()?;
            let (_, tail) = text.split_once("listening on ")?;
            let end = tail.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))?;
            Some(tail[..end].to_owned())
        });
        Self { scratch, address, storage, _server: server }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it keeps its blobs, for tests that spoil one.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// Where it keeps the bytes of this blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.storage.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// Pushes an image with skopeo, and returns its reference: `127.0.0.1:PORT/NAME:TAG`.
    ///
    /// # Panics
    /// When skopeo can't.
    #[track_caller]
    pub fn push(&self, image: &Image, name_and_tag: &str) -> String {
        let layout = self.scratch.join(format!("push-{}", name_and_tag.replace(['/', ':'], "-")));
        image.write_layout(&layout, "latest");
        let reference = self.push_layout(&layout, "latest", name_and_tag);
        fs::remove_dir_all(&layout).expect("the layout can be removed");
        reference
    }

    /// As [`Self::push`], for a layout that is already on disk.
    #[track_caller]
    pub fn push_layout(&self, layout: &Path, tag: &str, name_and_tag: &str) -> String {
        let reference = format!("{}/{name_and_tag}", self.address);
        let mut skopeo = self.scratch.command(programs::tool("skopeo"));
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        skopeo.arg(format!("oci:{}:{tag}", layout.display())).arg(format!("docker://{reference}"));
        process::run_within(Duration::from_secs(300), &mut skopeo).success();
        reference
    }
}
