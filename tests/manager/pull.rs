//! Pulling, from registries that behave and from registries that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use knarr_proto::v1::{self, pull_image_reply::Message};
use knarr_tests::eventually::holds_within;
use knarr_tests::scripted::{Answer, Request};
use knarr_tests::{Daemon, Grpc, Image, Layer, Registry, Scratch, Scripted, require};
use tonic::{Code, Status};

/// What a pull told, and its end.
struct Told {
    progress: Vec<v1::PullProgress>,
    done: v1::PullDone,
}

fn pull(grpc: &Grpc, reference: &str) -> Result<Told, Status> {
    pull_as(grpc, reference, None)
}

fn pull_as(grpc: &Grpc, reference: &str, auth: Option<(&str, &str)>) -> Result<Told, Status> {
    let auth = auth.map(|(username, password)| v1::RegistryAuth {
        username: username.into(),
        password: password.into(),
    });
    let request = v1::PullImageRequest { reference: reference.to_owned(), platform: String::new(), auth };
    grpc.wait(async {
        let mut stream = grpc.images().pull(request).await?.into_inner();
        let mut progress = Vec::new();
        loop {
            match stream.message().await?.and_then(|reply| reply.message) {
                Some(Message::Progress(one)) => progress.push(one),
                Some(Message::Done(done)) => return Ok(Told { progress, done }),
                None => return Err(Status::internal("the stream ended without a result")),
            }
        }
    })
}

/// One layer that is too large for one read, and does not compress to nothing.
fn image() -> Image {
    let mut noise = Vec::with_capacity(1 << 20);
    let mut state = 1_u64;
    while noise.len() < 1 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend_from_slice(&state.to_be_bytes());
    }
    Image::empty().layer(Layer::new().file("noise", 0o644, &noise))
}

/// Requests for the layer: the larger of the two blobs.
fn layer_requests(registry: &Scripted) -> Vec<Request> {
    let image = image();
    let all = registry.requests();
    all.into_iter().filter(|request| request.is_blob() && !request.path.ends_with(&image.id())).collect()
}

fn is_layer(request: &Request) -> bool {
    request.is_blob() && !request.path.ends_with(&image().id())
}

fn blobs(daemon: &Daemon<'_>) -> usize {
    std::fs::read_dir(daemon.root().join("content/blobs/sha256")).expect("the blobs").count()
}

#[test]
fn what_was_pulled_is_not_pulled_again() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = Image::busybox().layer(Layer::new().file("etc/more", 0o600, b"more").whiteout("etc/group"));
    let reference = registry.push(&image, "test/twice:1");
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());

    let first = pull(&grpc, &reference).expect("pulled");
    let pulled = first.done.image.expect("an image");
    assert!(first.done.changed);
    assert_eq!(
        (pulled.id.as_str(), pulled.references.as_slice()),
        (image.id().as_str(), &[reference.clone()][..])
    );
    assert_eq!(pulled.manifest_digest, first.done.digest);
    assert_eq!(pulled.repo_digests, [format!("{}/test/twice@{}", registry.address(), first.done.digest)]);
    let phases: Vec<i32> = first.progress.iter().map(|one| one.phase).collect();
    for phase in [
        v1::PullPhase::Resolving,
        v1::PullPhase::Downloading,
        v1::PullPhase::Unpacking,
        v1::PullPhase::Complete,
    ] {
        assert!(phases.contains(&(phase as i32)), "{phase:?} in {phases:?}");
    }
    let again = pull(&grpc, &reference).expect("pulled again");
    assert!(!again.done.changed);
    let downloading = v1::PullPhase::Downloading as i32;
    assert!(again.progress.iter().all(|one| one.phase != downloading), "{:?}", again.progress);
    let by_digest = format!("{}/test/twice@{}", registry.address(), first.done.digest);
    assert_eq!(
        pull(&grpc, &by_digest).expect("pulled by digest").done.image.expect("an image").id,
        pulled.id
    );

    let request = v1::RemoveImageRequest { image: reference, force: false };
    let removed = grpc.wait(grpc.images().remove(request)).expect("removed").into_inner();
    assert!(removed.deleted.contains(&pulled.id), "{removed:?}");
    assert_eq!(blobs(&daemon), 0);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    require!(root);
    let scratch = Scratch::new();
    let registry = Scripted::start(&scratch, &image(), |request| match request.earlier {
        0..3 if is_layer(request) => Answer::Truncated(200_000),
        _ => Answer::Usual,
    });
    let daemon = Daemon::start(&scratch);
    pull(&Grpc::connect(&daemon.socket()), &registry.reference()).expect("pulled");
    let ranges: Vec<String> =
        layer_requests(&registry).iter().map(|request| request.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=200000-", "bytes=400000-", "bytes=600000-"]);
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    require!(root);
    let scratch = Scratch::new();
    let registry = Scripted::start(&scratch, &image(), |request| match request.earlier {
        0 => Answer::Other(503, String::new(), Vec::new()),
        1 => Answer::Other(429, "retry-after: 0\r\n".to_owned(), Vec::new()),
        _ => Answer::Usual,
    });
    let daemon = Daemon::start(&scratch);
    pull(&Grpc::connect(&daemon.socket()), &registry.reference()).expect("pulled");
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let is_good = Arc::new(AtomicBool::new(false));
    let registry = Scripted::start(&scratch, &image(), {
        let is_good = Arc::clone(&is_good);
        move |request| match is_layer(request) && !is_good.load(Ordering::Relaxed) {
            true => Answer::Other(200, String::new(), vec![7; 2 << 20]),
            false => Answer::Usual,
        }
    });
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let status = pull(&grpc, &registry.reference()).map(|told| told.done).expect_err("refused");
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
    assert!(status.message().contains("sha256:"), "{status:?}");
    is_good.store(true, Ordering::Relaxed);
    pull(&grpc, &registry.reference()).expect("the next one is good");
}

