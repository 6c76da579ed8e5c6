//! The Images service: lists, filters, names and removals, with docker's rules about what is in use.

use knarr_proto::v1;
use knarr_tests::image::digest;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, require};
use serde_json::json;
use tonic::{Code, Status};

use crate::imported;

fn list(grpc: &Grpc, filters: &[(&str, &str)]) -> Result<Vec<v1::ImageSummary>, Status> {
    let filters =
        filters.iter().map(|(key, value)| v1::Filter { key: (*key).into(), value: (*value).into() });
    let request = v1::ListImagesRequest { filters: filters.collect() };
    grpc.list_images(request)
}

fn inspect(grpc: &Grpc, image: &str) -> Result<v1::Image, Status> {
    let request = v1::InspectImageRequest { image: image.to_owned(), platform: String::new() };
    Ok(grpc.wait(grpc.images().inspect(request))?.into_inner().image.expect("an image"))
}

fn tag(grpc: &Grpc, source: &str, target: &str) -> Result<(), Status> {
    let request = v1::TagImageRequest { source: source.to_owned(), target: target.to_owned() };
    grpc.wait(grpc.images().tag(request)).map(drop)
}

fn remove(grpc: &Grpc, image: &str, force: bool) -> Result<v1::RemoveImageReply, Status> {
    let request = v1::RemoveImageRequest { image: image.to_owned(), force };
    Ok(grpc.wait(grpc.images().remove(request))?.into_inner())
}

fn create(grpc: &Grpc, name: &str, image: &str) -> String {
    let config = v1::ContainerConfig { image: image.to_owned(), ..v1::ContainerConfig::default() };
    let request =
        v1::CreateContainerRequest { name: name.to_owned(), config: Some(config), ..Default::default() };
    grpc.wait(grpc.containers().create(request)).expect("created").into_inner().id
}

fn remove_container(grpc: &Grpc, name: &str) {
    let request = v1::RemoveContainerRequest { container: name.to_owned(), force: true, volumes: false };
    grpc.wait(grpc.containers().remove(request)).expect("removed");
}

fn snapshots(grpc: &Grpc) -> usize {
    grpc.list_snapshots().expect("listed").len()
}

fn blobs(daemon: &Daemon<'_>) -> usize {
    std::fs::read_dir(daemon.root().join("content/blobs/sha256")).expect("the blobs").count()
}

#[test]
fn an_image_is_shown_as_its_builder_wrote_it() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let made = Image::busybox()
        .config("User", json!("1000:1000"))
        .config("Labels", json!({ "tier": "front" }))
        .config("ExposedPorts", json!({ "80/tcp": {} }))
        .config("WorkingDir", json!("/srv"))
        .config("StopSignal", json!("SIGQUIT"));
    imported::image(&scratch, &grpc, &made, &["web:1", "localhost:5000/team/web:2"]);
    let image = inspect(&grpc, "web:1").expect("there");
    assert_eq!(image.id, made.id());
    assert_eq!(image.references, ["docker.io/library/web:1", "localhost:5000/team/web:2"]);
    let config = image.config.clone().expect("a configuration");
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1000:1000", "/srv"));
    assert_eq!((config.stop_signal.as_str(), config.cmd.as_slice()), ("SIGQUIT", &["sh".to_owned()][..]));
    assert_eq!(config.exposed_ports, ["80/tcp"]);
    assert_eq!(config.labels["tier"], "front");
    assert_eq!(image.created_at.expect("a time").seconds, 1_704_067_200);
    assert_eq!((image.diff_ids.len(), image.history.len()), (1, 1));
    assert!(image.size_bytes > 100_000 && image.compressed_bytes > 100_000, "{image:?}");
    assert_eq!(image.platform.as_ref().expect("a platform").os, "linux");
    let hex = made.id().replace("sha256:", "");
    for name in [made.id().as_str(), &hex, &hex[..12], "docker.io/library/web:1", "localhost:5000/team/web:2"]
    {
        assert_eq!(inspect(&grpc, name).expect(name), image);
    }
}

#[test]
fn filters_are_docker_s_and_others_are_refused() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let labelled = Image::busybox().config("Labels", json!({ "tier": "front" }));
    imported::image(&scratch, &grpc, &labelled, &["web:1", "web:2"]);
    imported::image(&scratch, &grpc, &Image::busybox(), &["quay.io/a/db:1"]);
    imported::image(&scratch, &grpc, &Image::busybox().config("User", json!("5")), &[]);
    for (filters, count) in [
        (&[][..], 3),
        (&[("reference", "web")], 1),
        (&[("reference", "w*:2")], 1),
        (&[("reference", "quay.io/*/*")], 1),
        (&[("reference", "web:1"), ("reference", "quay.io/a/db")], 2),
        (&[("label", "tier")], 1),
        (&[("label", "tier=back")], 0),
        (&[("dangling", "true")], 1),
        (&[("dangling", "false")], 2),
        (&[("dangling", "false"), ("label", "tier=front")], 1),
    ] {
        assert_eq!(list(&grpc, filters).expect("listed").len(), count, "{filters:?}");
    }
    for filter in [("colour", "red"), ("dangling", "maybe")] {
        let status = list(&grpc, &[filter]).expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(filter.0), "{status:?}");
    }
}

