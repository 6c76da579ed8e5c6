//! A container's config.json (OCI runtime-spec), with docker's defaults. Nothing here touches the container's files:
//! the caller passes the user's account.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

mod block_io;
pub(crate) mod capabilities;
mod devices;
mod error;
pub(crate) mod init;
mod masks;
pub(crate) mod mounts;
mod namespaces;
mod profile;
mod resources;
mod seccomp;
mod sysctls;
pub(crate) mod target;
pub(crate) mod volumes;

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxSeccomp, Process as SpecProcess, Root, Spec, User};

use super::plan::{
    Isolation, NetworkMode, Resources, Rights, SeccompChoice, SharingMode, TaskPlan, TerminalSize,
};
use super::user::Account;
use crate::cgroups::Cgroups;
pub(crate) use error::SpecError;
use volumes::VolumeRoot;

/// What was looked up in the container's own files for this run.
#[derive(Clone, Debug)]
pub(crate) struct RootfsFacts {
    pub(crate) account: Account,
    /// Where the image's volumes are.
    pub(crate) volumes: Vec<VolumeRoot>,
}

/// What the machine has to confine and limit a container by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineFacts {
    /// The AppArmor profile of containers that are not privileged; `None` where there is none.
    pub(crate) profile: Option<&'static str>,
    /// Without it, a limit that nobody asked for is not set.
    pub(crate) counts_swap: bool,
}

/// The limits in the specification's form, as JSON for the runtime's `update`; `counts_swap` as in
/// [`MachineFacts`]. Blocks.
///
/// # Errors
/// [`SpecError`] for limits that make no sense.
pub(crate) fn limits_json(limits: &Resources, counts_swap: bool) -> Result<Vec<u8>, SpecError> {
    let limits = resources::cgroup_limits(limits, counts_swap)?;
    Ok(serde_json::to_vec(&limits).expect("a specification of our own types is JSON"))
}

/// The whole configuration.
///
/// # Errors
/// [`SpecError`] names what was asked for and cannot be.
pub(crate) fn build(
    plan: &TaskPlan,
    facts: &RootfsFacts,
    machine: MachineFacts,
    bundle: &Path,
    cgroups: &Cgroups,
) -> Result<Spec, SpecError> {
    let hostname = hostname(plan)?;
    let mut root = Root::default();
    root.set_path("rootfs".into());
    root.set_readonly(Some(plan.files.read_only_rootfs));
    let mut spec = Spec::default();
    spec.set_version("1.0.2".to_owned());
    spec.set_root(Some(root));
    spec.set_process(Some(first_process(plan, &facts.account, machine.profile)?));
    spec.set_mounts(Some(mounts::mount_table(plan, &facts.volumes, bundle)?));
    let isolation = &plan.isolation;
    // The type's default has a name of its own.
    spec.set_hostname(None);
    if isolation.sharing.uts == SharingMode::Private {
        spec.set_hostname(Some(hostname));
        if !isolation.domainname.is_empty() {
            check_host_name(&isolation.domainname)?;
            spec.set_domainname(Some(isolation.domainname.clone()));
        }
    }
    spec.set_linux(Some(linux(plan, machine, cgroups)?));
    let annotations = &isolation.placement.annotations;
    if plan.process.init {
        init::put_in_front(&mut spec, bundle);
    }
    spec.set_annotations((!annotations.is_empty()).then(|| annotations.clone().into_iter().collect()));
    Ok(spec)
}

/// The container's hostname: as asked for, else the host's where it shares that or the network, else the first 12
/// characters of its id.
///
/// # Errors
/// [`SpecError::Hostname`].
pub(crate) fn hostname(plan: &TaskPlan) -> Result<String, SpecError> {
    let Isolation { hostname: wanted, sharing, .. } = &plan.isolation;
    if wanted.is_empty() {
        let is_hosts = sharing.uts == SharingMode::Host || sharing.network == NetworkMode::Host;
        return Ok(match is_hosts {
            true => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            false => plan.id.as_str().chars().take(12).collect(),
        });
    }
    check_host_name(wanted)?;
    Ok(wanted.clone())
}