#[test]
fn a_blob_with_another_digest_is_named_in_the_refusal() {
    require!(root);
    let scratch = Scratch::new();
    let registry =
        Scripted::start(&scratch, &image(), |request| match request.path.ends_with(&image().id()) {
            true => Answer::Other(200, String::new(), vec![b' '; config_size()]),
            false => Answer::Usual,
        });
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let status = pull(&grpc, &registry.reference()).map(|told| told.done).expect_err("refused");
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
    assert!(
        status.message().contains("wrong digest") && status.message().contains(&image().id()),
        "{status:?}"
    );
    assert!(grpc.list_images(v1::ListImagesRequest { filters: Vec::new() }).expect("listed").is_empty());
}

fn config_size() -> usize {
    let scratch = Scratch::new();
    image().write_layout(&scratch.join("size"), "x");
    let path = scratch.join("size/blobs/sha256").join(image().id().trim_start_matches("sha256:"));
    std::fs::metadata(path).expect("the configuration").len().try_into().expect("small")
}

#[test]
fn bodies_without_end_are_left() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let manifests = Scripted::start(&scratch, &image(), |request| match request.is_blob() {
        false => Answer::Endless,
        true => Answer::Usual,
    });
    let status = pull(&grpc, &manifests.reference()).map(|told| told.done).expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let layers = Scripted::start(&scratch, &image(), |request| match is_layer(request) {
        true => Answer::Endless,
        false => Answer::Usual,
    });
    let status = pull(&grpc, &layers.reference()).map(|told| told.done).expect_err("refused");
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
}

