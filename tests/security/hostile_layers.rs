//! Layers made by somebody who wants out: pulled for real, unpacked by the confined helper. A canary outside of the
//! snapshots, and everything else on the host that a layer names, stays as it was; what is refused leaves nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use knarr_proto::v1::{self, pull_image_reply::Message};
use knarr_tests::scripted::Answer;
use knarr_tests::{Daemon, Grpc, Image, Scratch, Scripted, require};
use tar::{Builder, EntryType, Header};
use tonic::{Code, Status};

/// A tar whose headers hold exactly what is said; the library's own checks would refuse it.
struct Raw(Builder<Vec<u8>>);

impl Raw {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, path: &str, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).expect("memory");
        self
    }

    fn file(self, path: &str) -> Self {
        self.entry(EntryType::Regular, path, "", b"dead")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"")
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).expect("memory");
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("memory")
    }
}

fn pull(grpc: &Grpc, reference: &str) -> Result<v1::Image, Status> {
    let request = v1::PullImageRequest { reference: reference.to_owned(), ..v1::PullImageRequest::default() };
    grpc.wait(async {
        let mut stream = grpc.images().pull(request).await?.into_inner();
        loop {
            match stream.message().await?.and_then(|reply| reply.message) {
                Some(Message::Progress(_)) => {}
                Some(Message::Done(done)) => return Ok(done.image.expect("an image")),
                None => return Err(Status::internal("the stream ended without a result")),
            }
        }
    })
}

/// A daemon, and a file that nothing may touch.
struct Bed<'a> {
    scratch: &'a Scratch,
    daemon: Daemon<'a>,
    grpc: Grpc,
    canary: PathBuf,
    before: (u64, i64, Vec<u8>),
}

impl<'a> Bed<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let canary = scratch.join("canary");
        fs::write(&canary, "alive").expect("a canary");
        let daemon = Daemon::start(scratch);
        let grpc = Grpc::connect(&daemon.socket());
        let before = state(&canary);
        Self { scratch, daemon, grpc, canary, before }
    }

    fn pull(&self, layers: Vec<Vec<u8>>) -> Result<v1::Image, Status> {
        let image = layers.into_iter().fold(Image::empty(), Image::tar_layer);
        let registry = Scripted::start(self.scratch, &image, |_| Answer::Usual);
        let pulled = pull(&self.grpc, &registry.reference());
        assert_eq!(state(&self.canary), self.before, "the canary was touched");
        pulled
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.daemon.root().join("snapshots")).expect("the snapshots");
        entries
            .map(|entry| entry.expect("a snapshot").path().join("fs"))
            .filter(|path| path.exists())
            .collect()
    }

    fn forget(&self, image: &v1::Image) {
        let request = v1::RemoveImageRequest { image: image.id.clone(), force: true };
        self.grpc.wait(self.grpc.images().remove(request)).expect("removed");
    }
}

fn state(path: &Path) -> (u64, i64, Vec<u8>) {
    let metadata = fs::symlink_metadata(path).expect("the canary");
    (metadata.nlink(), metadata.ctime_nsec(), fs::read(path).expect("the canary"))
}

#[test]
fn layers_that_lead_out_are_refused_and_leave_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let canary = bed.canary.display().to_string();
    let up = format!("{}{}", "../".repeat(20), canary.trim_start_matches('/'));
    let long = vec![b'x'; 2 << 20];
    for (what, layer) in [
        ("a path above the root", Raw::new().file("../canary")),
        ("a path far above the root", Raw::new().file(&up)),
        ("a PAX path above the root", Raw::new().pax(&[("path", up.as_bytes())]).file("x")),
        ("a hard link above the root", Raw::new().hard_link("x", &up)),
        ("a hard link to the host's file", Raw::new().hard_link("x", &canary)),
        ("a hard link through a link", Raw::new().symlink("l", "/").hard_link("x", &format!("l{canary}"))),
        ("a whiteout of the parent", Raw::new().file("d/.wh...")),
        ("a whiteout of nothing", Raw::new().file(".wh.")),
        ("links in a circle", Raw::new().symlink("a", "b").symlink("b", "a").file("a/x")),
        ("a NUL in a path", Raw::new().pax(&[("path", b"a\0b")]).file("x")),
        ("a root that is a file", Raw::new().file(".")),
        ("a PAX header that is huge", Raw::new().pax(&[("comment", &long)]).file("x")),
        ("a long name that is huge", Raw::new().entry(EntryType::GNULongName, "l", "", &long).file("x")),
        ("an entry of no known type", Raw::new().entry(EntryType::new(b'M'), "x", "", b"")),
        ("a file in a file", Raw::new().file("f").file("f/x")),
        ("an owner that is nobody's", Raw::new().pax(&[("uid", b"4294967295")]).file("x")),
        ("a size beyond everything", Raw::new().pax(&[("size", b"99999999999999999")]).file("x")),
    ] {
        let status = bed.pull(vec![layer.bytes()]).map(|image| image.id).expect_err(what);
        assert!(matches!(status.code(), Code::InvalidArgument | Code::DataLoss), "{what}: {status:?}");
        assert!(status.message().contains("cannot unpack layer sha256:"), "{what}: {status:?}");
        assert_eq!(bed.snapshots(), Vec::<PathBuf>::new(), "{what}");
    }
}