fn check_host_name(name: &str) -> Result<(), SpecError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    match name.len() > 63 || !name.bytes().all(allowed) || name.starts_with(['-', '.']) {
        true => Err(SpecError::Hostname(name.chars().take(80).collect())),
        false => Ok(()),
    }
}

/// The container's first process; an exec begins with the same. `profile` is AppArmor's where none was asked for.
///
/// # Errors
/// [`SpecError`].
pub(crate) fn first_process(
    plan: &TaskPlan,
    account: &Account,
    profile: Option<&str>,
) -> Result<SpecProcess, SpecError> {
    let TaskPlan { process, streams, isolation, .. } = plan;
    let mut env = process.env.clone();
    if !env.iter().any(|entry| key(entry) == "HOSTNAME") {
        env.insert(1.min(env.len()), format!("HOSTNAME={}", hostname(plan)?));
    }
    set_home(&mut env, account);
    let mut spec = SpecProcess::default();
    spec.set_terminal(Some(streams.tty));
    set_size(&mut spec, streams.terminal_size.filter(|_| streams.tty));
    spec.set_user(spec_user(account));
    spec.set_args(Some(process.args.clone()));
    spec.set_env(Some(env));
    spec.set_cwd(process.working_dir.clone().into());
    spec.set_capabilities(Some(capabilities::capability_sets(&isolation.rights)?));
    spec.set_rlimits(resources::rlimits(&isolation.ulimits)?);
    spec.set_no_new_privileges(Some(isolation.rights.no_new_privileges));
    if !(-1000..=1000).contains(&process.oom_score_adj) {
        let problem =
            format!("Invalid value {}, range for oom score adj is [-1000, 1000]", process.oom_score_adj);
        return Err(SpecError::limit("oom-score-adj", problem));
    }
    spec.set_oom_score_adj(Some(process.oom_score_adj));
    let asked_for = Some(isolation.rights.confinement.apparmor.as_str()).filter(|name| !name.is_empty());
    spec.set_apparmor_profile(asked_for.or(profile).map(str::to_owned));
    Ok(spec)
}

/// Adds the user's home, unless the environment has one.
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

/// The name of an environment entry.
pub(crate) fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

fn linux(plan: &TaskPlan, machine: MachineFacts, cgroups: &Cgroups) -> Result<Linux, SpecError> {
    let isolation = &plan.isolation;
    let rights = &isolation.rights;
    let cgroups = cgroups.below(&isolation.placement.cgroup_parent).map_err(SpecError::CgroupParent)?;
    let devices = devices::requested(&isolation.devices)?;
    let mut limits = resources::cgroup_limits(&plan.resources, machine.counts_swap)?;
    limits.set_devices(Some(devices::rules(rights.privileged, &devices, &isolation.devices.cgroup_rules)?));
    let mut linux = Linux::default();
    linux.set_cgroups_path(Some(cgroups.path(&plan.id)));
    linux.set_namespaces(Some(namespaces::namespaces(plan)?));
    linux.set_resources(Some(limits));
    linux.set_sysctl(sysctls::sysctls(isolation)?);
    linux.set_rootfs_propagation(None);
    let mut nodes: Vec<LinuxDevice> = devices.into_iter().map(|(device, _)| device).collect();
    if rights.privileged {
        nodes.extend(devices::of_the_host());
    }
    linux.set_devices((!nodes.is_empty()).then_some(nodes));
    let is_open = rights.privileged || rights.confinement.unmasked;
    linux.set_masked_paths((!is_open).then(masks::masked_paths));
    linux.set_readonly_paths((!is_open).then(masks::readonly_paths));
    linux.set_seccomp(filter(rights)?);
    Ok(linux)
}

