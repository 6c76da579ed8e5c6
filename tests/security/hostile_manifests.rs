//! Registries that use what they know of other registries' images: a known configuration beside other layers, a known
//! layer that never comes. What is here keeps working, and pulls from other registries go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use knarr_proto::v1::{self, pull_image_reply::Message};
use knarr_tests::image::digest;
use knarr_tests::scripted::Answer;
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, Scripted, eventually, require};
use serde_json::{Value, json};
use tonic::{Code, Status};

fn pull(grpc: &Grpc, reference: &str) -> Result<v1::PullDone, Status> {
    let request = v1::PullImageRequest { reference: reference.to_owned(), ..v1::PullImageRequest::default() };
    let mut images = grpc.images();
    grpc.wait(async {
        let mut stream = images.pull(request).await?.into_inner();
        loop {
            match stream.message().await?.and_then(|reply| reply.message) {
                Some(Message::Progress(_)) => {}
                Some(Message::Done(done)) => return Ok(done),
                None => return Err(Status::internal("the stream ended without a result")),
            }
        }
    })
}

fn export(grpc: &Grpc, image: &str) -> Result<usize, Status> {
    let mut images = grpc.images();
    grpc.wait(async {
        let request = v1::ExportImagesRequest { images: vec![image.to_owned()] };
        let mut pieces = images.export(request).await?.into_inner();
        let mut length = 0;
        while let Some(piece) = pieces.message().await? {
            length += piece.data.len();
        }
        Ok(length)
    })
}

/// A layout's blobs by digest, and its manifest's digest.
fn blobs(scratch: &Scratch, image: &Image) -> (std::collections::HashMap<String, Vec<u8>>, String) {
    let layout = scratch.join("manifest-layout");
    let manifest = image.write_layout(&layout, "x");
    let entries = std::fs::read_dir(layout.join("blobs/sha256")).expect("blobs");
    let blobs = entries.map(|entry| {
        let bytes = std::fs::read(entry.expect("a blob").path()).expect("read");
        (digest(&bytes), bytes)
    });
    let blobs = blobs.collect();
    std::fs::remove_dir_all(&layout).expect("removed");
    (blobs, manifest)
}

#[test]
fn a_known_configuration_with_other_layers_is_refused_and_replaces_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = Image::empty()
        .layer(Layer::new().file("a", 0o644, b"one"))
        .layer(Layer::new().file("b", 0o644, b"two"));
    let good = Scripted::start(&scratch, &image, |_| Answer::Usual);
    let pulled = pull(&grpc, &good.reference()).expect("pulled").image.expect("an image");
    let saved = export(&grpc, &good.reference()).expect("saved");
    let (blobs, manifest) = blobs(&scratch, &image);
    let manifest: Value = serde_json::from_slice(&blobs[&manifest]).expect("JSON");
    let config = &blobs[manifest["config"]["digest"].as_str().expect("a digest")];
    let rubbish = vec![b'r'; 3000];
    let layers = manifest["layers"].as_array().expect("layers").clone();
    let media_type = layers[0]["mediaType"].clone();
    let other = json!({ "mediaType": media_type, "digest": digest(&rubbish), "size": rubbish.len() });
    let good_layers: Vec<&Vec<u8>> =
        layers.iter().map(|layer| &blobs[layer["digest"].as_str().expect("a digest")]).collect();
    for (what, layers) in [
        ("rubbish below", vec![other.clone(), layers[1].clone()]),
        ("rubbish above", vec![layers[0].clone(), other.clone()]),
        ("all rubbish", vec![other.clone(), other.clone()]),
        ("layers exchanged", vec![layers[1].clone(), layers[0].clone()]),
        ("one layer twice", vec![layers[0].clone(), layers[0].clone()]),
    ] {
        let mut hostile = manifest.clone();
        hostile["layers"] = Value::from(layers);
        let hostile = hostile.to_string().into_bytes();
        let served: Vec<&[u8]> =
            [config, &rubbish, good_layers[0], good_layers[1]].map(Vec::as_slice).to_vec();
        let registry = Scripted::blobs(&hostile, &served, |_| Answer::Usual);
        // A second time as well: what the first try left here is not taken for verified.
        for attempt in ["first", "second"] {
            let status = pull(&grpc, &registry.reference()).map(|done| done.digest).expect_err(what);
            assert_eq!(status.code(), Code::DataLoss, "{what}, {attempt}: {status:?}");
        }
        assert_eq!(export(&grpc, &good.reference()).expect(what), saved, "{what}");
    }
    let again = pull(&grpc, &good.reference()).expect("the good one").image.expect("an image");
    assert_eq!((again.id, again.manifest_digest), (pulled.id, pulled.manifest_digest));
}

#[test]
fn a_registry_that_stalls_holds_up_no_other_registry() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let image = Image::busybox();
    let id = image.id();
    let stalled = Arc::new(AtomicUsize::new(0));
    let hostile = Scripted::start(&scratch, &image, {
        let (id, stalled) = (id.clone(), Arc::clone(&stalled));
        move |request| {
            if !request.is_blob() {
                return Answer::Usual;
            }
            stalled.fetch_add(1, Ordering::Relaxed);
            // The configuration's download stalls for some pulls, the layer's for others.
            if request.path.ends_with(&id) { Answer::Usual } else { Answer::StallAfter(1000) }
        }
    });
    let good = Scripted::start(&scratch, &image, |_| Answer::Usual);
    // More stalled downloads than there are threads that may block.
    let grpc = Grpc::connect(&daemon.socket());
    let (end, ended) = tokio::sync::oneshot::channel();
    let reference = hostile.reference();
    let pulls = std::thread::spawn(move || {
        let mut pulls = tokio::task::JoinSet::new();
        grpc.wait(async {
            for _ in 0..600 {
                let (mut images, reference) = (grpc.images(), reference.clone());
                pulls.spawn(async move {
                    let request = v1::PullImageRequest { reference, ..v1::PullImageRequest::default() };
                    if let Ok(stream) = images.pull(request).await {
                        let mut stream = stream.into_inner();
                        while let Ok(Some(_)) = stream.message().await {}
                    }
                });
            }
            ended.await
        })
    });
    eventually(Duration::from_secs(30), || (stalled.load(Ordering::Relaxed) >= 2).then_some(()));
    let began = Instant::now();
    let client = Grpc::connect(&daemon.socket());
    let pulled = pull(&client, &good.reference()).expect("the good registry's pull");
    assert_eq!(pulled.image.expect("an image").id, id);
    assert!(began.elapsed() < Duration::from_secs(40), "it took {:?}", began.elapsed());
    end.send(()).expect("they are still pulling");
    pulls.join().expect("no panic").expect("told to end");
}
