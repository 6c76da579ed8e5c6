//! Making a container: resolve the image, check everything, record the intent, make snapshot and bundle, record that it
//! is there. Nothing is pulled and nothing is started.

use std::path::Path;

use knarr_proto::id::ContainerId;

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::life::{Event, Life};
use super::process::{self, ImageDefaults, Resolved};
use super::request::CreateRequest;
use super::spec::{ImageRef, Record, Settings, Spec};
use super::{health, keep, name, network, partners, remove, volumes};
use crate::content::Digest;
use crate::error::Chain;
use crate::host;
use crate::images::{Image, Platform};
use crate::networks::EndpointRequest;
use crate::tasks;
use crate::tasks::plan::{Mount, Resources};
use crate::tasks::spec::mounts;
use crate::tasks::spec::target::MountTarget;
use crate::time::UnixNs;

/// All that is asked for of a container, together: they are kept in memory and sent with every list.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// A container that was made.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    /// What was asked for and is done differently.
    pub(crate) warnings: Vec<String>,
}

/// Makes a container.
///
/// # Errors
/// [`ContainerError`]; nothing is left behind then.
pub(crate) async fn create(
    containers: &Containers,
    request: CreateRequest,
) -> Result<Created, ContainerError> {
    let this = containers.clone();
    containers.work.finish(async move { create_now(&this, request).await }).await
}

async fn create_now(containers: &Containers, mut request: CreateRequest) -> Result<Created, ContainerError> {
    if !request.name.is_empty() {
        name::check(&request.name)?;
    }
    if request.size_bytes() > MAX_REQUEST_BYTES {
        return Err(ContainerError::TooLarge);
    }
    keep::check(request.policy.restart, request.policy.auto_remove)?;
    partners::by_id(&containers.registry, &mut request.isolation.sharing)?;
    volumes::complete(&containers.registry, &mut request.files)?;
    network::resolve(containers, &mut request)?;
    let discarded = discard_unsupported(&mut request.policy.resources);
    let targets = mounts::requested_targets(&request.files)?;
    let images = &containers.storage.images;
    let image = images.resolve_for(&request.image, request.platform.as_ref()).await?;
    let Resolved { process, stop, volumes: declared, mut warnings } =
        process::resolve(&request, defaults(&image))?;
    let (health, left_out) = health::resolve(&request.health, images.health(&image).await?)?;
    warnings.extend(left_out);
    warnings.extend(foreign_platform(&image.platform).filter(|_| request.platform.is_none()));
    warnings.extend(discarded);
    warnings.extend(contradictions(&request));
    let CreateRequest {
        name,
        image: reference,
        process: asked,
        streams,
        mut files,
        isolation,
        policy,
        mut networking,
        endpoints,
        ..
    } = request;
    networking.exposed.extend(network::exposed(&image));
    warnings.extend(network::warnings(&networking, &isolation.sharing.network));
    let declared = not_replaced(declared, &targets).into_iter();
    files.mounts.extend(declared.map(|target| Mount::of_image(target, name::new_id().to_string())));
    let image_ref = ImageRef { reference, id: image.id.to_string() };
    let (labels, resources, auto_remove) = (policy.labels, policy.resources, policy.auto_remove);
    let restart = policy.restart;
    let created_at = UnixNs::now();
    let tasks = &containers.execution.tasks;
    let container = containers.registry.reserve(name, |id, name| {
        let bundle = tasks.bundle(&id);
        let image = image_ref;
        let spec =
            Spec { id, created_at, image, asked, process, streams, files, isolation, health, networking };
        let settings = Settings { name, labels, resources, stop, auto_remove, restart };
        Container::new(Record { spec, settings }, Life::creating(), bundle)
    })?;
    let made = make(containers, &container, image.chain_id.as_ref(), endpoints).await;
    if let Err(error) = made {
        unmake(containers, &container).await;
        return Err(error);
    }
    containers.records.publish(&container, "create", &[]);
    Ok(Created { id: container.id().clone(), name: container.name(), warnings })
}

async fn make(
    containers: &Containers,
    container: &Container,
    parent: Option<&Digest>,
    endpoints: Vec<EndpointRequest>,
) -> Result<(), ContainerError> {
    tasks::check(&containers.execution.tasks, container.task_plan()).await?;
    containers.records.insert(container.record(), Life::creating()).await?;
    network::reserve(containers, container, endpoints).await?;
    containers.storage.make(container, parent).await?;
    volumes::hold(&containers.storage, container).await?;
    containers.records.enter(container, Event::Made).await
}

/// Undoes a creation; what cannot be undone now is undone at the next start of knarrd, by its row.
async fn unmake(containers: &Containers, container: &Container) {
    if let Ok(removing) = container.after(Event::RemovalAsked) {
        containers.records.show(container, removing);
    }
    if let Err(error) = remove::discard(containers, container, true).await {
        tracing::warn!(container = %container.id(), error = %Chain(&error), "a creation was not undone");
        remove::forget(containers, container);
    }
}

fn defaults(image: &Image) -> ImageDefaults {
    let Some(config) = image.config.config() else { return ImageDefaults::default() };
    ImageDefaults {
        user: config.user().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        stop_signal: config.stop_signal().clone().unwrap_or_default(),
        volumes: config.volumes().clone().unwrap_or_default(),
    }
}

/// The warning about an image that this machine cannot run by itself.
fn foreign_platform(offered: &Platform) -> Option<String> {
    let here = Platform::here();
    let runs_here =
        here.fit(offered).is_some() || (&here.os, &here.architecture) == (&offered.os, &offered.architecture);
    (!runs_here).then(|| {
        format!("the image is for {offered}, this machine is {here}: its programs run only with an emulator")
    })
}

/// Leaves out the limits that cgroup v2 has no word for, as docker does; returns a line for each.
fn discard_unsupported(resources: &mut Resources) -> Vec<String> {
    if !host::has_unified_cgroups() {
        return Vec::new();
    }
    let memory = &mut resources.memory;
    let swappiness = memory.memory_swappiness.take().map(|_| "the memory's swappiness");
    let oom = std::mem::take(&mut memory.oom_kill_disable).then_some("the OOM killer's disabling");
    let what = swappiness.into_iter().chain(oom);
    what.map(|what| format!("{what} is left out: cgroup v2 has nothing like it")).collect()
}

/// What is asked for and has no effect beside something else that is asked for; docker takes it, too, but is silent.
fn contradictions(request: &CreateRequest) -> Vec<String> {
    let (isolation, streams) = (&request.isolation, &request.streams);
    let mut warnings = Vec::new();
    if isolation.rights.privileged && !isolation.rights.cap_drop.is_empty() {
        warnings.push("dropped capabilities have no effect: the container is privileged".to_owned());
    }
    if streams.stdin_once && !streams.open_stdin {
        warnings.push("stdin is to be closed after its first client, but is not open".to_owned());
    }
    warnings
}

/// The image's volumes in whose places nothing else was asked for.
fn not_replaced(volumes: Vec<String>, targets: &[MountTarget]) -> Vec<String> {
    let is_mounted = |volume: &str| targets.iter().any(|target| target.as_path() == Path::new(volume));
    volumes.into_iter().filter(|volume| !is_mounted(volume)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_platform_is_used_with_a_warning() {
        let here = Platform::here();
        let other = if here.architecture == "amd64" { "linux/arm64" } else { "linux/amd64" };
        assert_eq!(foreign_platform(&here), None);
        let warning = foreign_platform(&other.parse().expect(other)).expect("docker only warns");
        assert!(warning.contains(other), "{warning}");
    }
}
