//! The daemon: locks, directories, wiring, and an orderly end. It decides nothing about containers or images.
#![allow(clippy::disallowed_methods, reason = "before and after clients are served")]

mod sockets;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use knarr_proto::v1;
use knarr_proto::v1::builds_server::BuildsServer;
use knarr_proto::v1::containers_server::ContainersServer;
use knarr_proto::v1::events_server::EventsServer;
use knarr_proto::v1::images_server::ImagesServer;
use knarr_proto::v1::networks_server::NetworksServer;
use knarr_proto::v1::snapshots_server::SnapshotsServer;
use knarr_proto::v1::system_server::SystemServer;
use knarr_proto::v1::volumes_server::VolumesServer;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::api::docker::{self, Engine};
use crate::api::grpc::{
    BuildsService, Calls, ContainersService, EventsService, ImagesService, NetworksService, SnapshotsService,
    SystemService, VolumesService,
};
use crate::apparmor::AppArmor;
use crate::builds::{self, BuildError, BuildParts, Builds};
use crate::collect::{self, Collector};
use crate::connections::{self, Connections, Protocol};
use crate::containers::{ContainerError, Containers, Execution, Storage};
use crate::content::{Content, ContentError};
use crate::error::Chain;
use crate::events::{Events, Subject};
use crate::files::{FileError, failed};
use crate::images::{self, ImageError, ImageParts, Images, Options};
use crate::limits::OpenFiles;
use crate::networks::Networks;
use crate::settings::Settings;
use crate::snapshots::{Choice, SnapshotError, Snapshots};
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::tasks::shims::Shims;
use crate::volumes::Volumes;
use crate::{host, notify, recovery, schema};
use sockets::{Listeners, Renewing};

