//! Import and Export: both archive forms in, one archive out that everybody reads, and wrong archives that leave nothing.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::write::GzEncoder;
use knarr_proto::v1::import_images_request::Message;
use knarr_proto::v1::{self};
use knarr_tests::image::{Compression, digest};
use knarr_tests::strace::Tracer;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, eventually, process, programs, require};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::imported;

fn export(grpc: &Grpc, images: &[&str]) -> Result<Vec<u8>, Status> {
    let request =
        v1::ExportImagesRequest { images: images.iter().map(|image| (*image).to_owned()).collect() };
    let mut service = grpc.images();
    grpc.wait(async {
        let mut pieces = service.export(request).await?.into_inner();
        let mut archive = Vec::new();
        while let Some(piece) = pieces.message().await? {
            archive.extend(piece.data);
        }
        Ok(archive)
    })
}

fn remove(grpc: &Grpc, image: &str) {
    let request = v1::RemoveImageRequest { image: image.to_owned(), force: true };
    grpc.wait(grpc.images().remove(request)).expect("removed");
}

/// What is left of images on disk.
fn traces(daemon: &Daemon<'_>) -> Vec<PathBuf> {
    let root = daemon.root();
    ["content/blobs/sha256", "content/ingest", "snapshots"]
        .iter()
        .flat_map(|place| std::fs::read_dir(root.join(place)).expect("a directory of knarrd's"))
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn docker_archive(scratch: &Scratch, image: &Image, names: &[&str]) -> Vec<u8> {
    let path = scratch.join("docker.tar");
    image.write_docker_archive(&path, names);
    std::fs::read(path).expect("the archive")
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        // Names that the tar crate would refuse to write.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *data).expect("memory");
    }
    tar.into_inner().expect("memory")
}

#[test]
fn both_forms_are_taken_plain_and_compressed() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = Image::busybox().layer(Layer::new().file("second", 0o644, b"layer"));
    let docker = docker_archive(&scratch, &image, &["a:1", "localhost:5000/b:2"]);
    let oci = std::fs::read(image.write_oci_archive(&scratch, "quay.io/c:3")).expect("the archive");
    for (archive, names) in [
        (docker.clone(), &["docker.io/library/a:1", "localhost:5000/b:2"][..]),
        (gzip(&docker), &["docker.io/library/a:1", "localhost:5000/b:2"]),
        (oci.clone(), &["quay.io/c:3"]),
        (gzip(&oci), &["quay.io/c:3"]),
    ] {
        let images = imported::archive(&grpc, &archive).expect("imported");
        assert_eq!((images.len(), images[0].id.clone()), (1, image.id()));
        assert_eq!(images[0].references, names);
        assert_eq!(imported::inspect(&grpc, &images[0].id).diff_ids.len(), 2);
        remove(&grpc, &image.id());
        assert_eq!(traces(&daemon), Vec::<PathBuf>::new());
    }
}

