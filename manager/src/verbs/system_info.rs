//! What this knarrd is, what it holds, and what it runs on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::apparmor::AppArmor;
use crate::containers::{self, Containers, Phase};
use crate::filters::Filters;
use crate::host::Host;
use crate::images::{ImageError, Images};
use crate::snapshots::Snapshots;

/// A program that does not tell its version within this time has none.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Numbers of what there is, and the machine.
pub(crate) struct SystemInfo {
    pub(crate) containers: usize,
    pub(crate) running: usize,
    pub(crate) paused: usize,
    pub(crate) images: u32,
    pub(crate) snapshotter: &'static str,
    /// What the machine lacks, with the consequence.
    pub(crate) warnings: Vec<String>,
    /// What confines containers here.
    pub(crate) security_options: Vec<&'static str>,
    pub(crate) host: Host,
}

/// A program that knarrd runs.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
}

/// Counts what there is, and looks at the machine.
///
/// # Errors
/// [`ImageError`] when the images cannot be counted.
pub(crate) async fn system_info(
    containers: &Containers,
    images: &Images,
    snapshots: &Snapshots,
    apparmor: &AppArmor,
) -> Result<SystemInfo, ImageError> {
    let all = containers::list(containers, true, &Filters::default());
    let count = |phase| all.iter().filter(|view| view.life.phase == phase).count();
    let (running, paused) = (count(Phase::Running), count(Phase::Paused));
    let host = tokio::task::spawn_blocking(Host::read).await?;
    let mut warnings: Vec<String> = snapshots.warning().map(str::to_owned).into_iter().collect();
    if let AppArmor::Unusable(why) = apparmor {
        warnings.push(format!(
            "No AppArmor profile: containers run without one although AppArmor is on, for {why}"
        ));
    }
    warnings.extend(host.lacks.iter().cloned());
    let confining = [("apparmor", matches!(apparmor, AppArmor::On(_))), ("seccomp", host.has_seccomp)];
    Ok(SystemInfo {
        containers: all.len(),
        running,
        paused,
        images: images.count().await?,
        snapshotter: snapshots.snapshotter(),
        warnings,
        security_options: confining
            .into_iter()
            .filter_map(|(name, is_here)| is_here.then_some(name))
            .collect(),
        host,
    })
}

/// The version that a program tells when it is asked with `flag`.
pub(crate) async fn component(program: &Path, flag: &str) -> Component {
    let mut command = tokio::process::Command::new(program);
    command.arg(flag).stdin(Stdio::null()).kill_on_drop(true);
    let version = match tokio::time::timeout(VERSION_LIMIT, command.output()).await {
        Ok(Ok(output)) => version_in(&String::from_utf8_lossy(&output.stdout)),
        Ok(Err(_)) | Err(_) => "unknown".to_owned(),
    };
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Component { name, version, path: program.to_owned() }
}

/// runc and its kin say `runc version 1.2.3`, containerd's shims `Version: 1.2.3` on a line further down.
fn version_in(output: &str) -> String {
    let line = output.lines().find(|line| line.to_ascii_lowercase().contains("version"));
    let word = line.and_then(|line| line.split_whitespace().next_back());
    word.unwrap_or("unknown").to_owned()
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