/// The filter of system calls; none for a privileged container, unless a profile was asked for.
fn filter(rights: &Rights) -> Result<Option<LinuxSeccomp>, SpecError> {
    let capabilities = || -> Result<_, SpecError> {
        Ok(capabilities::capability_sets(rights)?.bounding().clone().unwrap_or_default())
    };
    match &rights.confinement.seccomp {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Builtin if rights.privileged => Ok(None),
        SeccompChoice::Builtin => Ok(Some(seccomp::default_profile(&capabilities()?))),
        SeccompChoice::Profile(text) => profile::read(text, &capabilities()?).map(Some),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plan::{Files, Joined, Process, Resources, Streams};
    use super::*;

    /// A plan with as little as possible in it.
    pub(in crate::tasks) fn plan(change: impl FnOnce(&mut Isolation)) -> TaskPlan {
        let mut isolation = Isolation::default();
        change(&mut isolation);
        let process = Process {
            args: vec!["sh".into()],
            env: vec!["PATH=/bin".into()],
            working_dir: "/w".into(),
            ..Process::default()
        };
        TaskPlan {
            id: "a".repeat(64).parse().expect("an id"),
            process,
            streams: Streams::default(),
            files: Files::default(),
            isolation,
            resources: Resources::default(),
            joined: Joined::default(),
            volumes: Default::default(),
            place: None,
        }
    }

    fn built(change: impl FnOnce(&mut Isolation)) -> Result<serde_json::Value, SpecError> {
        built_on(MachineFacts { profile: None, counts_swap: true }, &plan(change))
    }

    fn built_on(machine: MachineFacts, plan: &TaskPlan) -> Result<serde_json::Value, SpecError> {
        let account = Account { uid: 5, gid: 6, groups: vec![6, 7], home: Some("/h".into()) };
        let facts = RootfsFacts { account, volumes: Vec::new() };
        let cgroups = Cgroups::Cgroupfs { parent: "/knarr".into() };
        let spec = build(plan, &facts, machine, Path::new("/bundle"), &cgroups)?;
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
        let spec = built(|isolation| isolation.rights.privileged = true).expect("ok");
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
    fn a_machine_s_profile_and_swap_are_used_where_there_are_any() {
        let mut plan = plan(|_| {});
        plan.resources.memory.memory_bytes = 64 << 20;
        for (profile, counts_swap) in [(None, true), (Some("knarr-default"), false)] {
            let spec = built_on(MachineFacts { profile, counts_swap }, &plan).expect("ok");
            assert_eq!(spec["process"]["apparmorProfile"].as_str(), profile);
            let swap = spec["linux"]["resources"]["memory"]["swap"].as_i64();
            assert_eq!(swap, counts_swap.then_some(128 << 20));
        }
        // What was asked for is never left out: the runtime says why it cannot be.
        plan.resources.memory.memory_swap_bytes = 96 << 20;
        plan.isolation.rights.confinement.apparmor = "mine".into();
        let machine = MachineFacts { profile: Some("knarr-default"), counts_swap: false };
        let spec = built_on(machine, &plan).expect("ok");
        assert_eq!(spec["process"]["apparmorProfile"], "mine");
        assert_eq!(spec["linux"]["resources"]["memory"]["swap"], 96 << 20);
    }

    #[test]
    fn the_hosts_network_has_no_namespace_and_no_sysctls_of_its_own() {
        let spec = built(|isolation| isolation.sharing.network = NetworkMode::Host).expect("ok");
        assert_eq!(spec["linux"]["namespaces"].as_array().expect("namespaces").len(), 5);
        assert!(spec["linux"].get("sysctl").is_none());
        let host_with_sysctl = built(|isolation| {
            isolation.sharing.network = NetworkMode::Host;
            isolation.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        });
        assert!(matches!(host_with_sysctl, Err(SpecError::Sysctl(_))));
        assert!(
            built(|isolation| drop(isolation.sysctls.insert("kernel.panic".into(), "1".into()))).is_err()
        );
    }

    #[test]
    fn a_hostname_that_could_write_into_hosts_is_refused() {
        for name in ["a b", "a\nb", "-a", &"h".repeat(64), ""] {
            let built = built(|isolation| isolation.hostname = name.into());
            assert_eq!(built.is_ok(), name.is_empty(), "{name:?}");
        }
    }
}
