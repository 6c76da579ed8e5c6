//! Archives made to pass for what they are not, or to fill the disk, or the lists: each is refused as a whole, and what
//! was here before is what its name means afterwards.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use knarr_proto::v1::{self, import_images_request::Message};
use knarr_tests::image::digest;
use knarr_tests::{Daemon, Grpc, Image, Scratch, require};
use serde_json::{Value, json};
use tonic::{Code, Status};

fn import(grpc: &Grpc, archive: &[u8]) -> Result<Vec<v1::LoadedImage>, Status> {
    let open = Message::Open(v1::ImportOpen::default());
    let data = archive.chunks(200_000).map(|piece| Message::Data(piece.to_vec()));
    let requests: Vec<_> = std::iter::once(open)
        .chain(data)
        .map(|message| v1::ImportImagesRequest { message: Some(message) })
        .collect();
    let mut images = grpc.images();
    let replies = grpc.gather(images.import(tokio_stream::iter(requests)))?;
    Ok(replies.into_iter().flat_map(|reply| reply.images).collect())
}

fn inspect(grpc: &Grpc, image: &str) -> Result<v1::Image, Status> {
    let request = v1::InspectImageRequest { image: image.to_owned(), ..v1::InspectImageRequest::default() };
    Ok(grpc.wait(grpc.images().inspect(request))?.into_inner().image.expect("an image"))
}

fn list(grpc: &Grpc) -> Vec<v1::ImageSummary> {
    grpc.list_images(v1::ListImagesRequest::default()).expect("listed")
}

fn docker_archive(scratch: &Scratch, image: &Image, names: &[&str]) -> Vec<u8> {
    let path = scratch.join("archive.tar");
    image.write_docker_archive(&path, names);
    std::fs::read(path).expect("the archive")
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, name, *data).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// An archive of images without layers, with these configurations and names.
fn archive_of(images: &[(Value, Vec<String>)]) -> Vec<u8> {
    let configs: Vec<Vec<u8>> = images.iter().map(|(config, _)| config.to_string().into_bytes()).collect();
    let names: Vec<String> = configs.iter().map(|config| format!("{}.json", &digest(config)[7..])).collect();
    let entries = images.iter().zip(&names);
    let manifest: Vec<Value> =
        entries.map(|((_, tags), name)| json!({ "Config": name, "RepoTags": tags, "Layers": [] })).collect();
    let manifest = Value::from(manifest).to_string();
    let mut members: Vec<(&str, &[u8])> =
        names.iter().zip(&configs).map(|(name, config)| (name.as_str(), config.as_slice())).collect();
    members.push(("manifest.json", manifest.as_bytes()));
    tar(&members)
}

fn with_labels(number: usize, bytes: usize) -> Value {
    json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": { "n": number.to_string(), "x": "y".repeat(bytes) } },
        "rootfs": { "type": "layers", "diff_ids": [] } })
}

/// Blocks that everything below a directory has on disk, in bytes.
fn disk_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory of knarrd's");
    entries.map(|entry| entry.expect("an entry").metadata().expect("its size").blocks() * 512).sum()
}

#[test]
fn no_image_can_have_a_name_that_passes_for_another_s_id() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let victim = import(&grpc, &docker_archive(&scratch, &Image::busybox(), &["victim:1"]))
        .expect("imported")
        .remove(0);
    let attacker = Image::busybox().config("User", json!("0"));
    let hex = victim.id.trim_start_matches("sha256:").to_owned();
    let texts = [
        victim.id.clone(),
        format!("sha256:{}", &hex[..12]),
        format!("sha256:{}", &hex[..4]),
        hex.clone(),
        hex[..63].to_owned(),
        hex[..12].to_owned(),
        format!("docker.io/library/{}", &hex[..12]),
        format!("docker.io/sha256:{}", &hex[..12]),
        format!("index.docker.io/library/{}:latest", &hex[..12]),
    ];
    let own = import(&grpc, &docker_archive(&scratch, &attacker, &["mine:1"]))
        .expect("a name of its own")
        .remove(0);
    for text in &texts {
        let archive = docker_archive(&scratch, &attacker, &["fine:1", text]);
        let oci = std::fs::read(attacker.write_oci_archive(&scratch, text)).expect("an archive");
        for (what, status) in [
            ("docker archive", import(&grpc, &archive).map(drop)),
            ("OCI archive", import(&grpc, &oci).map(drop)),
            ("tag", {
                let request = v1::TagImageRequest { source: "mine:1".to_owned(), target: text.clone() };
                grpc.wait(grpc.images().tag(request)).map(drop)
            }),
            ("pull", {
                let request =
                    v1::PullImageRequest { reference: text.clone(), ..v1::PullImageRequest::default() };
                let mut images = grpc.images();
                grpc.wait(async { images.pull(request).await?.into_inner().message().await.map(drop) })
            }),
        ] {
            // A pull says first that it resolves; its refusal comes before that.
            let status = match (what, status) {
                // A bare word in an OCI archive is only a tag, and no name.
                ("OCI archive", Ok(())) if !text.contains([':', '/']) => continue,
                (_, status) => status.expect_err(&format!("{what} of {text}")),
            };
            assert_eq!(status.code(), Code::InvalidArgument, "{what} of {text}: {status:?}");
        }
        assert!(inspect(&grpc, "fine:1").is_err(), "{text}: the archive was not refused as a whole");
        if let Ok(image) = inspect(&grpc, text) {
            assert_eq!(image.id, victim.id, "{text}");
        }
    }
    for text in &texts[..6] {
        assert_eq!(inspect(&grpc, text).expect(text).id, victim.id);
    }
    // Few digits may be a word that people call their images by: whichever is meant has to be said then.
    for digits in [4, 7, 11] {
        let (text, tagged) = (&hex[..digits], format!("{}:latest", &hex[..digits]));
        import(&grpc, &docker_archive(&scratch, &attacker, &[text])).expect("a short name");
        let status = inspect(&grpc, text).expect_err(text);
        assert_eq!(status.code(), Code::InvalidArgument, "{text}: {status:?}");
        assert_eq!(inspect(&grpc, &tagged).expect(&tagged).id, own.id);
        assert_eq!(inspect(&grpc, &format!("sha256:{text}")).expect(text).id, victim.id);
    }
    for text in ["cafe", "cafe:1", "user/cafe", "localhost/sha256:cafe", "abc"] {
        let request = v1::TagImageRequest { source: "mine:1".to_owned(), target: text.to_owned() };
        grpc.wait(grpc.images().tag(request)).expect(text);
        assert_eq!(inspect(&grpc, text).expect(text).id, own.id);
    }
}