#[test]
fn layers_that_only_look_as_if_stay_inside() {
    require!(root);
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let canary = bed.canary.display().to_string();
    let inside = canary.trim_start_matches('/').to_owned();
    let outside = bed.scratch.path().display().to_string();
    let through_link = Raw::new().symlink("out", &outside).file("out/canary");
    let relative = Raw::new().symlink("up", "../../../../../..").file(&format!("up{canary}"));
    let twice = Raw::new().symlink("f", &canary).file("f");
    let absolute = Raw::new().file(&canary);
    for (what, layers, written) in [
        ("a file through an absolute link", vec![through_link.bytes()], inside.as_str()),
        ("a file through a relative link", vec![relative.bytes()], inside.as_str()),
        ("a file in place of a link", vec![twice.bytes()], "f"),
        ("an absolute path", vec![absolute.bytes()], inside.as_str()),
        (
            "a link in one layer, a file in the next",
            vec![Raw::new().symlink("out", &outside).bytes(), Raw::new().file("out/canary").bytes()],
            inside.as_str(),
        ),
        (
            "a link in one layer, a whiteout through it in the next",
            vec![
                Raw::new().symlink("out", &outside).bytes(),
                Raw::new().file("out/.wh.canary").file("x").bytes(),
            ],
            "x",
        ),
    ] {
        let image = bed.pull(layers).expect(what);
        let found = bed
            .snapshots()
            .into_iter()
            .any(|root| fs::read(root.join(written)).is_ok_and(|text| text == b"dead"));
        assert!(found, "{what}: {written} is in no snapshot");
        bed.forget(&image);
        assert_eq!(bed.snapshots(), Vec::<PathBuf>::new(), "{what}");
    }
}

#[test]
fn orders_to_the_host_s_kernel_are_dropped() {
    require!(root);
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let below = Raw::new().entry(EntryType::Directory, "d", "", b"").file("d/kept");
    let attributes: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.note", b"taken"),
    ];
    let above = Raw::new().pax(&attributes).entry(EntryType::Directory, "d", "", b"").file("d/new");
    let image = bed.pull(vec![below.bytes(), above.bytes()]).expect("pulled");
    let top = bed.snapshots().into_iter().find(|root| root.join("d/new").exists()).expect("the upper layer");
    let mut names = [0; 1024];
    let count = rustix::fs::listxattr(top.join("d"), &mut names[..]).expect("listed");
    let names = String::from_utf8_lossy(&names[..count]).into_owned();
    assert!(!names.contains("trusted.overlay"), "{names:?}");
    assert!(names.contains("user.note"), "{names:?}");
    bed.forget(&image);
}

#[test]
fn a_bomb_ends_before_the_disk_does() {
    require!(root);
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    // One entry says that it has a terabyte; a gzip stream of it would be small.
    let mut header = Header::new_gnu();
    header.set_path("bomb").expect("a short path");
    header.set_mode(0o644);
    header.set_size(1 << 40);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let status = bed.pull(vec![header.as_bytes().to_vec()]).map(|image| image.id).expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("more than"), "{status:?}");
    assert_eq!(bed.snapshots(), Vec::<PathBuf>::new());
}
