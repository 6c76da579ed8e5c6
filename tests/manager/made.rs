//! Containers that a test makes and drives by the API, as functions that read like the calls.

use knarr_proto::v1::{self, WaitCondition};
use knarr_tests::{Grpc, Image, Scratch};
use tonic::{Status, Streaming};

use crate::imported;

/// What every container here is made from, unless a test says otherwise.
pub(crate) const IMAGE: &str = "busybox:1";

/// Brings [`IMAGE`] in.
#[track_caller]
pub(crate) fn image(scratch: &Scratch, grpc: &Grpc) -> v1::Image {
    imported::image(scratch, grpc, &Image::busybox(), &[IMAGE])
}

/// [`IMAGE`] with this command.
pub(crate) fn config(command: &[&str]) -> v1::ContainerConfig {
    v1::ContainerConfig {
        image: IMAGE.to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..v1::ContainerConfig::default()
    }
}

pub(crate) fn create(
    grpc: &Grpc,
    name: &str,
    config: v1::ContainerConfig,
) -> Result<v1::CreateContainerReply, Status> {
    let request =
        v1::CreateContainerRequest { name: name.to_owned(), config: Some(config), platform: String::new() };
    Ok(grpc.wait(grpc.containers().create(request))?.into_inner())
}

pub(crate) fn start(grpc: &Grpc, container: &str) -> Result<u32, Status> {
    let request = v1::StartContainerRequest { container: container.to_owned() };
    Ok(grpc.wait(grpc.containers().start(request))?.into_inner().pid)
}

/// Creates and starts one; its id.
#[track_caller]
pub(crate) fn run(grpc: &Grpc, name: &str, command: &[&str]) -> String {
    let id = create(grpc, name, config(command)).expect("created").id;
    start(grpc, &id).expect("started");
    id
}

/// As [`run`], and waits until it has ended; how.
#[track_caller]
pub(crate) fn run_to_end(grpc: &Grpc, name: &str, command: &[&str]) -> v1::ExitStatus {
    run(grpc, name, command);
    wait(grpc, name, WaitCondition::NotRunning).expect("ended")
}

pub(crate) fn stop(
    grpc: &Grpc,
    container: &str,
    timeout_seconds: Option<u32>,
    signal: &str,
) -> Result<(), Status> {
    let request = v1::StopContainerRequest {
        container: container.to_owned(),
        timeout_seconds,
        signal: signal.to_owned(),
    };
    grpc.wait(grpc.containers().stop(request)).map(drop)
}

pub(crate) fn kill(grpc: &Grpc, container: &str, signal: &str) -> Result<(), Status> {
    let request = v1::KillContainerRequest { container: container.to_owned(), signal: signal.to_owned() };
    grpc.wait(grpc.containers().kill(request)).map(drop)
}

pub(crate) fn remove(grpc: &Grpc, container: &str, force: bool) -> Result<String, Status> {
    let request = v1::RemoveContainerRequest { container: container.to_owned(), force, volumes: false };
    Ok(grpc.wait(grpc.containers().remove(request))?.into_inner().id)
}

pub(crate) fn inspect(grpc: &Grpc, container: &str) -> Result<v1::Container, Status> {
    let request = v1::InspectContainerRequest { container: container.to_owned(), size: false };
    let reply = grpc.wait(grpc.containers().inspect(request))?.into_inner();
    Ok(reply.container.expect("a container"))
}

/// Where in its life a container is.
#[track_caller]
pub(crate) fn state(grpc: &Grpc, container: &str) -> v1::ContainerState {
    inspect(grpc, container).expect("it is there").state()
}

pub(crate) fn wait(grpc: &Grpc, container: &str, condition: WaitCondition) -> Result<v1::ExitStatus, Status> {
    let request = v1::WaitContainerRequest { container: container.to_owned(), condition: condition.into() };
    let mut waiting = waiter(grpc, request)?;
    let reply = grpc.wait(waiting.message())?.expect("one reply");
    Ok(reply.exit.expect("an exit status"))
}

/// Registers a wait; its one reply is how the container ended.
pub(crate) fn waiter(
    grpc: &Grpc,
    request: v1::WaitContainerRequest,
) -> Result<Streaming<v1::WaitContainerReply>, Status> {
    Ok(grpc.wait(grpc.containers().wait(request))?.into_inner())
}

/// The names of those that match, in the order of the list.
pub(crate) fn list(grpc: &Grpc, all: bool, filters: &[(&str, &str)]) -> Result<Vec<String>, Status> {
    let filters =
        filters.iter().map(|(key, value)| v1::Filter { key: (*key).into(), value: (*value).into() });
    let request = v1::ListContainersRequest { all, sizes: false, filters: filters.collect() };
    Ok(grpc.list_containers(request)?.into_iter().map(|container| container.name).collect())
}

/// Waits until a container's log holds this.
#[track_caller]
pub(crate) fn logged(grpc: &Grpc, container: &str, words: &str) {
    let request = v1::ContainerLogsRequest {
        container: container.to_owned(),
        follow: true,
        ..v1::ContainerLogsRequest::default()
    };
    let mut service = grpc.containers();
    grpc.wait(async {
        let mut stream = service.logs(request).await.expect("its log").into_inner();
        let mut seen = String::new();
        while !seen.contains(words) {
            let reply = stream.message().await.expect("a stream");
            let reply = reply.unwrap_or_else(|| panic!("{container} ended before {words:?}: {seen:?}"));
            seen.push_str(&String::from_utf8_lossy(&reply.data));
        }
    });
}
