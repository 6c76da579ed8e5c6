//! Containers, from the API's messages to the noun's words and back. Pure.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use knarr_proto::frame::Stream;
use knarr_proto::keep::policy::InvalidPolicy;
use knarr_proto::kind::Kind;
use knarr_proto::v1;
use prost_types::Timestamp;
use tonic::Status;

use super::{isolation, keep, networking, pieces, resources, status};
use crate::containers::{
    CreateRequest, ExecOptions, ExecState, ExecView, Exit, Phase, PolicyRequest, ProcessRequest, Settings,
    Size, Spec, View,
};
use crate::events::Event;
use crate::failure::Failure;
use crate::images::{ImageError, Platform};
use crate::networks::Presence;
use crate::tasks::plan::{
    Files, Isolation, Mount, MountKind, NamedVolume, Placement, Rights, Streams, TerminalSize, Ulimit,
    VolumeOrigin,
};
use crate::time::UnixNs;
use crate::trees::{Change, ChangeKind};
use crate::volumes;

/// A choice that this knarrd does not have, made by a client that is newer or wrong.
#[derive(Debug, thiserror::Error)]
#[error("the {what} {number} is unknown to this knarrd, which has {known}")]
pub(in crate::api) struct UnknownChoice {
    what: &'static str,
    number: i32,
    known: &'static str,
}

