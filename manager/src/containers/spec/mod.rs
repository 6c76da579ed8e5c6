//! A container's config.json (OCI runtime-spec), with docker's defaults. Nothing here touches the container's files:
//! the caller hands in who the user is.

pub(crate) mod capabilities;
mod devices;
mod masks;
pub(crate) mod mounts;
mod resources;
mod seccomp;
pub(crate) mod target;
pub(crate) mod volumes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use knarr_proto::kind::Kind;
use oci_spec::runtime::{
    Linux, LinuxNamespace, LinuxNamespaceType, Process as SpecProcess, Root, Spec, User,
};

use super::model::{Config, Identity, Network, TerminalSize};
use super::process::key;
use super::user::Account;
use crate::cgroups::Cgroups;
use target::{InvalidTarget, MountTarget};
use volumes::VolumeRoot;

/// The configuration cannot be turned into a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// No such capability.
    #[error("invalid capability {0:?}: names are as in capabilities(7), or ALL")]
    Capability(String),
    /// The mount's place in the container.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// Two mounts for one place; docker's words.
    #[error("Duplicate mount point: {0}")]
    DuplicateTarget(MountTarget),
    /// The mount's source on the host.
    #[error("invalid mount source {0:?}: it needs to be an absolute path")]
    Source(String),
    /// The mount's source is not there.
    #[error("bind source path does not exist: {path}")]
    NoSource { path: PathBuf, source: std::io::Error },
    /// The mount's source could not be made.
    #[error("cannot make the bind source {path}")]
    MakeSource { path: PathBuf, source: std::io::Error },
    /// No such propagation.
    #[error(
        "invalid mount propagation {0:?}: it is one of rprivate, private, rslave, slave, rshared, shared"
    )]
    Propagation(String),
    /// More than anybody needs.
    #[error("{count} mounts are more than the {max} that a container may have")]
    TooManyMounts { count: usize, max: usize },
    /// A limit that makes no sense.
    #[error("invalid {limit}: {problem}")]
    Limit { limit: &'static str, problem: &'static str },
    /// No such resource limit.
    #[error("invalid ulimit {name:?}: names are as in `ulimit`, for example nofile")]
    Ulimit { name: String, source: serde_json::Error },
    /// A kernel parameter that is not the container's own.
    #[error(
        "sysctl {0:?} is not separate for each container: allowed are kernel.{{msg,sem,shm}}*, fs.mqueue.* and, without the host's network, net.*"
    )]
    Sysctl(String),
    /// A hostname that the kernel or a hosts file would not take.
    #[error("invalid hostname {0:?}: 1 to 63 letters, digits, dots and dashes are allowed")]
    Hostname(String),
}

impl SpecError {
    /// What kind of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::MakeSource { .. } => Kind::FailedPrecondition,
            _ => Kind::InvalidArgument,
        }
    }
}

/// What was looked up in the container's own files for this run.
#[derive(Clone, Debug)]
pub(crate) struct RootfsFacts {
    pub(crate) account: Account,
    /// Where the image's volumes are.
    pub(crate) volumes: Vec<VolumeRoot>,
}

/// The whole configuration.
///
/// # Errors
/// [`SpecError`] names what was asked for and cannot be.
pub(crate) fn build(
    identity: &Identity,
    facts: &RootfsFacts,
    bundle: &Path,
    cgroups: &Cgroups,
) -> Result<Spec, SpecError> {
    let config = &identity.config;
    let hostname = hostname(identity)?;
    let mut root = Root::default();
    root.set_path("rootfs".into());
    root.set_readonly(Some(config.read_only_rootfs));
    let mut spec = Spec::default();
    spec.set_version("1.0.2".to_owned());
    spec.set_root(Some(root));
    spec.set_process(Some(first_process(identity, &facts.account)?));
    spec.set_mounts(Some(mounts::mount_table(config, &facts.volumes, bundle)?));
    // With the host's network its name comes along, as in docker; a name of one's own is still the container's.
    spec.set_hostname(Some(hostname));
    spec.set_linux(Some(linux(identity, cgroups)?));
    spec.set_annotations(None);
    Ok(spec)
}