#[test]
fn tokens_are_fetched_with_the_credentials_that_were_given() {
    require!(root);
    let scratch = Scratch::new();
    let registry = Scripted::start(&scratch, &image(), |request| {
        let host = request.header("host").to_owned();
        // "user:secret"
        match (request.path.starts_with("/token"), request.header("authorization")) {
            (true, "Basic dXNlcjpzZWNyZXQ=") => {
                Answer::Other(200, String::new(), br#"{"access_token":"let-me-in"}"#.to_vec())
            }
            (true, _) => Answer::Other(401, String::new(), Vec::new()),
            (false, "Bearer let-me-in") => Answer::Usual,
            (false, _) => {
                let challenge = format!(r#"Bearer realm="http://{host}/token",service="registry""#);
                Answer::Other(401, format!("www-authenticate: {challenge}\r\n"), Vec::new())
            }
        }
    });
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    for (auth, word) in [(None, "without credentials"), (Some(("user", "wrong")), "credentials of user")] {
        let status = pull_as(&grpc, &registry.reference(), auth).map(|told| told.done).expect_err("refused");
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        assert!(status.message().contains(word), "{status:?}");
    }
    pull_as(&grpc, &registry.reference(), Some(("user", "secret"))).expect("pulled");
    let asked = registry.requests();
    let last = asked.iter().rfind(|request| request.path.starts_with("/token?")).expect("asked");
    assert!(last.path.contains("scope=repository%3Atest%2Fimage%3Apull"));
}

#[test]
fn credentials_stay_with_the_registry_when_it_redirects() {
    require!(root);
    let scratch = Scratch::new();
    let storage = Scripted::start(&scratch, &image(), |request| match request.header("authorization") {
        "" => Answer::Usual,
        _ => Answer::Other(400, String::new(), Vec::new()),
    });
    let elsewhere = storage.address().to_owned();
    let registry =
        Scripted::start(&scratch, &image(), move |request| match request.header("authorization") {
            "" => Answer::Other(401, "www-authenticate: Basic realm=\"r\"\r\n".to_owned(), Vec::new()),
            _ if request.is_blob() => {
                Answer::Other(307, format!("location: http://{elsewhere}{}\r\n", request.path), Vec::new())
            }
            _ => Answer::Usual,
        });
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    pull_as(&grpc, &registry.reference(), Some(("user", "secret"))).expect("pulled");
    let seen = storage.requests();
    assert!(
        seen.len() == 2 && seen.iter().all(|request| request.header("authorization").is_empty()),
        "{seen:?}"
    );
}

#[test]
fn a_pull_that_is_left_goes_on_the_next_time() {
    require!(root);
    let scratch = Scratch::new();
    let (is_left, is_asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let registry = Scripted::start(&scratch, &image(), {
        let (is_left, is_asked) = (Arc::clone(&is_left), Arc::clone(&is_asked));
        move |request| match is_layer(request) && !is_left.load(Ordering::Relaxed) {
            // Broken again and again, so that there is always something to come.
            true if request.earlier < 3 => Answer::Truncated(100_000),
            true => {
                is_asked.store(true, Ordering::Relaxed);
                holds_within(Duration::from_secs(30), || is_left.load(Ordering::Relaxed));
                Answer::Truncated(0)
            }
            false => Answer::Usual,
        }
    });
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let request = v1::PullImageRequest { reference: registry.reference(), ..v1::PullImageRequest::default() };
    grpc.wait(async {
        let mut stream = grpc.images().pull(request).await.expect("begun").into_inner();
        while let Some(reply) = stream.message().await.expect("progress") {
            let Some(Message::Progress(progress)) = reply.message else { continue };
            if progress.current_bytes >= 300_000 {
                // What came is on its way to the disk when more is asked for.
                assert!(holds_within(Duration::from_secs(30), || is_asked.load(Ordering::Relaxed)));
                return;
            }
        }
        panic!("it ended before it was left");
    });
    drop(grpc);
    is_left.store(true, Ordering::Relaxed);
    let grpc = Grpc::connect(&daemon.socket());
    pull(&grpc, &registry.reference()).expect("pulled");
    let ranges: Vec<String> =
        layer_requests(&registry).iter().map(|request| request.header("range").to_owned()).collect();
    assert_eq!(ranges.last().map(String::as_str), Some("bytes=300000-"), "{ranges:?}");
}

#[test]
fn pulls_of_one_image_at_a_time_share_one_download() {
    require!(root);
    let scratch = Scratch::new();
    let manifests = Arc::new(AtomicUsize::new(0));
    let registry = Scripted::start(&scratch, &image(), {
        let manifests = Arc::clone(&manifests);
        move |request| {
            if is_layer(request) {
                holds_within(Duration::from_secs(30), || manifests.load(Ordering::Relaxed) == 3);
            } else if !request.is_blob() {
                manifests.fetch_add(1, Ordering::Relaxed);
            }
            Answer::Usual
        }
    });
    let daemon = Daemon::start(&scratch);
    let (socket, reference) = (daemon.socket(), registry.reference());
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| pull(&Grpc::connect(&socket), &reference).map(|told| told.done)))
            .collect();
        for one in pulls {
            one.join().expect("no panic").expect("pulled");
        }
    });
    assert_eq!(layer_requests(&registry).len(), 1);
}

#[test]
fn documents_that_are_no_image_are_refused_in_one_sentence() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let index = "application/vnd.oci.image.index.v1+json";
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let digest = knarr_tests::image::digest(b"x");
    let other = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{manifest}","digest":"{digest}","size":1,"platform":{{"os":"plan9","architecture":"mips"}}}}]}}"#
    );
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{"digest":"x","size":1}}"#;
    let huge = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "x".repeat(5 << 20));
    for (media_type, text, code, word) in [
        (schema_1, r#"{"schemaVersion":1}"#, Code::InvalidArgument, "schema 1"),
        (index, other.as_str(), Code::NotFound, "plan9/mips"),
        (index, both, Code::InvalidArgument, ""),
        (manifest, "[1,2", Code::InvalidArgument, "not well-formed"),
        (manifest, &huge, Code::InvalidArgument, "more than"),
        ("text/html", "<html>", Code::InvalidArgument, ""),
    ] {
        let registry = Scripted::document(media_type, text.as_bytes());
        let status = pull(&grpc, &registry.reference()).map(|told| told.done).expect_err("refused");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(word) && !status.message().contains('\n'), "{status:?}");
    }
    let status = pull(&grpc, "127.0.0.1:1/x").map(|told| told.done).expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("cannot connect to the registry 127.0.0.1:1: connection refused"),
        "{status:?}"
    );
}
