//! What knarrd was told: flags, then environment, then `/etc/knarr/knarrd.toml`, then defaults. Read once, in `main`,
//! and handed down as a value; nothing else reads the environment.
#![allow(clippy::disallowed_methods, reason = "before clients are served")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde::Deserialize;

use crate::cgroups::{self, Cgroups, InvalidCgroups};
use crate::networks::{self, NetworkSettings};
use crate::tasks::LogBounds;

/// The runtime that belongs to this knarrd.
const OWN_RUNTIME: &str = "knarr-runtime";
/// Where the configuration file is looked for when none is named; it need not exist.
const DEFAULT_FILE: &str = "/etc/knarr/knarrd.toml";

/// A container's log: 10 MiB × 5 files, so that no container fills the disk by talking.
const DEFAULT_LOG_MAX_SIZE_BYTES: u64 = 10 * 1024 * 1024;
const DEFAULT_LOG_MAX_FILES: u32 = 5;

/// A configuration file larger than this is no configuration file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The longest state directory: socket names of 32 bytes below it must fit into the kernel's 107.
const MAX_STATE_PATH_BYTES: usize = 75;

/// Everything that can be set, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Images, snapshots and containers: survives a reboot.
    pub(crate) root: PathBuf,
    /// Sockets and locks: gone after a reboot.
    pub(crate) state: PathBuf,
    /// The socket that clients connect to.
    pub(crate) socket: PathBuf,
    /// The socket of docker's API, if it is to be served.
    pub(crate) docker_socket: Option<PathBuf>,
    /// The OCI runtime's executable.
    pub(crate) runtime: PathBuf,
    /// knarr's own runtime, which is a container's init, too.
    pub(crate) init: PathBuf,
    /// The shim's executable.
    pub(crate) shim: PathBuf,
    /// Registries ("host:port") that are spoken to without TLS.
    pub(crate) insecure_registries: Vec<String>,
    /// A `tracing` filter, for example `info` or `knarrd=debug`.
    pub(crate) log_level: String,
    /// Who makes containers' cgroups, and where.
    pub(crate) cgroups: Cgroups,
    /// How much of a container's output is kept.
    pub(crate) container_logs: LogBounds,
    /// Owner group of the socket: its members are as mighty as root.
    pub(crate) group: Option<String>,
    /// Exit when nothing runs and nobody is connected for this long.
    pub(crate) idle_timeout: Option<Duration>,
    /// What there is for containers that name no network.
    pub(crate) networks: NetworkSettings,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file that was named, or the default one, cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// It is no TOML, or has keys that knarrd does not know.
    #[error("cannot understand the configuration file {path}")]
    Parse { path: PathBuf, source: toml::de::Error },
    /// A value that makes no sense.
    #[error("{setting} is {value:?}, but must be {expected}")]
    Value { setting: &'static str, value: String, expected: &'static str },
    /// Cgroups that cannot be.
    #[error(transparent)]
    Cgroups(#[from] InvalidCgroups),
}

