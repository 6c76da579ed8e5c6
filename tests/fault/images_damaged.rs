//! Images whose files decay on disk: lists go on, a pull fetches again what is damaged, and a removal always works.

use std::fs;
use std::path::{Path, PathBuf};

use knarr_proto::v1;
use knarr_tests::scripted::Answer;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, Scripted, require};
use tonic::{Code, Status};

fn list(grpc: &Grpc) -> Vec<v1::ImageSummary> {
    grpc.list_images(v1::ListImagesRequest::default()).expect("listed")
}

fn remove(grpc: &Grpc, image: &str) {
    let request = v1::RemoveImageRequest { image: image.to_owned(), force: true };
    grpc.wait(grpc.images().remove(request)).expect("removed");
}

fn export(grpc: &Grpc, image: &str) -> Result<(), Status> {
    let mut images = grpc.images();
    grpc.wait(async {
        let request = v1::ExportImagesRequest { images: vec![image.to_owned()] };
        let mut pieces = images.export(request).await?.into_inner();
        while pieces.message().await?.is_some() {}
        Ok(())
    })
}

type Damage = fn(&Path);

/// What can happen to a file.
const DAMAGES: [(&str, Damage); 6] = [
    ("a flipped bit", |path| {
        let mut bytes = fs::read(path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("written");
    }),
    ("zeros", |path| {
        let length = fs::metadata(path).expect("there").len();
        fs::write(path, vec![0; length.try_into().expect("small")]).expect("written");
    }),
    ("empty", |path| fs::write(path, "").expect("written")),
    ("longer", |path| fs::write(path, vec![b'x'; 3 << 20]).expect("written")),
    ("gone", |path| fs::remove_file(path).expect("removed")),
    ("a directory in its place", |path| {
        fs::remove_file(path).and_then(|()| fs::create_dir(path)).expect("made");
    }),
];

fn blob(daemon: &Daemon<'_>, digest: &str) -> PathBuf {
    daemon.root().join("content/blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

fn image() -> Image {
    Image::empty().layer(Layer::new().file("file", 0o644, b"of the image"))
}

#[test]
fn a_damaged_blob_spoils_no_list_and_is_pulled_again() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let registry = Scripted::start(&scratch, &image(), |_| Answer::Usual);
    let other = Scripted::start(&scratch, &Image::busybox(), |_| Answer::Usual);
    grpc.pull_image(&other.reference()).expect("pulled");
    let pulled = grpc.pull_image(&registry.reference()).expect("pulled");
    let all = fs::read_dir(daemon.root().join("content/blobs/sha256")).expect("the blobs");
    let before: Vec<PathBuf> = all.map(|entry| entry.expect("a blob").path()).collect();
    let layer = registry
        .requests()
        .into_iter()
        .filter_map(|request| request.path.split_once("/blobs/").map(|(_, digest)| digest.to_owned()))
        .find(|digest| *digest != pulled.id)
        .expect("the layer was fetched");
    for (part, digest) in
        [("configuration", &pulled.id), ("manifest", &pulled.manifest_digest), ("layer", &layer)]
    {
        for (what, damage) in DAMAGES {
            damage(&blob(&daemon, digest));
            let images = list(&grpc);
            assert_eq!(images.len(), 2, "{part}, {what}");
            for image in &images {
                let is_damaged = image.id == pulled.id && part == "configuration";
                assert_eq!(!image.damage.is_empty(), is_damaged, "{part}, {what}: {image:?}");
                assert!(!image.references.is_empty(), "{part}, {what}: {image:?}");
            }
            let status = export(&grpc, &registry.reference()).expect_err("it is damaged");
            assert!(matches!(status.code(), Code::DataLoss | Code::NotFound), "{part}, {what}: {status:?}");
            let again = grpc
                .pull_image(&registry.reference())
                .unwrap_or_else(|status| panic!("{part}, {what}: {status:?}"));
            assert_eq!(again.id, pulled.id);
            export(&grpc, &registry.reference())
                .unwrap_or_else(|status| panic!("{part}, {what}: {status:?}"));
            assert!(list(&grpc).iter().all(|image| image.damage.is_empty()), "{part}, {what}");
        }
    }
    assert!(before.iter().all(|path| path.is_file()), "not all is as before");
    export(&grpc, &other.reference()).expect("the other image is whole");
}

#[test]
fn a_damaged_image_can_always_be_removed() {
    require!(root);
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let registry = Scripted::start(&scratch, &image(), |_| Answer::Usual);
    for (what, damage) in DAMAGES {
        for name in [registry.reference(), image().id()] {
            let grpc = Grpc::connect(&daemon.socket());
            let pulled = grpc.pull_image(&registry.reference()).expect("pulled");
            for entry in fs::read_dir(daemon.root().join("content/blobs/sha256")).expect("the blobs") {
                damage(&entry.expect("a blob").path());
            }
            assert!(!list(&grpc)[0].damage.is_empty(), "{what}");
            daemon.kill();
            daemon.start_again();
            let grpc = Grpc::connect(&daemon.socket());
            assert_eq!(list(&grpc)[0].id, pulled.id, "{what}");
            remove(&grpc, &name);
            assert!(list(&grpc).is_empty(), "{what}");
            let left = fs::read_dir(daemon.root().join("content/blobs/sha256")).expect("the blobs").count();
            assert_eq!(left, 0, "{what}: blobs are left");
        }
    }
}

#[test]
fn a_deleted_snapshot_comes_back_with_a_pull() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = Image::busybox()
        .layer(Layer::new().file("one", 0o644, b"1"))
        .layer(Layer::new().file("two", 0o644, b"2"));
    let registry = Scripted::start(&scratch, &image, |_| Answer::Usual);
    let reference = registry.reference();
    grpc.pull_image(&reference).expect("pulled");
    let knarr = daemon.knarr();
    let say = ["run", "--rm", "--network", "none", &reference, "cat", "/one", "/two"];
    assert_eq!(knarr.say(say), "12");
    let snapshots = |daemon: &Daemon<'_>| {
        let entries = fs::read_dir(daemon.root().join("snapshots")).expect("the snapshots");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("one").path()).filter(|path| path.join("fs").is_dir()).collect();
        paths.sort();
        paths
    };
    let count = snapshots(&daemon).len();
    for place in 0..count {
        fs::remove_dir_all(&snapshots(&daemon)[place]).expect("deleted");
        grpc.pull_image(&reference).expect("pulled again");
        assert_eq!(knarr.say(say), "12", "after snapshot {place} was deleted");
    }
    for path in snapshots(&daemon) {
        fs::remove_dir_all(path).expect("deleted");
    }
    grpc.pull_image(&reference).expect("pulled again");
    assert_eq!(knarr.say(say), "12");
    remove(&grpc, &reference);
    assert!(snapshots(&daemon).is_empty());
}
