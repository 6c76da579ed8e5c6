//! The image that these tests run: busybox, brought to knarrd as an archive, without a registry.

use knarr_tests::{Image, Knarr, Scratch};

/// How the image is called.
pub(crate) const NAME: &str = "test/busybox:1";

/// Loads the image.
#[track_caller]
pub(crate) fn load(scratch: &Scratch, knarr: &Knarr<'_>) {
    load_as(scratch, knarr, &Image::busybox(), NAME);
}

/// Loads an image under a name.
#[track_caller]
pub(crate) fn load_as(scratch: &Scratch, knarr: &Knarr<'_>, image: &Image, name: &str) {
    let archive = scratch.join(format!("{}.tar", name.replace(['/', ':'], "-")));
    image.write_docker_archive(&archive, &[name]);
    knarr.say(["load", "-q", "-i", archive.to_str().expect("our own path")]);
    std::fs::remove_file(archive).expect("our own file");
}
