//! The Events service: what happened to images, in docker's words, once each, filtered and over time.

use std::time::SystemTime;

use knarr_proto::v1;
use knarr_tests::{Daemon, Grpc, Image, Scratch, require};
use tonic::{Code, Status};

use crate::imported;

/// Everything that happened until now and passes the filters.
fn past(grpc: &Grpc, filters: &[(&str, &str)]) -> Result<Vec<v1::Event>, Status> {
    let filters =
        filters.iter().map(|(key, value)| v1::Filter { key: (*key).into(), value: (*value).into() });
    let until = Some(SystemTime::now().into());
    let request = v1::SubscribeRequest { since: None, until, filters: filters.collect() };
    let mut service = grpc.events();
    grpc.wait(async {
        let mut stream = service.subscribe(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(event) = stream.message().await? {
            events.push(event);
        }
        Ok(events)
    })
}

fn actions(events: &[v1::Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

/// Loads, tags, saves and removes an image.
fn a_life(scratch: &Scratch, grpc: &Grpc) -> v1::Image {
    let image = imported::image(scratch, grpc, &Image::busybox(), &["a:1"]);
    let tag = v1::TagImageRequest { source: "a:1".into(), target: "b:1".into() };
    grpc.wait(grpc.images().tag(tag)).expect("tagged");
    let export = v1::ExportImagesRequest { images: vec!["b:1".into()] };
    grpc.wait(async {
        let mut pieces = grpc.images().export(export).await.expect("exported").into_inner();
        while pieces.message().await.expect("a piece").is_some() {}
    });
    for name in ["a:1", "b:1"] {
        let remove = v1::RemoveImageRequest { image: name.into(), force: false };
        grpc.wait(grpc.images().remove(remove)).expect("removed");
    }
    image
}

#[test]
fn an_image_s_life_is_told_and_filtered() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = a_life(&scratch, &grpc);
    let events = past(&grpc, &[("type", "image")]).expect("told");
    assert_eq!(actions(&events), ["load", "tag", "save", "untag", "untag", "delete"]);
    assert!(events.iter().all(|event| event.actor_id == image.id));
    let names: Vec<&str> = events.iter().map(|event| event.attributes["name"].as_str()).collect();
    assert_eq!(names, ["a:1", "b:1", "b:1", "a:1", "b:1", "b:1"]);
    assert!(events.is_sorted_by_key(|event| event.time.map(|time| (time.seconds, time.nanos))));
    for (filters, count) in [
        (&[("type", "image"), ("event", "untag")][..], 2),
        (&[("event", "load"), ("event", "save")], 2),
        (&[("image", "b:1")], 4),
        (&[("image", "b")], 4),
        (&[("image", &image.id)], 6),
        (&[("type", "container")], 0),
        (&[("type", "daemon"), ("event", "start")], 1),
        (&[("type", "image"), ("label", "none")], 0),
    ] {
        assert_eq!(past(&grpc, filters).expect("told").len(), count, "{filters:?}");
    }
    let status = past(&grpc, &[("colour", "red")]).expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("colour"), "{status:?}");
}

#[test]
fn who_listens_hears_it_as_it_happens_and_knarrd_ends_the_stream_when_it_stops() {
    require!(root);
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let listener = Grpc::connect(&daemon.socket());
    let mut service = listener.events();
    let filter = v1::Filter { key: "type".into(), value: "image".into() };
    let request = v1::SubscribeRequest { filters: vec![filter], ..v1::SubscribeRequest::default() };
    let mut stream = listener.wait(service.subscribe(request)).expect("listening").into_inner();
    a_life(&scratch, &grpc);
    let heard: Vec<String> = listener.wait(async {
        let mut heard = Vec::new();
        while heard.len() < 6 {
            heard.push(stream.message().await.expect("a stream").expect("an event").action);
        }
        heard
    });
    assert_eq!(heard, ["load", "tag", "save", "untag", "untag", "delete"]);
    daemon.stop();
    let last = listener.wait(stream.message());
    assert!(matches!(last, Ok(None) | Err(_)), "{last:?}");
}
