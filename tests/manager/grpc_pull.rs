//! Pull over the socket: what a client is told, and that its leaving ends the pull. What a registry may do wrong is
//! pull.rs's.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::time::Duration;

use knarr_proto::v1;
use knarr_proto::v1::pull_image_reply::Message;
use knarr_tests::{Daemon, Grpc, Image, Registry, Scratch, require};
use tonic::{Code, Status};

fn request(reference: &str, platform: &str) -> v1::PullImageRequest {
    v1::PullImageRequest { reference: reference.to_owned(), platform: platform.to_owned(), auth: None }
}

/// Everything that a pull tells.
fn pull(grpc: &Grpc, request: v1::PullImageRequest) -> Result<(Vec<v1::PullProgress>, v1::PullDone), Status> {
    let mut images = grpc.images();
    grpc.wait(async {
        let mut replies = images.pull(request).await?.into_inner();
        let mut told = Vec::new();
        while let Some(reply) = replies.message().await? {
            match reply.message.expect("a message") {
                Message::Progress(progress) => told.push(progress),
                Message::Done(done) => {
                    assert!(replies.message().await?.is_none(), "`done` is the last");
                    return Ok((told, done));
                }
            }
        }
        panic!("a pull without an end")
    })
}

#[test]
fn a_pull_tells_its_progress_and_a_second_one_that_all_is_here() {
    require!(root, tool("docker-registry"), tool("skopeo"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let reference = registry.push(&Image::busybox(), "test/busybox:1");
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let (told, done) = pull(&grpc, request(&reference, "")).expect("pulled");
    let image = done.image.expect("an image");
    assert!(done.changed && done.digest.starts_with("sha256:"));
    assert_eq!(image.references, [reference.as_str()]);
    assert_eq!(image.repo_digests, [format!("{}@{}", reference.trim_end_matches(":1"), done.digest)]);
    let phases = |told: &[v1::PullProgress]| told.iter().map(v1::PullProgress::phase).collect::<Vec<_>>();
    let first = phases(&told);
    assert_eq!(first[0], v1::PullPhase::Resolving);
    for phase in [v1::PullPhase::Downloaded, v1::PullPhase::Unpacking, v1::PullPhase::Complete] {
        assert!(first.contains(&phase), "{first:?}");
    }
    let (told, done) = pull(&grpc, request(&reference, "")).expect("pulled again");
    assert!(!done.changed);
    let again = phases(&told);
    assert!(
        again.contains(&v1::PullPhase::Exists) && !again.contains(&v1::PullPhase::Downloading),
        "{again:?}"
    );
}

#[test]
fn what_cannot_be_pulled_is_told_in_one_sentence() {
    require!(root, tool("docker-registry"), tool("skopeo"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let reference = registry.push(&Image::busybox(), "test/busybox:1");
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let unknown = format!("{}/no/such:1", registry.address());
    for (reference, platform, code) in [
        ("", "", Code::InvalidArgument),
        ("Upper/Case", "", Code::InvalidArgument),
        (reference.as_str(), "linux", Code::InvalidArgument),
        (unknown.as_str(), "", Code::NotFound),
        ("127.0.0.1:1/a:1", "", Code::Unavailable),
    ] {
        let status = pull(&grpc, request(reference, platform)).expect_err(reference);
        assert_eq!(status.code(), code, "{reference}: {status:?}");
        assert!(!status.message().is_empty() && !status.message().contains('\n'), "{status:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_pull() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    // A registry that takes the call and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let reference = format!("{}/a:1", silent.local_addr().expect("its address"));
    let mut images = grpc.images();
    let replies = grpc.wait(images.pull(request(&reference, ""))).expect("it has begun");
    let (mut call, _) = silent.accept().expect("knarrd calls");
    call.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    let mut buffer = [0; 4096];
    assert!(call.read(&mut buffer).expect("knarrd asks") > 0);
    drop((replies, images, grpc));
    // What it had asked is read; then it hangs up, for nobody waits for the answer.
    loop {
        match call.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("knarrd still waits for the registry: {error}"),
        }
    }
}

/// Found on a Debian without the package ca-certificates.
#[test]
fn a_registry_without_tls_needs_no_certificates() {
    require!(root, tool("docker-registry"), tool("skopeo"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let reference = registry.push(&Image::busybox(), "test/busybox:1");
    let nowhere = scratch.join("nowhere");
    let variables = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| format!("{name}={}", nowhere.display()));
    let daemon = Daemon::start_under(&scratch, &["env", &variables[0], &variables[1]]);
    let grpc = Grpc::connect(&daemon.socket());
    pull(&grpc, request(&reference, "")).expect("pulled");
    let refused = pull(&grpc, request("registry.invalid/test/busybox:1", "")).expect_err("it needs TLS");
    assert!(refused.message().contains("certificates"), "{refused}");
}