/// The container's hostname: as asked for, else the first 12 characters of its id.
///
/// # Errors
/// [`SpecError::Hostname`].
pub(crate) fn hostname(identity: &Identity) -> Result<String, SpecError> {
    let wanted = identity.config.hostname.as_str();
    if wanted.is_empty() {
        return Ok(identity.id.as_str().chars().take(12).collect());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    if wanted.len() > 63 || !wanted.bytes().all(allowed) || wanted.starts_with(['-', '.']) {
        return Err(SpecError::Hostname(wanted.chars().take(80).collect()));
    }
    Ok(wanted.to_owned())
}

/// The container's first process; an exec begins with the same.
///
/// # Errors
/// [`SpecError`].
pub(crate) fn first_process(identity: &Identity, account: &Account) -> Result<SpecProcess, SpecError> {
    let Identity { config, process, .. } = identity;
    let mut env = process.env.clone();
    if !env.iter().any(|entry| key(entry) == "HOSTNAME") {
        env.insert(1.min(env.len()), format!("HOSTNAME={}", hostname(identity)?));
    }
    set_home(&mut env, account);
    let mut spec = SpecProcess::default();
    spec.set_terminal(Some(config.tty));
    set_size(&mut spec, config.terminal_size.filter(|_| config.tty));
    spec.set_user(spec_user(account));
    spec.set_args(Some(process.args.clone()));
    spec.set_env(Some(env));
    spec.set_cwd(process.working_dir.clone().into());
    spec.set_capabilities(Some(capabilities::of(config)?));
    spec.set_rlimits(resources::rlimits(&config.ulimits)?);
    spec.set_no_new_privileges(Some(config.no_new_privileges));
    spec.set_oom_score_adj(Some(0));
    Ok(spec)
}

/// Says where the user's home is, unless somebody did.
pub(crate) fn set_home(env: &mut Vec<String>, account: &Account) {
    if !env.iter().any(|entry| key(entry) == "HOME") {
        let home =
            account.home.as_deref().filter(|home| !home.is_empty() && !home.contains('\0')).unwrap_or("/");
        env.push(format!("HOME={home}"));
    }
}

/// The user in the specification's form.
pub(crate) fn spec_user(account: &Account) -> User {
    let mut user = User::default();
    user.set_uid(account.uid);
    user.set_gid(account.gid);
    user.set_additional_gids(Some(account.groups.clone()));
    user
}

/// The terminal's size at start, if it is known.
pub(crate) fn set_size(process: &mut SpecProcess, size: Option<TerminalSize>) {
    if let Some(size) = size.filter(|size| size.rows > 0 && size.columns > 0) {
        let console = oci_spec::runtime::BoxBuilder::default();
        let console = console.height(u64::from(size.rows)).width(u64::from(size.columns)).build();
        let console = console.expect("both of its fields are set");
        process.set_console_size(Some(console));
    }
}

fn linux(identity: &Identity, cgroups: &Cgroups) -> Result<Linux, SpecError> {
    let config = &identity.config;
    let mut linux = Linux::default();
    linux.set_cgroups_path(Some(cgroups.path(&identity.id)));
    linux.set_namespaces(Some(namespaces(config.network)));
    linux.set_resources(Some(resources::of(config)?));
    linux.set_sysctl(sysctls(config)?);
    linux.set_rootfs_propagation(None);
    if config.privileged {
        linux.set_masked_paths(None);
        linux.set_readonly_paths(None);
        linux.set_devices(Some(devices::of_the_host()));
        linux.set_seccomp(None);
    } else {
        linux.set_masked_paths(Some(masks::masked_paths()));
        linux.set_readonly_paths(Some(masks::readonly_paths()));
        let capabilities = capabilities::of(config)?.bounding().clone().unwrap_or_default();
        linux.set_seccomp(Some(seccomp::default_profile(&capabilities)));
    }
    Ok(linux)
}

fn namespaces(network: Network) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType as T;
    let network = (network == Network::None).then_some(T::Network);
    let kinds = [T::Mount, T::Uts, T::Ipc, T::Pid, T::Cgroup].into_iter().chain(network);
    kinds
        .map(|typ| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(typ);
            namespace
        })
        .collect()
}