/// knarr's container manager. It serves the gRPC API knarr.v1 on a unix socket, and Docker's API on another.
#[derive(Debug, Default, Parser)]
#[command(name = "knarrd", version)]
struct Flags {
    /// Configuration file [default: /etc/knarr/knarrd.toml, if it is there]
    #[arg(long, env = "KNARR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of images, snapshots and containers [default: /var/lib/knarr]
    #[arg(long, env = "KNARR_ROOT", value_name = "DIR")]
    root: Option<PathBuf>,
    /// Directory of sockets and locks [default: /run/knarr]
    #[arg(long, env = "KNARR_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Socket to listen on [default: unix://<state>/knarrd.sock]
    #[arg(long, env = "KNARR_ADDRESS", value_name = "unix://PATH")]
    address: Option<String>,
    /// Socket on which Docker's API is served, or none [default: unix://<state>/docker.sock]
    #[arg(long, env = "KNARR_DOCKER_ADDRESS", value_name = "unix://PATH|none")]
    docker_address: Option<String>,
    /// OCI runtime, by path or name in $PATH [default: knarr-runtime]
    #[arg(long, env = "KNARR_RUNTIME", value_name = "PROGRAM")]
    runtime: Option<String>,
    /// Shim, by path or name in $PATH [default: containerd-shim-knarr-v2]
    #[arg(long, env = "KNARR_SHIM", value_name = "PROGRAM")]
    shim: Option<String>,
    /// Registry to speak plain HTTP with; may be repeated
    #[arg(
        long = "insecure-registry",
        env = "KNARR_INSECURE_REGISTRIES",
        value_delimiter = ',',
        value_name = "HOST[:PORT]"
    )]
    insecure_registries: Vec<String>,
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter as for RUST_LOG [default: info]
    #[arg(long, env = "KNARR_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// Cgroup below which every container has its own [default: /knarr], or slice for the driver systemd [default: system.slice]
    #[arg(long, env = "KNARR_CGROUP_PARENT", value_name = "PATH|SLICE")]
    cgroup_parent: Option<String>,
    /// What makes containers' cgroups: cgroupfs or systemd [default: systemd where it is pid 1]
    #[arg(long, env = "KNARR_CGROUP_DRIVER", value_name = "DRIVER")]
    cgroup_driver: Option<String>,
    /// A container's log file is rotated at this size [default: 10485760]
    #[arg(long, env = "KNARR_CONTAINER_LOG_MAX_SIZE", value_name = "BYTES")]
    container_log_max_size: Option<u64>,
    /// How many log files a container keeps [default: 5]
    #[arg(long, env = "KNARR_CONTAINER_LOG_MAX_FILES", value_name = "N")]
    container_log_max_files: Option<u32>,
    /// Group that may use the socket; its members are as mighty as root
    #[arg(long, env = "KNARR_GROUP", value_name = "GROUP")]
    group: Option<String>,
    /// Bridge of the default network, or none for no such network: containers are in none then [default: knarr0]
    #[arg(long, env = "KNARR_BRIDGE", value_name = "NAME|none")]
    bridge: Option<String>,
    /// Address and prefix of that bridge [default: a subnet that the host has no route to]
    #[arg(long, env = "KNARR_BIP", value_name = "ADDRESS/PREFIX")]
    bip: Option<String>,
    /// Exit when no container runs and no client is connected for this long [default: never]
    #[arg(long, env = "KNARR_IDLE_TIMEOUT", value_name = "SECONDS")]
    idle_timeout: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    root: Option<PathBuf>,
    state: Option<PathBuf>,
    address: Option<String>,
    docker_address: Option<String>,
    runtime: Option<String>,
    shim: Option<String>,
    insecure_registries: Vec<String>,
    log_level: Option<String>,
    cgroup_parent: Option<String>,
    cgroup_driver: Option<String>,
    container_log_max_size: Option<u64>,
    container_log_max_files: Option<u32>,
    group: Option<String>,
    bridge: Option<String>,
    bip: Option<String>,
    idle_timeout: Option<u64>,
}

impl Settings {
    /// Reads the command line, the environment and the file. Prints usage and exits on wrong flags, as clap does.
    ///
    /// # Errors
    /// [`SettingsError`] for a file or a value that cannot be used.
    pub(crate) fn read() -> Result<Self, SettingsError> {
        let flags = Flags::parse();
        let file = File::read(flags.config.as_deref())?;
        Self::resolve(flags, file)
    }

    fn resolve(flags: Flags, file: File) -> Result<Self, SettingsError> {
        let root = flags.root.or(file.root).unwrap_or_else(|| "/var/lib/knarr".into());
        let state = flags.state.or(file.state).unwrap_or_else(|| "/run/knarr".into());
        let socket = match flags.address.or(file.address) {
            Some(address) => socket_path("address", &address)?,
            None => state.join("knarrd.sock"),
        };
        let docker_socket = match flags.docker_address.or(file.docker_address).as_deref() {
            Some("none") => None,
            Some(address) => Some(socket_path("docker-address", address)?),
            None => Some(state.join("docker.sock")),
        };
        let max_size_bytes = flags
            .container_log_max_size
            .or(file.container_log_max_size)
            .unwrap_or(DEFAULT_LOG_MAX_SIZE_BYTES);
        let max_files =
            flags.container_log_max_files.or(file.container_log_max_files).unwrap_or(DEFAULT_LOG_MAX_FILES);
        let insecure_registries = match flags.insecure_registries.is_empty() {
            true => file.insecure_registries,
            false => flags.insecure_registries,
        };
        let driver = flags.cgroup_driver.or(file.cgroup_driver);
        let parent = flags.cgroup_parent.or(file.cgroup_parent);
        let cgroups = Cgroups::choose(driver.as_deref(), parent.as_deref(), cgroups::is_systemd_here)?;
        let runtime = flags.runtime.or(file.runtime).unwrap_or_else(|| OWN_RUNTIME.into());
        let shim = flags.shim.or(file.shim).unwrap_or_else(|| "containerd-shim-knarr-v2".into());
        let (root, state) = (absolute("root", root)?, short("state", absolute("state", state)?)?);
        let networks = NetworkSettings {
            root: root.clone(),
            state: state.clone(),
            bridge: bridge(flags.bridge.or(file.bridge).unwrap_or_default())?,
            bip: flags.bip.or(file.bip).unwrap_or_default(),
        };
        Ok(Self {
            root,
            state,
            socket,
            docker_socket,
            runtime: program(&runtime),
            init: program(OWN_RUNTIME),
            shim: program(&shim),
            insecure_registries,
            log_level: flags.log_level.or(file.log_level).unwrap_or_else(|| "info".into()),
            cgroups,
            container_logs: LogBounds {
                max_size_bytes: above_zero("container-log-max-size", max_size_bytes)?,
                max_files: above_zero("container-log-max-files", max_files)?,
            },
            group: flags.group.or(file.group),
            idle_timeout: flags.idle_timeout.or(file.idle_timeout).map(Duration::from_secs),
            networks,
        })
    }
}

