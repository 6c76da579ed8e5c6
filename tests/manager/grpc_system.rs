//! The System service says what is true, and the standard services know every service there is.

use std::collections::BTreeSet;

use knarr_proto::v1;
use knarr_tests::{Daemon, Grpc, Image, Scratch, require};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::imported;

const SERVICES: [&str; 5] =
    ["knarr.v1.Containers", "knarr.v1.Events", "knarr.v1.Images", "knarr.v1.Snapshots", "knarr.v1.System"];

#[test]
fn info_counts_what_is_here_and_names_the_machine() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let info = || grpc.wait(grpc.system().info(v1::InfoRequest {})).expect("info").into_inner();
    assert_eq!((info().images, info().containers), (0, 0));
    imported::image(&scratch, &grpc, &Image::busybox(), &["busybox:1", "busybox:2"]);
    let config = v1::ContainerConfig { image: "busybox:1".into(), ..v1::ContainerConfig::default() };
    let create =
        v1::CreateContainerRequest { name: "one".into(), config: Some(config), ..Default::default() };
    grpc.wait(grpc.containers().create(create)).expect("created");

    let info = info();
    assert_eq!(
        (info.images, info.containers, info.containers_running, info.containers_stopped),
        (1, 1, 0, 1)
    );
    let uname = |field: &str| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{field}"))
            .expect("the kernel's word")
            .trim()
            .to_owned()
    };
    assert_eq!(info.kernel_version, uname("osrelease"));
    assert_eq!(info.hostname, uname("hostname"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let (has_v1, has_v2) = (mounts.contains(" - cgroup "), mounts.contains(" - cgroup2 "));
    let expected = match (has_v1, has_v2) {
        (true, true) => "hybrid",
        (true, false) => "1",
        _ => "2",
    };
    assert_eq!(info.cgroup_version, expected);
    let memory = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let total = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("MemTotal");
    assert_eq!(info.memory_bytes, total * 1024);
    assert_eq!(info.root_path, daemon.root().display().to_string());
    assert_eq!(info.state_path, daemon.state().display().to_string());
    assert!(["overlayfs", "native"].contains(&info.snapshotter.as_str()), "{}", info.snapshotter);
    assert!(info.security_options.contains(&"seccomp".to_owned()), "{:?}", info.security_options);
    assert!(info.cpus > 0 && !info.server_version.is_empty() && !info.operating_system.is_empty());
}

#[test]
fn version_asks_the_programs_that_are_used() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    grpc.wait(grpc.system().ping(v1::PingRequest {})).expect("alive");
    let version = grpc.wait(grpc.system().version(v1::VersionRequest {})).expect("version").into_inner();
    assert_eq!((version.api_version.as_str(), version.os.as_str()), ("v1", "linux"));
    let names: Vec<&str> = version.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["knarr-runtime", "containerd-shim-knarr-v2"]);
    for component in &version.components {
        assert!(component.version.contains(&version.version), "{component:?}");
        assert!(std::path::Path::new(&component.path).exists(), "{component:?}");
    }
}

#[test]
fn health_and_reflection_know_every_service() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    for service in SERVICES.into_iter().chain([""]) {
        let mut health = HealthClient::new(grpc.channel());
        let check = HealthCheckRequest { service: service.to_owned() };
        let reply = grpc.wait(health.check(check)).expect(service).into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving, "{service}");
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(grpc.channel());
    let reply = grpc.wait(async {
        let mut replies = reflection.server_reflection_info(tokio_stream::iter([list])).await?.into_inner();
        replies.message().await
    });
    let reply: ServerReflectionResponse = reply.expect("reflection").expect("a list");
    let Some(MessageResponse::ListServicesResponse(listed)) = reply.message_response else {
        panic!("{reply:?}");
    };
    let listed: BTreeSet<String> = listed.service.into_iter().map(|service| service.name).collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(listed.contains(service), "{service} is not in {listed:?}");
    }
}
