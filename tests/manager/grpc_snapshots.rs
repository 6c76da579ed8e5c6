//! The Snapshots service: an image's layers and a container's own, as they are on disk.

use knarr_proto::v1;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, require};
use tonic::Code;

use crate::imported;

#[test]
fn an_image_s_layers_and_a_container_s_own_are_listed_counted_and_mountable() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let two = Image::busybox().layer(Layer::new().file("big", 0o644, &[7; 1 << 20]));
    let image = imported::image(&scratch, &grpc, &two, &["two:1"]);
    let config = v1::ContainerConfig { image: "two:1".into(), ..v1::ContainerConfig::default() };
    let create =
        v1::CreateContainerRequest { name: "one".into(), config: Some(config), ..Default::default() };
    let container = grpc.wait(grpc.containers().create(create)).expect("created").into_inner().id;

    let list = grpc.list_snapshots().expect("listed");
    let [bottom, top, own] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!((bottom.key.as_str(), bottom.parent.as_str()), (image.diff_ids[0].as_str(), ""));
    assert_eq!((top.parent.as_str(), top.kind()), (bottom.key.as_str(), v1::SnapshotKind::Committed));
    assert_eq!((own.key.as_str(), own.parent.as_str()), (container.as_str(), top.key.as_str()));
    assert_eq!(own.kind(), v1::SnapshotKind::Active);

    let stat = v1::StatSnapshotRequest { key: top.key.clone() };
    let stat = grpc.wait(grpc.snapshots().stat(stat)).expect("there").into_inner().snapshot;
    assert_eq!(stat.as_ref(), Some(top));
    let usage = v1::SnapshotUsageRequest { key: top.key.clone() };
    let usage = grpc.wait(grpc.snapshots().usage(usage)).expect("counted").into_inner();
    assert!(usage.inodes >= 1 && usage.size_bytes >= 1 << 20, "{usage:?}");
    let mounts = v1::SnapshotMountsRequest { key: container };
    let mounts = grpc.wait(grpc.snapshots().mounts(mounts)).expect("mounts").into_inner().mounts;
    let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
    assert!(["overlay", "bind"].contains(&mount.r#type.as_str()) && !mount.options.is_empty(), "{mount:?}");
}

#[test]
fn a_snapshot_that_is_not_there_is_not_found() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    for key in ["", "nobody", "../../etc", &"k".repeat(10_000)] {
        let key = key.to_owned();
        let stat = grpc.wait(grpc.snapshots().stat(v1::StatSnapshotRequest { key: key.clone() }));
        let usage = grpc.wait(grpc.snapshots().usage(v1::SnapshotUsageRequest { key: key.clone() }));
        let mounts = grpc.wait(grpc.snapshots().mounts(v1::SnapshotMountsRequest { key: key.clone() }));
        for status in [stat.expect_err("none"), usage.expect_err("none"), mounts.expect_err("none")] {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            assert!(status.message().starts_with("no such snapshot"), "{status:?}");
        }
    }
}