/// Requests of one connection at a time; a CLI has a handful, a dashboard some dozens.
const MAX_STREAMS: u32 = 256;
/// Calls that answer at once, of all clients; 16 connections full of them.
const MAX_SHORT_CALLS: usize = 4096;
/// Names, a path and some metadata.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// A list of some thousand containers fits.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// In the state directory, for people.
const PID_FILE: &str = "knarrd.pid";
/// How long clients have to take their last replies when knarrd stops.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// knarrd cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// Directories and files of its own.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another one works here.
    #[error("another knarrd (pid {pid}) uses {}: stop it, or choose another directory", directory.display())]
    Locked { directory: PathBuf, pid: String },
    /// No such group for the socket.
    #[error("no group {0:?} in /etc/group: create it, or set another --group")]
    Group(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    #[error(transparent)]
    Images(#[from] ImageError),
    /// What an earlier knarrd left cannot be read.
    #[error("cannot recover what was here before")]
    Recovery(#[from] ContainerError),
    /// What an earlier knarrd's builds left cannot be read.
    #[error("cannot recover from the builds before")]
    Builds(#[from] BuildError),
    /// The reflection service cannot read our own descriptors.
    #[error("cannot describe the API")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A blocking step panicked or was dropped.
    #[error("the operation was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
    /// The server ended by itself.
    #[error("cannot serve clients any more")]
    Serve(#[from] tonic::transport::Error),
}

/// Runs until it is told to stop, or is idle for longer than allowed.
///
/// # Errors
/// [`DaemonError`].
pub(crate) async fn run(settings: Settings) -> Result<(), DaemonError> {
    let below = |name| (settings.root.join(name), 0o700);
    make_directories(&[(settings.root.clone(), 0o700), below("containers"), below("volumes")])?;
    make_directories(&state_directories(&settings))?;
    let locks = [lock(&settings.root, &settings.root)?, lock(&settings.state, &settings.state)?];
    // Handled before any client can connect.
    let told_to_stop = Box::pin(told_to_stop());
    let listeners = sockets::listen(&settings)?;
    let open_files = OpenFiles::raise();
    let nouns = Nouns::open(&settings, open_files)?;
    nouns.builds.recover().await?;
    nouns.networks.prepare().await;
    recovery::run(&nouns.containers).await?;
    write_pid(&settings.state)?;
    nouns.events.publish(Subject::Daemon, "start", "knarrd", Default::default());
    let store = nouns.store.clone();
    let copying = tokio::spawn(async move { store.keep_copies().await });
    tokio::spawn(load_profile(nouns.apparmor.clone()));
    let served = serve(&settings, &nouns, Door { listeners, open_files, told_to_stop }).await;
    copying.abort();
    nouns.events.publish(Subject::Daemon, "stop", "knarrd", Default::default());
    nouns.containers.close().await;
    if let Err(error) = nouns.store.copy().await {
        tracing::warn!(error = %Chain(&error), "the database could not be copied");
    }
    // The socket stays: it may be systemd's, and the next knarrd replaces its own. The pid file is only a convenience.
    drop(fs::remove_file(settings.state.join(PID_FILE)));
    drop(locks);
    served
}

/// Has the kernel the profile that this version has. The next container that needs it tries again.
async fn load_profile(apparmor: AppArmor) {
    if let Err(error) = apparmor.load().await {
        tracing::error!(error = %Chain(&error), "containers that are not privileged cannot start");
    }
}

/// Where clients come in, how many, and until when.
struct Door {
    listeners: Listeners,
    open_files: OpenFiles,
    told_to_stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct Nouns {
    store: Store,
    events: Arc<Events>,
    images: Images,
    snapshots: Snapshots,
    volumes: Volumes,
    containers: Containers,
    builds: Builds,
    networks: Networks,
    apparmor: AppArmor,
}

impl Nouns {
    fn open(settings: &Settings, open_files: OpenFiles) -> Result<Self, DaemonError> {
        let events = Arc::new(Events::new());
        let store = Store::of_root(&settings.root, schema::MIGRATIONS)?;
        let content = Content::open(&settings.root.join("content"))?;
        let snapshots = Snapshots::open(&settings.root.join("snapshots"), store.clone(), Choice::Automatic)?;
        let options = Options { insecure_registries: settings.insecure_registries.clone() };
        let roots: [collect::Roots; 2] = [images::needed, builds::needed];
        let collector = Collector::new(content.clone(), snapshots.clone(), store.clone(), &roots);
        let (collecting, blobs) = (collector.clone(), content.clone());
        let images = ImageParts { collector, content, snapshots: snapshots.clone(), store: store.clone() };
        let images = Images::new(images, Arc::clone(&events), &options)?;
        let shims = Shims {
            program: settings.shim.clone(),
            runtime: settings.runtime.clone(),
            runtime_root: settings.state.join("runtime"),
            sockets: settings.state.join("shims"),
            open_files: open_files.inherited,
        };
        let apparmor = AppArmor::of_this_machine();
        let boot_id = Path::new("/proc/sys/kernel/random/boot_id");
        let tasks = Tasks {
            bundles: settings.root.join("containers"),
            attach: settings.state.join("attach"),
            shims,
            cgroups: settings.cgroups.clone(),
            apparmor: apparmor.clone(),
            init: settings.init.clone(),
            counts_swap: host::counts_swap(),
        };
        let boot_id = fs::read_to_string(boot_id).map_err(failed("read", boot_id))?.trim().to_owned();
        let volumes = Volumes::new(settings.root.join("volumes"), store.clone(), Arc::clone(&events));
        let storage =
            Storage { images: images.clone(), snapshots: snapshots.clone(), volumes: volumes.clone() };
        let builds = Builds::new(BuildParts {
            images: images.clone(),
            snapshots: snapshots.clone(),
            content: blobs,
            collector: collecting,
            tasks: tasks.clone(),
            store: store.clone(),
            directory: settings.root.join("builds"),
            secrets: settings.state.join("builds"),
        });
        let networks = Networks::new(store.clone(), Arc::clone(&events), settings.networks.clone());
        let execution =
            Execution { tasks, networks: networks.clone(), logs: settings.container_logs, boot_id };
        let containers = Containers::new(storage, execution, store.clone(), Arc::clone(&events));
        Ok(Self { store, events, images, snapshots, volumes, containers, builds, networks, apparmor })
    }
}

async fn serve(settings: &Settings, nouns: &Nouns, door: Door) -> Result<(), DaemonError> {
    let stopping = CancellationToken::new();
    let Door { listeners, open_files, told_to_stop } = door;
    let ((grpc, grpc_renewed), (docker, docker_renewed)) = (mpsc::channel(1), mpsc::channel(1));
    let renewing = Renewing { grpc, docker };
    let connections = Connections::new(open_files.connections());
    let calls = Calls::new(open_files.long_calls(), MAX_SHORT_CALLS);
    let system = system(settings, nouns);
    let engine = Engine::new(
        (system.clone(), nouns.builds.clone()),
        Arc::clone(&nouns.events),
        calls.clone(),
        stopping.clone(),
    );
    let docker_served = serve_docker(listeners.docker, docker_renewed, connections.clone(), engine);
    let stop = stopping.clone();
    let serving = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .layer(calls)
        .add_routes(services(nouns, system, &stopping).await?)
        .serve_with_incoming_shutdown(
            connections::accept(listeners.grpc, grpc_renewed, &connections, Protocol::Grpc),
            async move {
                stop.cancelled().await;
            },
        );
    tokio::pin!(serving);
    tokio::spawn(sockets::keep(settings.clone(), renewing));
    notify::tell("READY=1");
    tracing::info!(socket = %settings.socket.display(), "ready");
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = told_to_stop => tracing::info!("stopping; containers go on"),
        () = idle(settings.idle_timeout, connections.count(), nouns.containers.live()) => tracing::info!("idle; stopping"),
    }
    notify::tell("STOPPING=1");
    stopping.cancel();
    nouns.containers.close().await;
    let both = async { tokio::join!(serving, docker_served).0 };
    match tokio::time::timeout(STOP_LIMIT, both).await {
        Ok(served) => Ok(served?),
        // Somebody keeps a connection open and reads nothing: it is closed.
        Err(_) => Ok(()),
    }
}

/// Every service of the API, on its noun.
async fn services(
    nouns: &Nouns,
    system: SystemService,
    stopping: &CancellationToken,
) -> Result<Routes, DaemonError> {
    let (containers, images) = (nouns.containers.clone(), nouns.images.clone());
    let events = EventsService { events: Arc::clone(&nouns.events), stopping: stopping.clone() };
    let images = ImagesServer::new(ImagesService { images, containers: containers.clone() })
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let snapshots = SnapshotsServer::new(SnapshotsService(nouns.snapshots.clone()))
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let volumes =
        VolumesServer::new(VolumesService(nouns.volumes.clone())).max_encoding_message_size(MAX_REPLY_BYTES);
    let containers =
        ContainersServer::new(ContainersService { containers, networks: nouns.networks.clone() })
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_REPLY_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(builds(nouns))
        .add_service(containers)
        .add_service(EventsServer::new(events))
        .add_service(images)
        .add_service(snapshots)
        .add_service(networks_server(nouns))
        .add_service(SystemServer::new(system))
        .add_service(volumes)
        .add_service(health().await)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

fn builds(nouns: &Nouns) -> BuildsServer<BuildsService> {
    BuildsServer::new(BuildsService(nouns.builds.clone()))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES)
}

fn networks_server(nouns: &Nouns) -> NetworksServer<NetworksService> {
    let (networks, containers) = (nouns.networks.clone(), nouns.containers.clone());
    NetworksServer::new(NetworksService { networks, containers }).max_encoding_message_size(MAX_REPLY_BYTES)
}

fn system(settings: &Settings, nouns: &Nouns) -> SystemService {
    SystemService {
        containers: nouns.containers.clone(),
        networks: nouns.networks.clone(),
        images: nouns.images.clone(),
        snapshots: nouns.snapshots.clone(),
        volumes: nouns.volumes.clone(),
        root: settings.root.clone(),
        state: settings.state.clone(),
        runtime: settings.runtime.clone(),
        shim: settings.shim.clone(),
        cgroup_driver: settings.cgroups.driver(),
        apparmor: nouns.apparmor.clone(),
    }
}

/// The health service, by which every other service is there.
async fn health() -> HealthServer<impl Health> {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_serving::<BuildsServer<BuildsService>>().await;
    health.set_serving::<ContainersServer<ContainersService>>().await;
    health.set_serving::<EventsServer<EventsService>>().await;
    health.set_serving::<ImagesServer<ImagesService>>().await;
    health.set_serving::<NetworksServer<NetworksService>>().await;
    health.set_serving::<SnapshotsServer<SnapshotsService>>().await;
    health.set_serving::<SystemServer<SystemService>>().await;
    health.set_serving::<VolumesServer<VolumesService>>().await;
    service
}

/// Serves docker's API beside gRPC's, if it is to be. The future returns when all of its clients have their answers.
fn serve_docker(
    listener: Option<UnixListener>,
    renewed: mpsc::Receiver<UnixListener>,
    connections: Connections,
    engine: Engine,
) -> impl Future<Output = ()> {
    let served = listener
        .map(|listener| tokio::spawn(docker::serve(listener, renewed, connections, Arc::new(engine))));
    async move {
        if let Some(served) = served
            && let Err(error) = served.await
        {
            tracing::error!(%error, "docker's API has ended early");
        }
    }
}

/// Handles SIGTERM and SIGINT from now on. The future returns when one has come.
fn told_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            // Without handlers the signals end us at once, which recovery is made for.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Returns when nothing has run and nobody has been connected for `limit`.
async fn idle(
    limit: Option<Duration>,
    mut clients: watch::Receiver<usize>,
    mut live: watch::Receiver<usize>,
) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let nothing = *clients.borrow_and_update() == 0 && *live.borrow_and_update() == 0;
        let change = async {
            tokio::select! {
                _ = clients.changed() => {}
                _ = live.changed() => {}
            }
        };
        match nothing {
            false => change.await,
            true if tokio::time::timeout(limit, change).await.is_err() => return,
            true => {}
        }
    }
}

fn write_pid(state: &Path) -> Result<(), FileError> {
    let path = state.join(PID_FILE);
    fs::write(&path, format!("{}\n", std::process::id())).map_err(failed("write", path))
}

/// The directories below the state directory that are always there, and itself.
fn state_directories(settings: &Settings) -> [(PathBuf, u32); 4] {
    let below = |name| (settings.state.join(name), 0o700);
    [(settings.state.clone(), 0o711), below("attach"), below("shims"), below("runtime")]
}

/// Makes directories that are missing, and gives each its mode.
fn make_directories(directories: &[(PathBuf, u32)]) -> Result<(), DaemonError> {
    for (directory, mode) in directories {
        DirBuilder::new().recursive(true).mode(*mode).create(directory).map_err(failed("make", directory))?;
        fs::set_permissions(directory, fs::Permissions::from_mode(*mode))
            .map_err(failed("set the mode of", directory))?;
    }
    Ok(())
}

/// Takes a directory for this process, until the file is dropped or the process ends, however it does.
fn lock(directory: &Path, named: &Path) -> Result<File, DaemonError> {
    let path = directory.join("knarrd.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = Read::by_ref(&mut file).take(32).read_to_string(&mut pid);
            let pid = if read.is_ok() && !pid.trim().is_empty() {
                pid.trim().to_owned()
            } else {
                "unknown".to_owned()
            };
            return Err(DaemonError::Locked { directory: named.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source).into()),
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed("write", &path))?;
    Ok(file)
}
