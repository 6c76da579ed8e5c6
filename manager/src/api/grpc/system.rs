//! The System service: what this knarrd is and what it runs on.

use std::path::PathBuf;

use knarr_proto::v1;
use knarr_proto::v1::system_server::System as Service;
use tonic::{Request, Response, Status};

use crate::apparmor::AppArmor;
use crate::containers::Containers;
use crate::host;
use crate::images::{ImageError, Images};
use crate::networks::Networks;
use crate::snapshots::Snapshots;
use crate::verbs::{self, Component};
use crate::volumes::Volumes;

/// The service.
#[derive(Clone)]
pub(crate) struct SystemService {
    pub(crate) containers: Containers,
    pub(crate) networks: Networks,
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) volumes: Volumes,
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) shim: PathBuf,
    pub(crate) cgroup_driver: &'static str,
    pub(crate) apparmor: AppArmor,
}

impl SystemService {
    /// What this knarrd is.
    pub(in crate::api) async fn version(&self) -> v1::VersionReply {
        let (runtime, shim) =
            tokio::join!(verbs::component(&self.runtime, "--version"), verbs::component(&self.shim, "-v"));
        v1::VersionReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "v1".to_owned(),
            git_commit: option_env!("KNARR_GIT_COMMIT").unwrap_or_default().to_owned(),
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel_version: host::kernel_version(),
            components: vec![component(runtime), component(shim)],
        }
    }

    /// What it has and runs on.
    ///
    /// # Errors
    /// [`ImageError`].
    pub(in crate::api) async fn info(&self) -> Result<v1::InfoReply, ImageError> {
        let info =
            verbs::system_info(&self.containers, &self.images, &self.snapshots, &self.apparmor).await?;
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(v1::InfoReply {
            containers: number(info.containers),
            containers_running: number(info.running),
            containers_paused: number(info.paused),
            containers_stopped: number(info.containers - info.running - info.paused),
            images: info.images,
            snapshotter: info.snapshotter.to_owned(),
            root_path: self.root.display().to_string(),
            state_path: self.state.display().to_string(),
            cgroup_version: info.host.cgroup_version.to_owned(),
            cgroup_driver: self.cgroup_driver.to_owned(),
            kernel_version: host::kernel_version(),
            operating_system: info.host.operating_system,
            architecture: std::env::consts::ARCH.to_owned(),
            cpus: number(info.host.cpus),
            memory_bytes: info.host.memory_bytes,
            hostname: info.host.hostname,
            default_runtime: self.runtime.display().to_string(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            security_options: info.security_options.into_iter().map(str::to_owned).collect(),
            warnings: info.warnings,
        })
    }
}

#[tonic::async_trait]
impl Service for SystemService {
    async fn ping(&self, _: Request<v1::PingRequest>) -> Result<Response<v1::PingReply>, Status> {
        Ok(Response::new(v1::PingReply {}))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Result<Response<v1::VersionReply>, Status> {
        Ok(Response::new(Self::version(self).await))
    }

    async fn info(&self, _: Request<v1::InfoRequest>) -> Result<Response<v1::InfoReply>, Status> {
        Ok(Response::new(Self::info(self).await?))
    }
}

fn component(component: Component) -> v1::Component {
    let Component { name, version, path } = component;
    v1::Component { name, version, path: path.display().to_string() }
}
