//! The System service: what this knarrd is and what it runs on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use knarr_proto::v1;
use knarr_proto::v1::system_server::System as Service;
use tonic::{Request, Response, Status};

use crate::containers::Containers;
use crate::filters::Filters;
use crate::images::Images;
use crate::snapshots::Snapshots;

/// A program that does not tell its version within this time has none.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// The service.
pub(crate) struct SystemService {
    pub(crate) containers: Containers,
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) shim: PathBuf,
    pub(crate) cgroup_driver: &'static str,
}

#[tonic::async_trait]
impl Service for SystemService {
    async fn ping(&self, _: Request<v1::PingRequest>) -> Result<Response<v1::PingReply>, Status> {
        Ok(Response::new(v1::PingReply {}))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Result<Response<v1::VersionReply>, Status> {
        let (runtime, shim) =
            tokio::join!(component(&self.runtime, "--version"), component(&self.shim, "-v"));
        Ok(Response::new(v1::VersionReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "v1".to_owned(),
            git_commit: option_env!("KNARR_GIT_COMMIT").unwrap_or_default().to_owned(),
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel_version: kernel(),
            components: vec![runtime, shim],
        }))
    }

    async fn info(&self, _: Request<v1::InfoRequest>) -> Result<Response<v1::InfoReply>, Status> {
        let all = self.containers.list(true, &Filters::default());
        let running = self.containers.list(false, &Filters::default()).len();
        let images = self.images.count().await?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Response::new(v1::InfoReply {
            containers: count(all.len()),
            containers_running: count(running),
            containers_paused: 0,
            containers_stopped: count(all.len() - running.min(all.len())),
            images,
            snapshotter: self.snapshots.snapshotter().to_owned(),
            root_path: self.root.display().to_string(),
            state_path: self.state.display().to_string(),
            cgroup_version: cgroup_version().to_owned(),
            cgroup_driver: self.cgroup_driver.to_owned(),
            kernel_version: kernel(),
            operating_system: operating_system(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, |cpus| count(cpus.get())),
            memory_bytes: memory_bytes(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            default_runtime: self.runtime.display().to_string(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            security_options: vec!["seccomp".to_owned()],
            warnings: self.snapshots.warning().map(str::to_owned).into_iter().collect(),
        }))
    }
}

async fn component(program: &Path, flag: &str) -> v1::Component {
    let mut command = tokio::process::Command::new(program);
    command.arg(flag).stdin(Stdio::null()).kill_on_drop(true);
    let version = match tokio::time::timeout(VERSION_LIMIT, command.output()).await {
        Ok(Ok(output)) => version_in(&String::from_utf8_lossy(&output.stdout)),
        Ok(Err(_)) | Err(_) => "unknown".to_owned(),
    };
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    v1::Component { name, version, path: program.display().to_string() }
}

/// runc and its kin say `runc version 1.2.3`, containerd's shims `Version: 1.2.3` on a line further down.
fn version_in(output: &str) -> String {
    let line = output.lines().find(|line| line.to_ascii_lowercase().contains("version"));
    let word = line.and_then(|line| line.split_whitespace().next_back());
    word.unwrap_or("unknown").to_owned()
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn cgroup_version() -> &'static str {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let hybrid = Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists();
    match (unified, hybrid) {
        (true, _) => "2",
        (false, true) => "hybrid",
        (false, false) => "1",
    }
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_version_is_found_in_what_it_says() {
        for (output, version) in [
            ("runc version 1.1.5+ds1\ncommit: x\nspec: 1.0.2\n", "1.1.5+ds1"),
            ("containerd-shim-knarr-v2:\n  Version: 0.1.0\n", "0.1.0"),
            ("", "unknown"),
        ] {
            assert_eq!(version_in(output), version);
        }
    }
}