/// knarrd's command line, for its manual page.
pub(crate) fn command_line() -> clap::Command {
    Flags::command()
}

impl File {
    fn read(named: Option<&Path>) -> Result<Self, SettingsError> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let unreadable = |source| SettingsError::Read { path: path.to_owned(), source };
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(unreadable(error)),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => std::fs::read_to_string(path).map_err(unreadable)?,
        };
        toml::from_str(&text).map_err(|source| SettingsError::Parse { path: path.to_owned(), source })
    }
}

fn socket_path(setting: &'static str, address: &str) -> Result<PathBuf, SettingsError> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    if path.starts_with('/') && path.len() <= 107 {
        return Ok(path.into());
    }
    let expected = "unix:// and an absolute path of at most 107 bytes";
    Err(SettingsError::Value { setting, value: address.to_owned(), expected })
}

fn absolute(setting: &'static str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(SettingsError::Value { setting, value: path.display().to_string(), expected: "an absolute path" })
}

fn short(setting: &'static str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    if path.as_os_str().len() <= MAX_STATE_PATH_BYTES {
        return Ok(path);
    }
    let expected = "at most 75 bytes long, since sockets live below it";
    Err(SettingsError::Value { setting, value: path.display().to_string(), expected })
}

fn bridge(name: String) -> Result<String, SettingsError> {
    if name.is_empty() || networks::interface(&name).is_some() {
        return Ok(name);
    }
    let expected = "none, or an interface's name of 1 to 15 letters, digits, dots, dashes and underscores";
    Err(SettingsError::Value { setting: "bridge", value: name, expected })
}

fn above_zero<N: PartialEq + Default + std::fmt::Display>(
    setting: &'static str,
    number: N,
) -> Result<N, SettingsError> {
    if number == N::default() {
        return Err(SettingsError::Value { setting, value: number.to_string(), expected: "above 0" });
    }
    Ok(number)
}

/// A program given by name is taken from knarrd's own directory before $PATH, so that a build's parts find each other.
fn program(name: &str) -> PathBuf {
    if name.contains('/') {
        return name.into();
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|directory| directory.join(name));
    beside.into_iter().chain(in_path).find(|candidate| candidate.is_file()).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(arguments: &[&str], file: &str) -> Result<Settings, SettingsError> {
        let flags = Flags::parse_from([&["knarrd"], arguments].concat());
        Settings::resolve(flags, toml::from_str(file).expect("a valid file"))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let settings = resolve(&["--root", "/a"], "root = '/b'\nstate = '/s'").expect("usable");
        assert_eq!(settings.root, Path::new("/a"));
        assert_eq!(settings.state, Path::new("/s"));
        assert_eq!(settings.socket, Path::new("/s/knarrd.sock"));
        assert_eq!(settings.docker_socket.as_deref(), Some(Path::new("/s/docker.sock")));
        let without = resolve(&["--docker-address", "none"], "docker-address = '/d.sock'").expect("usable");
        assert_eq!(without.docker_socket, None);
        assert_eq!(settings.container_logs, LogBounds { max_size_bytes: 10 << 20, max_files: 5 });
    }

    #[test]
    fn a_setting_that_cannot_work_is_refused_with_what_can() {
        for (arguments, names) in [
            (["--root", "relative"], "root"),
            (["--address", "tcp://0.0.0.0:1"], "address"),
            (["--docker-address", "docker.sock"], "docker-address"),
            (["--container-log-max-files", "0"], "container-log-max-files"),
            (["--state", &format!("/{}", "s".repeat(75))], "state"),
        ] {
            let error = resolve(&arguments, "").expect_err(names).to_string();
            assert!(error.starts_with(names), "{error}");
        }
    }

    #[test]
    fn a_misspelt_key_in_the_file_is_an_error() {
        assert!(toml::from_str::<File>("rooot = '/b'").is_err());
    }
}