#[test]
fn an_archive_that_makes_lists_too_long_is_refused_whole() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let good = || (with_labels(0, 10), vec!["good:1".to_owned()]);
    let step = |bytes: usize| json!({ "created_by": "x".repeat(bytes) });
    let history = |steps: Vec<Value>| json!({ "os": "linux", "architecture": "amd64", "history": steps });
    for (what, config, names) in [
        ("labels", with_labels(1, 2 << 20), vec![]),
        ("labels of 4 MiB", with_labels(1, (4 << 20) - 4096), vec![]),
        ("one long step", history(vec![step(3 << 20)]), vec![]),
        ("many long steps", history(vec![step(20_000); 100]), vec![]),
        ("many steps", history(vec![json!({}); 5000]), vec![]),
        ("names", with_labels(2, 10), (0..1000).map(|number| format!("many:{number}")).collect::<Vec<_>>()),
    ] {
        let archive = archive_of(&[good(), (config, names)]);
        let status = import(&grpc, &archive).expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert!(!status.message().contains('\n'), "{what}: {status:?}");
        assert!(list(&grpc).is_empty(), "{what}: something was kept");
    }
    // As many as the largest that are allowed are no trouble to anyone.
    let largest: Vec<_> =
        (0..12).map(|number| (with_labels(number, 1_000_000), vec![format!("large:{number}")])).collect();
    for part in largest.chunks(10) {
        import(&grpc, &archive_of(part)).expect("allowed");
    }
    assert_eq!(list(&grpc).len(), 12);
    assert_eq!(
        inspect(&grpc, "large:0").expect("whole").config.expect("a config").labels["x"].len(),
        1_000_000
    );
}

#[test]
fn a_small_archive_does_not_fill_the_disk() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let packed = |byte: u8, members: usize, mebibytes: usize| {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
        for number in 0..members {
            let data = vec![byte; mebibytes << 20];
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            tar.append_data(&mut header, format!("member-{number}"), data.as_slice()).expect("memory");
        }
        tar.into_inner().expect("memory").finish().expect("memory")
    };
    for (what, archive) in [("one member", packed(b'a', 1, 600)), ("many members", packed(b'b', 60, 10))] {
        assert!(archive.len() < 2 << 20, "{what} is packed small");
        let status = import(&grpc, &archive).expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert!(status.message().contains("unpacks to more than"), "{what}: {status:?}");
        assert!(disk_bytes(&daemon.root().join("content/blobs/sha256")) < 1 << 20, "{what}");
        assert!(disk_bytes(&daemon.root().join("content/ingest")) < 1 << 20, "{what}");
    }
    // Zeros cost nothing: the archive is refused only because it names no image.
    let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
    zeros.write_all(&tar(&[("zeros", &vec![0; 600 << 20])])).expect("memory");
    let status = import(&grpc, &zeros.finish().expect("memory")).expect_err("no image");
    assert!(status.message().contains("neither manifest.json nor index.json"), "{status:?}");
}

#[test]
fn a_load_that_is_killed_is_whole_or_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let images: Vec<_> =
        (0..30).map(|number| (with_labels(number, 10), vec![format!("many:{number}")])).collect();
    let archive = archive_of(&images);
    for attempt in 0..12_u64 {
        let grpc = Grpc::connect(&daemon.socket());
        std::thread::scope(|scope| {
            let (socket, archive) = (daemon.socket(), &archive);
            let loading = scope.spawn(move || import(&Grpc::connect(&socket), archive).is_ok());
            std::thread::sleep(std::time::Duration::from_millis(30 * attempt));
            daemon.kill();
            loading.join().expect("no panic");
        });
        drop(grpc);
        daemon.start_again();
        let grpc = Grpc::connect(&daemon.socket());
        let kept = list(&grpc).len();
        assert!(kept == 0 || kept == images.len(), "{kept} of {} images were kept", images.len());
        for image in list(&grpc) {
            let request = v1::RemoveImageRequest { image: image.id, force: true };
            grpc.wait(grpc.images().remove(request)).expect("removed");
        }
    }
}
