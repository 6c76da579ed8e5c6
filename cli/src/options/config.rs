//! Options together: what `run` and `create` ask the daemon for.

use knarr_proto::v1::{
    BlockIo, ContainerConfig, Mount, MountType, Namespaces, Resources, StringList, TerminalSize,
};

use super::{BadOption, environment, keep, log, network, security};
use crate::args::container_options::{
    BlockIoOptions, ContainerOptions, CpuOptions, MemoryLimitOptions, NamespaceOptions, ResourceOptions,
    StreamName,
};

/// Which of the container's streams are joined with ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    /// Our input goes to the container.
    pub(crate) stdin: bool,
    /// The container's output comes to ours.
    pub(crate) stdout: bool,
    /// The same for its errors.
    pub(crate) stderr: bool,
}

impl Streams {
    /// What `-a`, `-i` and `-d` mean together.
    ///
    /// # Errors
    /// `-a` and `-d` exclude each other.
    pub(crate) fn resolve(options: &ContainerOptions, detach: bool) -> Result<Self, BadOption> {
        let named = &options.streams.attach;
        match (detach, named.is_empty()) {
            (true, false) => Err(BadOption::Conflict("cannot specify both --attach and --detach")),
            (true, true) => Ok(Self::default()),
            (false, true) => Ok(Self { stdin: options.streams.interactive, stdout: true, stderr: true }),
            (false, false) => Ok(Self {
                stdin: named.contains(&StreamName::Stdin),
                stdout: named.contains(&StreamName::Stdout),
                stderr: named.contains(&StreamName::Stderr),
            }),
        }
    }
}

/// The container that the options ask for, from `image_and_command`, which has at least the image.
///
/// # Errors
/// A file that an option names cannot be used.
pub(crate) fn build(
    options: &ContainerOptions,
    image_and_command: &[String],
    streams: Streams,
    terminal_size: Option<TerminalSize>,
) -> Result<ContainerConfig, BadOption> {
    keep::check(options)?;
    let (image, command) = image_and_command
        .split_first()
        .ok_or_else(|| BadOption::form("", "an image: write knarr run IMAGE [COMMAND] [ARG...]"))?;
    let files = &options.files;
    let volumes = files.volume.iter().cloned().map(|mount| match mount.r#type() {
        MountType::Volume => Mount { volume_driver: files.volume_driver.clone(), ..mount },
        _ => mount,
    });
    let mounts = volumes.chain(files.mount.iter().chain(&files.tmpfs).cloned());
    let entrypoint = options.process.entrypoint.as_ref().map(|program| StringList {
        values: if program.is_empty() { Vec::new() } else { vec![program.clone()] },
    });
    let (mode, networking) = network::build(&options.network)?;
    let (no_new_privileges, confinement) = security::together(&options.security.security_opt);
    Ok(ContainerConfig {
        image: image.clone(),
        entrypoint,
        command: command.to_vec(),
        env: environment::variables(&options.process.env, &options.process.env_file, &environment::own)?,
        working_dir: options.process.workdir.clone(),
        user: options.process.user.clone(),
        hostname: options.identity.hostname.clone(),
        tty: options.streams.tty,
        open_stdin: options.streams.interactive,
        stdin_once: options.streams.interactive && streams.stdin,
        labels: environment::labels(&options.identity.label, &options.identity.label_file)?,
        stop_signal: options.process.stop_signal.clone(),
        stop_timeout_seconds: options.process.stop_timeout.map(|seconds| seconds.0),
        mounts: mounts.collect(),
        volumes_from: files.volumes_from.clone(),
        resources: Some(resources(&options.resources, &options.block_io)),
        read_only_rootfs: options.files.read_only,
        cap_add: options.security.cap_add.clone(),
        cap_drop: options.security.cap_drop.clone(),
        privileged: options.security.privileged,
        network: mode,
        networking: Some(networking),
        namespaces: Some(namespaces(&options.namespaces)),
        auto_remove: options.identity.rm,
        no_new_privileges,
        confinement,
        group_add: options.process.group_add.clone(),
        terminal_size: terminal_size.filter(|_| options.streams.tty),
        sysctls: options.security.sysctl.iter().cloned().collect(),
        ulimits: options.resources.ulimit.clone(),
        domainname: options.identity.domainname.clone(),
        devices: options.files.device.clone(),
        device_cgroup_rules: options.files.device_cgroup_rule.clone(),
        cgroup_parent: options.namespaces.cgroup_parent.clone(),
        annotations: options.identity.annotation.iter().cloned().collect(),
        oom_score_adj: options.resources.memory.oom_score_adj,
        init: options.process.init.then_some(true),
        shm_size_bytes: options.files.shm_size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        log: log::parse(&options.log)?,
        restart: options.keep.restart.clone(),
        health_check: keep::health(&options.keep.health)?,
    })
}

fn namespaces(options: &NamespaceOptions) -> Namespaces {
    Namespaces {
        pid: options.pid.clone(),
        ipc: options.ipc.clone(),
        uts: options.uts.clone(),
        cgroup: options.cgroupns.clone(),
    }
}

/// The limits that `run`, `create` and `update` have in common; the others are none.
pub(crate) fn limits(memory: &MemoryLimitOptions, cpu: &CpuOptions, pids: Option<i64>) -> Resources {
    Resources {
        memory_bytes: memory.memory.unwrap_or(0),
        memory_swap_bytes: memory.memory_swap.unwrap_or(0),
        memory_reservation_bytes: memory.memory_reservation.unwrap_or(0),
        nano_cpus: cpu.cpus.unwrap_or(0),
        cpu_shares: cpu.cpu_shares.unwrap_or(0),
        cpu_period_us: cpu.cpu_period,
        cpu_quota_us: cpu.cpu_quota,
        cpu_rt_period_us: cpu.cpu_rt_period,
        cpu_rt_runtime_us: cpu.cpu_rt_runtime,
        cpuset_cpus: cpu.cpuset_cpus.clone(),
        cpuset_mems: cpu.cpuset_mems.clone(),
        pids_limit: pids.unwrap_or(0),
        ..Resources::default()
    }
}

fn resources(options: &ResourceOptions, block_io: &BlockIoOptions) -> Resources {
    let ResourceOptions { memory, cpu, pids_limit, .. } = options;
    Resources {
        memory_swappiness: memory.memory_swappiness.and_then(|swappiness| u32::try_from(swappiness).ok()),
        oom_kill_disable: memory.oom_kill_disable,
        block_io: Some(BlockIo {
            weight: block_io.blkio_weight,
            weight_devices: block_io.blkio_weight_device.clone(),
            read_bps: block_io.device_read_bps.clone(),
            write_bps: block_io.device_write_bps.clone(),
            read_iops: block_io.device_read_iops.clone(),
            write_iops: block_io.device_write_iops.clone(),
        }),
        ..limits(&memory.limits, cpu, *pids_limit)
    }
}
