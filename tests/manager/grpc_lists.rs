//! Lists of things whose size others choose: any number of the largest that are allowed is listed, in replies that every
//! client takes (gRPC's own bound is 4 MiB).

use std::collections::HashMap;

use knarr_proto::v1;
use knarr_tests::scripted::Answer;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, Scripted, require};
use serde_json::json;
use tonic::Code;

use crate::imported;
use crate::made::{self, config, create};

/// The largest of 16 MiB, 8 MiB, 4 MiB … that is taken.
#[track_caller]
fn largest_taken(what: &str, mut take: impl FnMut(usize) -> Result<(), tonic::Status>) -> usize {
    for shift in (12..=24).rev() {
        // A little less, for what is around it.
        let length = (1 << shift) - (1 << (shift - 4));
        match take(length) {
            Ok(()) => return length,
            Err(status) => {
                let codes = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted];
                assert!(codes.contains(&status.code()), "{what} of {length} bytes: {status:?}");
            }
        }
    }
    panic!("not even {what} of 4 KiB")
}

/// Lists everything with a client as it comes; the number of containers, images and references.
#[track_caller]
fn listed(grpc: &Grpc) -> (usize, usize, usize) {
    let request = v1::ListContainersRequest { all: true, ..Default::default() };
    let containers = grpc.list_containers(request).expect("containers are listed");
    let images = grpc.list_images(v1::ListImagesRequest::default()).expect("images are listed");
    grpc.list_snapshots().expect("snapshots are listed");
    let references = images.iter().map(|image| image.references.len()).sum();
    (containers.len(), images.len(), references)
}

#[test]
fn many_of_the_largest_containers_are_listed() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let text = |length: usize| "x".repeat(length);
    type Fill = fn(&mut v1::ContainerConfig, String);
    let kinds: [(&str, Fill); 4] = [
        ("labels", |config, text| config.labels = HashMap::from([("l".to_owned(), text)])),
        ("arguments", |config, text| config.command = vec!["true".to_owned(), text]),
        ("environment", |config, text| config.env = vec![format!("E={text}")]),
        ("many labels", |config, text| {
            config.labels = text
                .as_bytes()
                .chunks(64)
                .enumerate()
                .map(|(number, piece)| (number.to_string(), String::from_utf8_lossy(piece).into_owned()))
                .collect();
        }),
    ];
    let mut count = 0;
    for (what, fill) in kinds {
        let with = |length| {
            let mut config = config(&["true"]);
            fill(&mut config, text(length));
            config
        };
        let length = largest_taken(what, |length| create(&grpc, "", with(length)).map(drop));
        for _ in 0..7 {
            create(&grpc, "", with(length)).expect(what);
        }
        count += 8;
        assert_eq!(listed(&grpc).0, count, "after eight with {length} bytes of {what}");
    }
    let knarr = daemon.knarr();
    assert_eq!(knarr.say(["ps", "-aq"]).lines().count(), count);
    assert!(knarr.say(["container", "prune", "-f"]).lines().count() > count);
    assert_eq!(listed(&grpc).0, 0);
}

#[test]
fn many_of_the_largest_images_are_listed_loaded_and_pruned() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    type Make = fn(String) -> Image;
    let kinds: [(&str, Make); 3] = [
        ("labels", |text| Image::empty().config("Labels", json!({ "l": text }))),
        ("a command", |text| Image::empty().config("Cmd", json!([text]))),
        ("volumes", |text| Image::empty().config("Volumes", json!({ format!("/{text}"): {} }))),
    ];
    let mut count = 0;
    for (what, make) in kinds {
        let load = |length: usize, name: &str| {
            let image = make(name.repeat(length / name.len())).layer(Layer::new().file("f", 0o644, b"x"));
            let path = scratch.join("large.tar");
            image.write_docker_archive(&path, &[name]);
            imported::archive(&grpc, &std::fs::read(&path).expect("the archive")).map(drop)
        };
        let length = largest_taken(what, |length| load(length, "first:1"));
        for number in 0..5 {
            load(length, &format!("more{number}:1")).expect(what);
        }
        // `first:1` moves on with each kind.
        count += 6;
        let (_, images, _) = listed(&grpc);
        assert_eq!(images, count, "after six with {length} bytes of {what}");
    }
    let knarr = daemon.knarr();
    assert!(!knarr.say(["images", "-q"]).is_empty());
    knarr.say(["image", "prune", "--all", "--force"]);
    assert_eq!(listed(&grpc).1, 0);
}

/// References that one image may have.
const MAX_NAMES: usize = 256;

/// One of the longest names that there are: 255 bytes and a tag of 128.
fn longest_name(number: usize) -> String {
    let name = format!("registry.example/{number}/");
    format!("{name}{}:{}", "n".repeat(255 - name.len()), "t".repeat(128))
}

#[test]
fn an_image_with_as_many_names_as_it_may_have_is_listed_with_all_of_them() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let names: Vec<String> = (0..MAX_NAMES).map(longest_name).collect();
    let load = |names: &[&str]| {
        let path = scratch.join("many.tar");
        Image::busybox().write_docker_archive(&path, names);
        imported::archive(&grpc, &std::fs::read(&path).expect("the archive"))
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let loaded = load(&names[..100]).expect("loaded");
    assert_eq!(loaded.iter().map(|image| image.references.len()).sum::<usize>(), 100);
    load(&names[100..MAX_NAMES - 1]).expect("loaded with other names");
    let tag = |target: &str| {
        let request = v1::TagImageRequest { source: names[0].to_owned(), target: target.to_owned() };
        grpc.wait(grpc.images().tag(request)).map(drop)
    };
    tag(names[MAX_NAMES - 1]).expect("the last");
    tag(names[MAX_NAMES - 1]).expect("it has that name already");
    assert_eq!(listed(&grpc).2, MAX_NAMES);
    assert_eq!(daemon.knarr().say(["images", "-q"]).lines().count(), 1);
    assert_eq!(daemon.knarr().say(["images", "--format", "{{.Tag}}"]).lines().count(), MAX_NAMES);
    assert_eq!(imported::inspect(&grpc, names[0]).references.len(), MAX_NAMES);

    let registry = Scripted::start(&scratch, &Image::busybox(), |_| Answer::Usual);
    let refusals = [
        ("tag", tag("one-more:1")),
        ("load", load(&["one-more:1"]).map(drop)),
        ("an archive with all", load(&[&names[..], &["one-more:1"]].concat()).map(drop)),
        ("pull", grpc.pull_image(&registry.reference()).map(drop)),
    ];
    for (what, refused) in refusals {
        let status = refused.expect_err(what);
        let is_told = matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument)
            && status.message().contains("256");
        assert!(is_told, "{what}: {status:?}");
    }
    assert_eq!(listed(&grpc).2, MAX_NAMES);
}