#[test]
fn wrong_names_are_told_in_one_sentence_and_change_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    imported::image(&scratch, &grpc, &Image::busybox(), &["busybox:1"]);
    let long = "x".repeat(100_000);
    for (name, code, word) in [
        ("", Code::InvalidArgument, "empty"),
        ("Busybox", Code::InvalidArgument, "lower case"),
        ("a b", Code::InvalidArgument, "a b"),
        ("https://quay.io/a", Code::InvalidArgument, "registry"),
        (&long, Code::InvalidArgument, "bytes"),
        ("nobody", Code::NotFound, "nobody"),
        ("deadbeef", Code::NotFound, "deadbeef"),
        (&format!("busybox@{}", digest(b"other")), Code::NotFound, "no such image"),
    ] {
        for status in [
            inspect(&grpc, name).expect_err("none"),
            remove(&grpc, name, true).expect_err("none"),
            tag(&grpc, name, "new:1").expect_err("none"),
        ] {
            assert_eq!(status.code(), code, "{name:.80}: {status:?}");
            assert!(status.message().contains(word) && !status.message().contains('\n'), "{status:?}");
            assert!(status.message().len() < 500, "{status:?}");
        }
    }
    for target in ["", "UPPER", &format!("a@{}", digest(b"x")), "a:-b"] {
        assert_eq!(
            tag(&grpc, "busybox:1", target).expect_err("refused").code(),
            Code::InvalidArgument,
            "{target}"
        );
    }
    let images = list(&grpc, &[]).expect("listed");
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].references, ["docker.io/library/busybox:1"]);
}

#[test]
fn the_last_name_takes_the_image_along_and_a_name_can_move() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let first = imported::image(&scratch, &grpc, &Image::busybox(), &["a:1"]);
    let second = imported::image(&scratch, &grpc, &Image::busybox().config("User", json!("5")), &["b:1"]);
    tag(&grpc, "a:1", "a:2").expect("tagged");
    let status = remove(&grpc, &first.id, false).expect_err("it has two names");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("docker.io/library/a:2"), "{status:?}");

    let removed = remove(&grpc, "a:1", false).expect("untagged");
    assert_eq!(removed.untagged, ["docker.io/library/a:1"]);
    assert!(removed.deleted.is_empty());
    tag(&grpc, "b:1", "a:2").expect("moved");
    assert!(inspect(&grpc, &first.id).expect("still here, without a name").references.is_empty());
    let removed = remove(&grpc, &first.id, false).expect("removed by id");
    assert!(removed.untagged.is_empty() && removed.deleted.contains(&first.id), "{removed:?}");
    // The layer is the other image's too.
    assert_eq!(snapshots(&grpc), 1);
    let removed = remove(&grpc, &second.id, true).expect("with all of its names");
    assert_eq!(removed.untagged, ["docker.io/library/a:2", "docker.io/library/b:1"]);
    assert!(
        removed.deleted.contains(&second.id) && removed.deleted.contains(&second.diff_ids[0]),
        "{removed:?}"
    );
    assert_eq!((list(&grpc, &[]).expect("listed").len(), snapshots(&grpc), blobs(&daemon)), (0, 0, 0));
}

#[test]
fn an_image_in_use_is_not_removed_and_goes_with_its_last_container() {
    require!(root);
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let two = Image::busybox().layer(Layer::new().file("extra", 0o644, b"x"));
    imported::image(&scratch, &grpc, &two, &["two:1", "two:2"]);
    create(&grpc, "user", "two:1");
    assert!(remove(&grpc, "two:2", false).expect("another name is left").deleted.is_empty());
    let status = remove(&grpc, "two:1", false).expect_err("in use");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("user") && status.message().contains("--force"), "{status:?}");
    let removed = remove(&grpc, "two:1", true).expect("forced: its container does not run");
    assert!(removed.deleted.contains(&two.id()), "{removed:?}");
    assert_eq!(inspect(&grpc, "two:1").expect_err("gone").code(), Code::NotFound);
    // The container keeps what it stands on, over a restart as well.
    assert_eq!(snapshots(&grpc), 3);
    daemon.stop();
    daemon.start_again();
    let grpc = Grpc::connect(&daemon.socket());
    assert_eq!(snapshots(&grpc), 3);
    remove_container(&grpc, "user");
    assert_eq!((snapshots(&grpc), blobs(&daemon)), (0, 0));
}