/// A sync for each of an archive's members would make thousands of them.
#[test]
fn an_archive_of_many_members_is_brought_to_disk_at_once() {
    require!(root, tool("strace"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let (count, most) = (400_u32, 20);
    let contents: Vec<(String, String)> =
        (0..count).map(|number| (format!("extra/{number}"), format!("member {number}"))).collect();
    let members: Vec<(&str, &[u8])> =
        contents.iter().map(|(name, data)| (name.as_str(), data.as_bytes())).collect();
    let mut archive = tar(&members);
    // Without the zeros at its end, so that the image's members follow.
    archive.truncate(archive.len() - 1024);
    archive.extend(docker_archive(&scratch, &Image::busybox(), &["many:1"]));
    let tracer = Tracer::record(daemon.pid(), &scratch.join("calls"));
    imported::archive(&grpc, &archive).expect("imported");
    let calls = tracer.calls();
    let times = |call: &str| calls.get(call).copied().unwrap_or_default();
    assert!(times("rename") + times("renameat") >= count, "every member became a blob: {calls:?}");
    let syncs = times("fsync") + times("fdatasync") + times("syncfs");
    assert!((1..most).contains(&syncs), "{syncs} syncs: {calls:?}");
    remove(&grpc, "many:1");
    assert_eq!(traces(&daemon), Vec::<PathBuf>::new());
}

#[test]
fn what_is_exported_comes_back_the_same_and_is_always_the_same_bytes() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let first = imported::image(&scratch, &grpc, &Image::busybox(), &["a:1", "a:2"]);
    let zipped = Image::busybox().compression(Compression::Gzip).config("User", json!("5"));
    let archive = std::fs::read(zipped.write_oci_archive(&scratch, "quay.io/b:1")).expect("the archive");
    let second = imported::archive(&grpc, &archive).expect("imported").remove(0);
    let second = imported::inspect(&grpc, &second.id);
    let exported = export(&grpc, &["a:1", "quay.io/b:1", "a:2", &second.id]).expect("exported");
    assert_eq!(digest(&exported), digest(&export(&grpc, &["quay.io/b:1", "a:2", "a:1"]).expect("again")));
    let nameless = export(&grpc, &[&first.id]).expect("by id");
    for image in [&first, &second] {
        remove(&grpc, &image.id);
    }
    assert_eq!(traces(&daemon), Vec::<PathBuf>::new());
    let images = imported::archive(&grpc, &exported).expect("imported again");
    let back: BTreeSet<(String, Vec<String>, String)> = images
        .into_iter()
        .map(|image| {
            let digest = imported::inspect(&grpc, &image.id).manifest_digest;
            (image.id, image.references, digest)
        })
        .collect();
    let expected = [first, second.clone()].map(|image| (image.id, image.references, image.manifest_digest));
    assert_eq!(back, BTreeSet::from(expected));
    remove(&grpc, &second.id);
    let images = imported::archive(&grpc, &nameless).expect("imported by id");
    assert_eq!(images[0].references, [""; 0], "the archive has no names");
    assert_eq!(
        imported::inspect(&grpc, &images[0].id).references,
        ["docker.io/library/a:1", "docker.io/library/a:2"],
        "it has kept its own"
    );
}

#[test]
fn skopeo_reads_an_export_as_both_forms() {
    require!(root, tool("skopeo"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = imported::image(&scratch, &grpc, &Image::busybox(), &["docker.io/library/a:1"]);
    let path = scratch.join("export.tar");
    std::fs::write(&path, export(&grpc, &["a:1"]).expect("exported")).expect("the archive");
    for form in ["docker-archive", "oci-archive"] {
        let to = scratch.join(form);
        let mut skopeo = scratch.command(programs::tool("skopeo"));
        skopeo.args(["--insecure-policy", "copy", "--quiet"]);
        skopeo.arg(format!("{form}:{}", path.display())).arg(format!("dir:{}", to.display()));
        process::run_within(Duration::from_secs(60), &mut skopeo).success();
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(to.join("manifest.json")).expect("a manifest"))
                .expect("JSON");
        assert_eq!(manifest["config"]["digest"], image.id.as_str(), "{form}");
    }
}

/// A person's `docker save` comes in and our export goes out, through containerd's own tool.
#[test]
fn containerd_imports_an_export() {
    require!(root, tool("containerd"), tool("ctr"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    imported::image(&scratch, &grpc, &Image::busybox(), &["quay.io/a/b:1"]);
    let path = scratch.join("export.tar");
    std::fs::write(&path, export(&grpc, &["quay.io/a/b:1"]).expect("exported")).expect("the archive");
    let containerd = knarr_tests::Containerd::start(&scratch);
    containerd.ctr(["images", "import", &path.display().to_string()]).success();
    let listed = containerd.ctr(["images", "ls", "-q"]).success();
    assert!(listed.stdout.contains("quay.io/a/b:1"), "{}", listed.stdout);
}

#[test]
fn a_wrong_archive_is_refused_in_one_sentence_and_leaves_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let whole = docker_archive(&scratch, &Image::busybox(), &["a:1"]);
    let mut cut = whole.clone();
    cut.truncate(cut.len() / 2);
    let mut flipped = whole.clone();
    // In the middle of the layer: its diff_id does not fit any more.
    flipped[whole.len() / 2] ^= 1;
    let bad_name = docker_archive(&scratch, &Image::busybox(), &["Upper:1"]);
    let blob = format!("blobs/sha256/{}", digest(b"right").trim_start_matches("sha256:"));
    let huge = format!(r#"[{}]"#, " ".repeat(5 << 20));
    let canary = Path::new("/tmp/knarr-traversal-canary");
    let cases: Vec<(&str, Vec<u8>, Code)> = vec![
        ("nothing", Vec::new(), Code::InvalidArgument),
        ("noise", vec![b'x'; 100_000], Code::InvalidArgument),
        ("no images", tar(&[("hello", b"world")]), Code::InvalidArgument),
        ("cut off", cut, Code::InvalidArgument),
        ("cut off within gzip", gzip(&whole)[..5000].to_vec(), Code::InvalidArgument),
        ("a changed layer", flipped, Code::DataLoss),
        ("a bad reference", bad_name, Code::InvalidArgument),
        ("a blob that lies", tar(&[(&blob, b"wrong")]), Code::DataLoss),
        (
            "a name that climbs",
            tar(&[("../../../../../tmp/knarr-traversal-canary", b"x")]),
            Code::InvalidArgument,
        ),
        ("an absolute name", tar(&[("/tmp/knarr-traversal-canary", b"x")]), Code::InvalidArgument),
        ("a huge document", tar(&[("manifest.json", huge.as_bytes())]), Code::InvalidArgument),
        ("broken JSON", tar(&[("manifest.json", b"[{")]), Code::InvalidArgument),
    ];
    for (case, archive, code) in cases {
        let status = imported::archive(&grpc, &archive).expect_err(case);
        assert_eq!(status.code(), code, "{case}: {status:?}");
        assert!(!status.message().is_empty() && !status.message().contains('\n'), "{case}: {status:?}");
        assert_eq!(traces(&daemon), Vec::<PathBuf>::new(), "{case}");
        assert!(!canary.exists(), "{case}");
    }
    assert!(grpc.list_images(v1::ListImagesRequest::default()).expect("listed").is_empty());
}

#[test]
fn one_wrong_image_of_several_keeps_the_others_out() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let config = |diff_id: &[u8]| {
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [digest(diff_id)] } })
            .to_string()
    };
    let layer = Layer::new().file("a", 0o644, b"a").into_tar();
    let (good, bad) = (config(&layer), config(b"something else"));
    let manifest = json!([
        { "Config": "good.json", "RepoTags": ["good:1"], "Layers": ["layer.tar"] },
        { "Config": "bad.json", "RepoTags": ["bad:1"], "Layers": ["layer.tar"] },
    ])
    .to_string();
    let archive = tar(&[
        ("layer.tar", &layer),
        ("good.json", good.as_bytes()),
        ("bad.json", bad.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ]);
    imported::archive(&grpc, &archive).expect_err("the second is wrong");
    assert_eq!(traces(&daemon), Vec::<PathBuf>::new());
    assert!(grpc.list_images(v1::ListImagesRequest::default()).expect("listed").is_empty());
}

#[test]
fn a_stream_out_of_order_and_a_client_that_leaves_keep_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let open = || Message::Open(v1::ImportOpen::default());
    for messages in [vec![], vec![Message::Data(vec![1])], vec![open(), open()]] {
        let status = imported::send(&grpc, messages).expect_err("out of order");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let platform = Message::Open(v1::ImportOpen { platform: "linux".into() });
    assert_eq!(imported::send(&grpc, vec![platform]).expect_err("refused").code(), Code::InvalidArgument);
    let foreign = docker_archive(&scratch, &Image::busybox(), &["a:1"]);
    let status = imported::archive_for(&grpc, &foreign, "linux/s390x").expect_err("another platform");
    assert_eq!(status.code(), Code::NotFound, "{status:?}");

    // Half of an archive, then silence, then gone.
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    let half = foreign[..foreign.len() / 2].chunks(100_000).map(|piece| Message::Data(piece.to_vec()));
    for message in std::iter::once(open()).chain(half) {
        let request = v1::ImportImagesRequest { message: Some(message) };
        sender.try_send(request).expect("it fits");
    }
    let mut images = grpc.images();
    grpc.wait(async {
        let import = images.import(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let given_up = tokio::time::timeout(Duration::from_millis(300), import).await;
        assert!(given_up.is_err(), "an import cannot end without its end");
    });
    drop((sender, grpc));
    eventually(Duration::from_secs(20), || traces(&daemon).is_empty().then_some(()));
}

#[test]
fn what_cannot_be_exported_is_refused_before_the_first_byte() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    imported::image(&scratch, &grpc, &Image::busybox(), &["a:1"]);
    for (images, code) in [
        (&[][..], Code::InvalidArgument),
        (&["A"], Code::InvalidArgument),
        (&["a:1", "nobody"], Code::NotFound),
    ] {
        let status = export(&grpc, images).expect_err("refused");
        assert_eq!(status.code(), code, "{status:?}");
    }
}