fn sysctls(config: &Config) -> Result<Option<HashMap<String, String>>, SpecError> {
    for name in config.sysctls.keys() {
        let ipc = [
            "kernel.msgmax",
            "kernel.msgmnb",
            "kernel.msgmni",
            "kernel.sem",
            "kernel.shmall",
            "kernel.shmmax",
            "kernel.shmmni",
            "kernel.shm_rmid_forced",
        ];
        let own_network = config.network == Network::None && name.starts_with("net.");
        if !(own_network || ipc.contains(&name.as_str()) || name.starts_with("fs.mqueue.")) {
            return Err(SpecError::Sysctl(name.clone()));
        }
    }
    let mut sysctls: HashMap<_, _> = config.sysctls.clone().into_iter().collect();
    if config.network == Network::None {
        // Docker: no capability is needed to use ping and low ports in a network namespace of one's own.
        for (name, value) in
            [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")]
        {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    Ok((!sysctls.is_empty()).then_some(sysctls))
}

#[cfg(test)]
mod tests {
    use super::super::model::{Process, UnixNs};
    use super::super::name;
    use super::*;

    fn identity(change: impl FnOnce(&mut Config)) -> Identity {
        let mut config = Config::default();
        change(&mut config);
        let process = Process {
            args: vec!["sh".into()],
            env: vec![super::super::process::DEFAULT_PATH.into()],
            working_dir: "/w".into(),
            ..Process::default()
        };
        let (name, image_id) = (String::new(), String::new());
        Identity { id: name::new_id(), name, image_id, created_at: UnixNs(0), config, process }
    }

    fn built(change: impl FnOnce(&mut Config)) -> Result<serde_json::Value, SpecError> {
        let account = Account { uid: 5, gid: 6, groups: vec![6, 7], home: Some("/h".into()) };
        let facts = RootfsFacts { account, volumes: Vec::new() };
        let cgroups = Cgroups::Cgroupfs { parent: "/knarr".into() };
        let spec = build(&identity(change), &facts, Path::new("/bundle"), &cgroups)?;
        Ok(serde_json::to_value(spec).expect("a specification is JSON"))
    }

    #[test]
    fn an_ordinary_container_is_confined() {
        let spec = built(|_| {}).expect("ok");
        assert_eq!(
            spec["process"]["user"],
            serde_json::json!({"uid": 5, "gid": 6, "additionalGids": [6, 7]})
        );
        assert!(spec["process"]["env"].as_array().expect("env").contains(&"HOME=/h".into()));
        assert!(spec["process"]["capabilities"].get("inheritable").is_none());
        assert!(spec["linux"]["cgroupsPath"].as_str().expect("a path").starts_with("/knarr/"));
        assert!(spec["linux"]["maskedPaths"].as_array().expect("masked").contains(&"/proc/kcore".into()));
        assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], false);
        assert_eq!(spec["linux"]["namespaces"].as_array().expect("namespaces").len(), 6);
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    }

    #[test]
    fn a_privileged_container_is_not() {
        let spec = built(|config| config.privileged = true).expect("ok");
        assert!(spec["linux"].get("maskedPaths").is_none());
        assert!(spec["linux"].get("seccomp").is_none());
        assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], true);
        assert!(
            spec["linux"]["devices"]
                .as_array()
                .expect("devices")
                .iter()
                .any(|device| device["path"] == "/dev/null")
        );
    }

    #[test]
    fn the_hosts_network_has_no_namespace_and_no_sysctls_of_its_own() {
        let spec = built(|config| config.network = Network::Host).expect("ok");
        assert_eq!(spec["linux"]["namespaces"].as_array().expect("namespaces").len(), 5);
        assert!(spec["linux"].get("sysctl").is_none());
        let host_with_sysctl = built(|config| {
            config.network = Network::Host;
            config.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        });
        assert!(matches!(host_with_sysctl, Err(SpecError::Sysctl(_))));
        assert!(built(|config| drop(config.sysctls.insert("kernel.panic".into(), "1".into()))).is_err());
    }

    #[test]
    fn a_hostname_that_could_write_into_hosts_is_refused() {
        for name in ["a b", "a\nb", "-a", &"h".repeat(64), ""] {
            let built = built(|config| config.hostname = name.into());
            assert_eq!(built.is_ok(), name.is_empty(), "{name:?}");
        }
    }
}