impl Failure for UnknownChoice {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

impl From<UnknownChoice> for Status {
    fn from(error: UnknownChoice) -> Self {
        status::status(&error)
    }
}

/// A request that is wrong before any noun sees it.
#[derive(Debug, thiserror::Error)]
pub(in crate::api) enum InvalidRequest {
    #[error(transparent)]
    Choice(#[from] UnknownChoice),
    #[error(transparent)]
    Platform(#[from] ImageError),
    #[error("invalid port {0}: it is 1 to 65535")]
    Port(u32),
    #[error("the mount at {0:?} needs a type: bind or tmpfs")]
    MountType(String),
    #[error("the {namespace} namespace {text:?} is unknown: write private, host or container:NAME")]
    Namespace { namespace: &'static str, text: String },
    #[error("invalid blkio-weight: it is 10 to 1000, not {0}")]
    Weight(u64),
    #[error(transparent)]
    Restart(#[from] InvalidPolicy),
}

impl Failure for InvalidRequest {
    fn kind(&self) -> Kind {
        match self {
            Self::Choice(error) => error.kind(),
            Self::Platform(error) => error.kind(),
            Self::Port(_)
            | Self::MountType(_)
            | Self::Namespace { .. }
            | Self::Weight(_)
            | Self::Restart(_) => Kind::InvalidArgument,
        }
    }
}

impl From<InvalidRequest> for Status {
    fn from(error: InvalidRequest) -> Self {
        status::status(&error)
    }
}

/// What an enumeration's number stands for. One that is unknown is refused: the first choice, which the generated
/// getters take instead, is not what the client meant.
pub(in crate::api) fn known<E: TryFrom<i32>>(
    number: i32,
    what: &'static str,
    known: &'static str,
) -> Result<E, UnknownChoice> {
    E::try_from(number).map_err(|_| UnknownChoice { what, number, known })
}

/// What a container is to be, under `name` and from an image for `platform`, when those were said.
pub(in crate::api) fn create_request(
    request: v1::CreateContainerRequest,
) -> Result<CreateRequest, InvalidRequest> {
    let config = request.config.unwrap_or_default();
    let (networking, endpoints) = networking::asked(config.networking.unwrap_or_default())?;
    let sharing = isolation::sharing(&config.network, &config.namespaces.unwrap_or_default())?;
    let ulimit = |ulimit: v1::Ulimit| Ulimit { name: ulimit.name, soft: ulimit.soft, hard: ulimit.hard };
    Ok(CreateRequest {
        name: request.name,
        image: config.image,
        platform: platform(&request.platform)?,
        process: ProcessRequest {
            entrypoint: config.entrypoint.map(|list| list.values),
            command: config.command,
            env: config.env,
            working_dir: config.working_dir,
            user: config.user,
            group_add: config.group_add,
            oom_score_adj: config.oom_score_adj,
            init: config.init,
        },
        streams: Streams {
            tty: config.tty,
            open_stdin: config.open_stdin,
            stdin_once: config.stdin_once,
            terminal_size: config.terminal_size.map(size),
            log: config.log.map(isolation::log).unwrap_or_default(),
        },
        files: Files {
            read_only_rootfs: config.read_only_rootfs,
            shm_size_bytes: config.shm_size_bytes,
            mounts: config.mounts.into_iter().map(mount).collect::<Result<_, _>>()?,
            volumes_from: config.volumes_from,
        },
        isolation: Isolation {
            hostname: config.hostname,
            domainname: config.domainname,
            sharing,
            rights: Rights {
                privileged: config.privileged,
                no_new_privileges: config.no_new_privileges,
                cap_add: config.cap_add,
                cap_drop: config.cap_drop,
                confinement: isolation::confinement(config.confinement.unwrap_or_default()),
            },
            devices: isolation::devices(config.devices, config.device_cgroup_rules),
            placement: Placement {
                cgroup_parent: config.cgroup_parent,
                annotations: config.annotations.into_iter().collect(),
            },
            sysctls: config.sysctls.into_iter().collect(),
            ulimits: config.ulimits.into_iter().map(ulimit).collect(),
        },
        policy: PolicyRequest {
            labels: config.labels.into_iter().collect(),
            resources: config.resources.map(resources::resources).transpose()?.unwrap_or_default(),
            stop_signal: config.stop_signal,
            stop_timeout_seconds: config.stop_timeout_seconds,
            auto_remove: config.auto_remove,
            restart: keep::policy(&config.restart.unwrap_or_default())?,
        },
        health: keep::health(config.health_check.unwrap_or_default()),
        networking,
        endpoints,
    })
}

/// The platform that a client asked for; none when the text is empty.
pub(in crate::api) fn platform(text: &str) -> Result<Option<Platform>, ImageError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(ImageError::from)
}

fn mount(mount: v1::Mount) -> Result<Mount, InvalidRequest> {
    let kind = match known(mount.r#type, "type of mount", "bind, tmpfs and volume")? {
        v1::MountType::Bind => MountKind::Bind {
            source: mount.source,
            propagation: mount.propagation,
            create_source: mount.create_source,
        },
        v1::MountType::Tmpfs => {
            MountKind::Tmpfs { size_bytes: mount.tmpfs_size_bytes, mode: mount.tmpfs_mode }
        }
        v1::MountType::Volume => MountKind::Named(NamedVolume {
            name: mount.source,
            origin: VolumeOrigin::Named,
            no_copy: mount.no_copy,
            driver: mount.volume_driver,
            options: mount.volume_options.into_iter().collect(),
            labels: mount.volume_labels.into_iter().collect(),
        }),
        v1::MountType::Unspecified => {
            return Err(InvalidRequest::MountType(pieces::text(&mount.target)));
        }
    };
    Ok(Mount { kind, target: mount.target, read_only: mount.read_only })
}

pub(in crate::api) fn size(size: v1::TerminalSize) -> TerminalSize {
    TerminalSize { rows: size.rows, columns: size.columns }
}

pub(in crate::api) fn exec_options(config: v1::ExecConfig) -> ExecOptions {
    ExecOptions {
        args: config.args,
        env: config.env,
        working_dir: config.working_dir,
        user: config.user,
        tty: config.tty,
        stdin: config.stdin,
        privileged: config.privileged,
        detach_keys: config.detach_keys,
    }
}

pub(in crate::api) fn exec(view: ExecView) -> v1::ExecInspectReply {
    let ExecView { id, container, options, state } = view;
    let (state, pid, exit) = match state {
        ExecState::Created | ExecState::Starting => (v1::ExecState::Created, 0, None),
        ExecState::Running { pid } => (v1::ExecState::Running, pid, None),
        ExecState::Ended(exit) => (v1::ExecState::Exited, 0, Some(self::exit(exit))),
    };
    let config = v1::ExecConfig {
        args: options.args,
        env: options.env,
        working_dir: options.working_dir,
        user: options.user,
        tty: options.tty,
        stdin: options.stdin,
        privileged: options.privileged,
        detach_keys: options.detach_keys,
    };
    v1::ExecInspectReply { exec_id: id, container, config: Some(config), state: state.into(), pid, exit }
}

fn state(phase: Phase) -> v1::ContainerState {
    match phase {
        Phase::Creating | Phase::Created | Phase::Starting => v1::ContainerState::Created,
        Phase::Running => v1::ContainerState::Running,
        Phase::Restarting => v1::ContainerState::Restarting,
        Phase::Paused => v1::ContainerState::Paused,
        Phase::Exited => v1::ContainerState::Exited,
        Phase::Removing => v1::ContainerState::Removing,
    }
}

/// A changed file, by its path from the container's root.
pub(super) fn change(change: Change) -> v1::FileChange {
    let kind = match change.kind {
        ChangeKind::Modified => v1::FileChangeKind::Modified,
        ChangeKind::Added => v1::FileChangeKind::Added,
        ChangeKind::Deleted => v1::FileChangeKind::Deleted,
    };
    let path = Path::new("/").join(change.path).into_os_string().into_vec();
    v1::FileChange { path, kind: kind.into() }
}

/// A container for a list: bounded, however large it is.
pub(in crate::api) fn summary(view: &View, presence: Option<&Presence>) -> v1::ContainerSummary {
    let View { spec, settings, life, .. } = view;
    let sources = spec.files.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, .. } => Some(source.as_str()),
        MountKind::Named(volume) => Some(volume.name.as_str()),
        MountKind::Tmpfs { .. } | MountKind::Volume {} => None,
    });
    let exit = life.exit.clone().map(|last| Exit { error: pieces::text(&last.error), ..last });
    v1::ContainerSummary {
        id: spec.id.to_string(),
        name: settings.name.clone(),
        image: pieces::text(&spec.image.reference),
        image_id: spec.image.id.clone(),
        state: state(life.phase).into(),
        created_at: Some(unix(spec.created_at)),
        started_at: life.started_at.map(unix),
        exit: exit.map(self::exit),
        pid: life.pid,
        args: pieces::texts(spec.process.args.iter().map(String::as_str)),
        labels: pieces::labels(&settings.labels),
        mount_sources: pieces::texts(sources),
        network: isolation::network(&spec.isolation.sharing.network),
        networks: networking::names(presence),
        ports: networking::ports(presence.filter(|_| life.phase.is_up())),
        exposed: networking::exposed(&spec.networking, presence),
        size: None,
        health: keep::summary_health(view.health.as_deref()).into(),
    }
}

pub(in crate::api) fn volume(view: volumes::View) -> v1::Volume {
    let volumes::View { volume, path, users } = view;
    v1::Volume {
        name: volume.name,
        driver: "local".to_owned(),
        options: volume.options.into_iter().collect(),
        labels: volume.labels.into_iter().collect(),
        created_at: Some(unix(volume.created_at)),
        mountpoint: path.display().to_string(),
        anonymous: volume.is_anonymous,
        users,
    }
}

pub(in crate::api) fn container_size(size: Size) -> v1::ContainerSize {
    v1::ContainerSize { written_bytes: size.written_bytes, rootfs_bytes: size.rootfs_bytes }
}

pub(in crate::api) fn container(view: View, exec_ids: Vec<String>, presence: &Presence) -> v1::Container {
    let View { spec, settings, life, bundle, health } = view;
    // An end is told before all that it had is given back.
    let presence = &match life.phase.is_up() {
        true => presence.clone(),
        false => presence.clone().at_rest(),
    };
    v1::Container {
        id: spec.id.to_string(),
        name: settings.name.clone(),
        image: spec.image.reference.clone(),
        image_id: spec.image.id.clone(),
        state: state(life.phase).into(),
        created_at: Some(unix(spec.created_at)),
        started_at: life.started_at.map(unix),
        exit: life.exit.map(exit),
        pid: life.pid,
        config: Some(config_back(&spec, &settings, presence, &bundle)),
        args: spec.process.args.clone(),
        bundle_path: bundle.display().to_string(),
        log_path: bundle.join("log").display().to_string(),
        snapshot_key: spec.id.to_string(),
        exec_ids,
        size: None,
        restart_count: life.restarts,
        health: health.as_deref().map(keep::known_health),
        networks: networking::networks(presence),
        ports: networking::ports(Some(presence)),
        network_namespace: String::new(),
    }
}

/// What the container was asked to be, with what verbs have changed of it since.
fn config_back(spec: &Spec, settings: &Settings, presence: &Presence, bundle: &Path) -> v1::ContainerConfig {
    let Spec { image, asked, streams, files, isolation, health, .. } = spec.clone();
    let Settings { labels, resources, stop, auto_remove, restart, .. } = settings.clone();
    let ulimit = |ulimit: Ulimit| v1::Ulimit { name: ulimit.name, soft: ulimit.soft, hard: ulimit.hard };
    let mounted: Vec<Mount> = files.mounted().cloned().collect();
    v1::ContainerConfig {
        image: image.reference,
        entrypoint: asked.entrypoint.map(|values| v1::StringList { values }),
        command: asked.command,
        env: asked.env,
        working_dir: asked.working_dir,
        user: asked.user,
        hostname: isolation.hostname,
        tty: streams.tty,
        open_stdin: streams.open_stdin,
        stdin_once: streams.stdin_once,
        labels: labels.into_iter().collect(),
        stop_signal: stop.asked_signal,
        stop_timeout_seconds: stop.timeout_seconds,
        mounts: mounted.into_iter().map(|mount| mount_back(mount, bundle)).collect(),
        volumes_from: files.volumes_from,
        resources: Some(resources::resources_back(resources)),
        read_only_rootfs: files.read_only_rootfs,
        network: isolation::network(&isolation.sharing.network),
        networking: networking::back(&spec.networking, presence),
        namespaces: isolation::sharing_back(&isolation.sharing),
        cap_add: isolation.rights.cap_add,
        cap_drop: isolation.rights.cap_drop,
        privileged: isolation.rights.privileged,
        auto_remove,
        restart: keep::policy_back(restart),
        health_check: keep::health_back(&health),
        no_new_privileges: isolation.rights.no_new_privileges,
        confinement: isolation::confinement_back(isolation.rights.confinement),
        devices: isolation::devices_back(isolation.devices.requested),
        device_cgroup_rules: isolation.devices.cgroup_rules,
        cgroup_parent: isolation.placement.cgroup_parent,
        annotations: isolation.placement.annotations.into_iter().collect(),
        domainname: isolation.domainname,
        oom_score_adj: asked.oom_score_adj,
        init: asked.init,
        shm_size_bytes: files.shm_size_bytes,
        log: isolation::log_back(streams.log),
        group_add: asked.group_add,
        terminal_size: streams
            .terminal_size
            .map(|size| v1::TerminalSize { rows: size.rows, columns: size.columns }),
        sysctls: isolation.sysctls.into_iter().collect(),
        ulimits: isolation.ulimits.into_iter().map(ulimit).collect(),
    }
}

fn mount_back(mount: Mount, bundle: &Path) -> v1::Mount {
    let mut back = v1::Mount { target: mount.target, read_only: mount.read_only, ..v1::Mount::default() };
    match mount.kind {
        MountKind::Bind { source, propagation, create_source } => {
            back.set_type(v1::MountType::Bind);
            back.source = source;
            back.propagation = propagation;
            back.create_source = create_source;
        }
        MountKind::Tmpfs { size_bytes, mode } => {
            back.set_type(v1::MountType::Tmpfs);
            back.tmpfs_size_bytes = size_bytes;
            back.tmpfs_mode = mode;
        }
        MountKind::Named(volume) => {
            back.set_type(v1::MountType::Volume);
            back.set_volume_origin(match volume.origin {
                VolumeOrigin::Named => v1::VolumeOrigin::Named,
                VolumeOrigin::Anonymous => v1::VolumeOrigin::Anonymous,
                VolumeOrigin::Image => v1::VolumeOrigin::Image,
                VolumeOrigin::Shared => v1::VolumeOrigin::Shared,
            });
            back.mountpoint = volumes::path_beside(bundle, &volume.name).display().to_string();
            back.source = volume.name;
            back.no_copy = volume.no_copy;
            back.volume_driver = volume.driver;
            back.volume_options = volume.options.into_iter().collect();
            back.volume_labels = volume.labels.into_iter().collect();
        }
        // In containers of earlier versions it is a part of the snapshot.
        MountKind::Volume {} => {}
    }
    back
}

pub(in crate::api) fn exit(exit: Exit) -> v1::ExitStatus {
    v1::ExitStatus {
        code: exit.code,
        finished_at: (exit.finished_at.0 > 0).then(|| unix(exit.finished_at)),
        oom_killed: exit.oom_killed,
        error: exit.error,
    }
}

pub(in crate::api) fn stream(stream: Stream) -> v1::Stream {
    match stream {
        Stream::Stdout => v1::Stream::Stdout,
        Stream::Stderr => v1::Stream::Stderr,
    }
}

pub(in crate::api) fn filters(filters: Vec<v1::Filter>) -> impl Iterator<Item = (String, String)> {
    filters.into_iter().map(|filter| (filter.key, filter.value))
}

pub(in crate::api) fn event(event: &Event) -> v1::Event {
    v1::Event {
        time: Some(event.time.into()),
        r#type: event.subject.as_str().to_owned(),
        action: event.action.to_owned(),
        actor_id: event.actor_id.clone(),
        attributes: event.attributes.clone().into_iter().collect(),
    }
}

pub(super) fn unix(time: UnixNs) -> Timestamp {
    Timestamp::from(time.to_system_time())
}

/// A time that a client sent; before 1970 is 1970.
pub(in crate::api) fn system_time(time: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(time.seconds).unwrap_or(0));
    let nanoseconds = Duration::from_nanos(u64::try_from(time.nanos).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(seconds + nanoseconds).unwrap_or_else(SystemTime::now)
}

/// A time in the form of the log's records: nine digits, so that text order is time order.
pub(in crate::api) fn record_time(time: Timestamp) -> String {
    let whole = Timestamp { seconds: time.seconds.clamp(0, 253_402_300_799), nanos: 0 }.to_string();
    let nanoseconds = time.nanos.clamp(0, 999_999_999);
    format!("{}.{nanoseconds:09}Z", whole.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::{HealthSpec, ImageRef};
    use crate::tasks::plan::Process;

    #[test]
    fn a_bound_of_time_has_the_form_of_the_log() {
        let time = Timestamp { seconds: 1_795_428_000, nanos: 5 };
        assert!(record_time(time).ends_with(".000000005Z"), "{}", record_time(time));
        assert_eq!(record_time(time).len(), "2026-11-23T10:00:00.123456789Z".len());
    }

    #[test]
    fn a_choice_that_is_not_known_is_refused_by_name() {
        let mount = |r#type| v1::Mount { r#type, target: "/t".into(), ..v1::Mount::default() };
        for (sent, word) in [
            (v1::ContainerConfig { mounts: vec![mount(-1)], ..v1::ContainerConfig::default() }, "mount -1"),
            (v1::ContainerConfig { mounts: vec![mount(9)], ..v1::ContainerConfig::default() }, "mount 9"),
            (v1::ContainerConfig { mounts: vec![mount(0)], ..v1::ContainerConfig::default() }, "/t"),
        ] {
            let request = v1::CreateContainerRequest { config: Some(sent), ..Default::default() };
            let status = Status::from(create_request(request).expect_err(word));
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().contains(word), "{status:?}");
        }
        assert!(known::<v1::WaitCondition>(3, "condition", "three").is_err());
    }

    #[test]
    fn a_configuration_comes_back_as_it_was_sent() {
        let mut mount = v1::Mount { source: "/s".into(), target: "/t".into(), ..v1::Mount::default() };
        mount.set_type(v1::MountType::Bind);
        let sent = v1::ContainerConfig {
            image: "alpine".into(),
            mounts: vec![mount],
            resources: Some(v1::Resources {
                pids_limit: 5,
                memory_swappiness: Some(0),
                cpu_quota_us: -1,
                block_io: Some(v1::BlockIo {
                    weight_devices: vec![v1::DeviceRate { path: "/dev/sda".into(), rate: 20 }],
                    ..v1::BlockIo::default()
                }),
                ..v1::Resources::default()
            }),
            namespaces: Some(v1::Namespaces {
                pid: "container:db".into(),
                uts: "host".into(),
                ..Default::default()
            }),
            confinement: Some(v1::Confinement { seccomp: "{}".into(), unmasked: true, ..Default::default() }),
            devices: vec![v1::Device { host_path: "/dev/fuse".into(), ..v1::Device::default() }],
            device_cgroup_rules: vec!["c 1:3 r".into()],
            cgroup_parent: "/p".into(),
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            domainname: "d".into(),
            oom_score_adj: -5,
            init: Some(true),
            shm_size_bytes: 7,
            log: Some(v1::Log { none: false, max_size_bytes: 0, max_files: 3 }),
            network: "container:web".to_owned(),
            restart: Some(v1::RestartPolicy { name: "on-failure".to_owned(), max_retries: 3 }),
            networking: Some(v1::Networking {
                ports: vec![v1::PortMapping {
                    protocol: "udp".into(),
                    container_port: 53,
                    host_address: "127.0.0.1".into(),
                    ..v1::PortMapping::default()
                }],
                exposed: vec!["80/tcp".into()],
                dns: vec!["9.9.9.9".into()],
                extra_hosts: vec!["a:1.2.3.4".into()],
                ..v1::Networking::default()
            }),
            ..v1::ContainerConfig::default()
        };
        let request = v1::CreateContainerRequest { config: Some(sent.clone()), ..Default::default() };
        let CreateRequest { image, process, streams, mut files, isolation, policy, networking, .. } =
            create_request(request).expect("valid");
        files.mounts.push(Mount {
            kind: MountKind::Volume {},
            target: "/of-the-image".into(),
            read_only: false,
        });
        let spec = Spec {
            id: "a".repeat(64).parse().expect("an id"),
            created_at: UnixNs(0),
            image: ImageRef { reference: image, id: String::new() },
            asked: process,
            process: Process::default(),
            streams,
            files,
            isolation,
            health: HealthSpec::default(),
            networking,
        };
        let PolicyRequest { resources, restart, .. } = policy;
        let settings = Settings { resources, restart, ..Settings::default() };
        let bundle = Path::new("/r/containers/x");
        assert_eq!(config_back(&spec, &settings, &Presence::default(), bundle), sent);
    }
}
