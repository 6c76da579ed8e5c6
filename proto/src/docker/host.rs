//! What docker's `HostConfig` asks for besides mounts: limits, namespaces, rights and logs.

use super::fields::{Fields, InvalidBody};
use super::mounts::bytes;
use crate::v1::{BlockIo, Confinement, Device, DeviceRate, Log, Namespaces, Resources, Ulimit};

/// Limits of the container's cgroup.
///
/// # Errors
/// [`InvalidBody`], as for all that follow.
pub(super) fn resources(host: &Fields) -> Result<Resources, InvalidBody> {
    // -1 is the kernel's own.
    let swappiness = host.number_if_any("MemorySwappiness")?.filter(|swappiness| *swappiness != -1);
    Ok(Resources {
        memory_bytes: host.count("Memory")?,
        memory_swap_bytes: host.number("MemorySwap")?,
        memory_reservation_bytes: host.count("MemoryReservation")?,
        memory_swappiness: match swappiness {
            Some(_) => host.count_if_any("MemorySwappiness")?,
            None => None,
        },
        oom_kill_disable: host.flag("OomKillDisable")?,
        nano_cpus: host.count("NanoCpus")?,
        cpu_shares: host.count("CpuShares")?,
        cpu_period_us: host.count("CpuPeriod")?,
        cpu_quota_us: host.number("CpuQuota")?,
        cpu_rt_period_us: host.count("CpuRealtimePeriod")?,
        cpu_rt_runtime_us: host.number("CpuRealtimeRuntime")?,
        cpuset_cpus: host.text("CpusetCpus")?,
        cpuset_mems: host.text("CpusetMems")?,
        pids_limit: host.number("PidsLimit")?.max(-1),
        block_io: block_io(host)?,
    })
}

fn block_io(host: &Fields) -> Result<Option<BlockIo>, InvalidBody> {
    let rates = |name: &str, key: &str| -> Result<Vec<DeviceRate>, InvalidBody> {
        let rate = |device: &Fields| Ok(DeviceRate { path: device.text("Path")?, rate: device.count(key)? });
        host.objects(name)?.iter().map(rate).collect()
    };
    let block_io = BlockIo {
        weight: host.count("BlkioWeight")?,
        weight_devices: rates("BlkioWeightDevice", "Weight")?,
        read_bps: rates("BlkioDeviceReadBps", "Rate")?,
        write_bps: rates("BlkioDeviceWriteBps", "Rate")?,
        read_iops: rates("BlkioDeviceReadIOps", "Rate")?,
        write_iops: rates("BlkioDeviceWriteIOps", "Rate")?,
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

/// Whose namespaces the container is in.
pub(super) fn namespaces(host: &Fields) -> Result<Option<Namespaces>, InvalidBody> {
    let namespaces = Namespaces {
        pid: host.text("PidMode")?,
        ipc: match host.text("IpcMode")?.as_str() {
            // Whom it is shared with would say so by its own mode.
            "private" | "shareable" => String::new(),
            mode => mode.to_owned(),
        },
        uts: host.text("UTSMode")?,
        cgroup: match host.text("CgroupnsMode")?.as_str() {
            "private" => String::new(),
            mode => mode.to_owned(),
        },
    };
    Ok((namespaces != Namespaces::default()).then_some(namespaces))
}

/// What confines the container, and whether it may gain no privileges.
pub(super) fn confinement(host: &Fields) -> Result<(bool, Option<Confinement>), InvalidBody> {
    let mut no_new_privileges = false;
    let mut confinement = Confinement { unmasked: is_unmasked(host)?, ..Confinement::default() };
    for option in host.texts("SecurityOpt")? {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((&option, ""));
        match (name, value) {
            ("no-new-privileges", "" | "true") => no_new_privileges = true,
            ("no-new-privileges", "false") => no_new_privileges = false,
            ("writable-cgroups", "" | "true") => confinement.writable_cgroups = true,
            ("writable-cgroups", "false") => confinement.writable_cgroups = false,
            ("seccomp", "builtin") => confinement.seccomp.clear(),
            // The client has read the profile.
            ("seccomp", profile) if !profile.is_empty() => profile.clone_into(&mut confinement.seccomp),
            ("apparmor", profile) if !profile.is_empty() => profile.clone_into(&mut confinement.apparmor),
            // There is no SELinux label to disable.
            ("label", "disable") => {}
            _ => {
                let field = format!("{} {option:?}", host.path("SecurityOpt"));
                return Err(InvalidBody::Unsupported { field, hint: "" });
            }
        }
    }
    Ok((no_new_privileges, (confinement != Confinement::default()).then_some(confinement)))
}

/// Whether neither paths are masked nor read-only, which docker's CLI asks for by two empty lists.
fn is_unmasked(host: &Fields) -> Result<bool, InvalidBody> {
    let mut is_unmasked = false;
    for name in ["MaskedPaths", "ReadonlyPaths"] {
        let Some(paths) = host.texts_if_any(name)? else { continue };
        if !paths.is_empty() {
            let hint = ": only an empty list is taken, for none at all";
            return Err(InvalidBody::Unsupported { field: host.path(name), hint });
        }
        is_unmasked = true;
    }
    Ok(is_unmasked)
}

/// Devices of the host.
pub(super) fn devices(host: &Fields) -> Result<Vec<Device>, InvalidBody> {
    let device = |device: &Fields| {
        Ok(Device {
            host_path: device.text("PathOnHost")?,
            container_path: device.text("PathInContainer")?,
            permissions: device.text("CgroupPermissions")?,
        })
    };
    host.objects("Devices")?.iter().map(device).collect()
}

/// What becomes of the output.
pub(super) fn log(host: &Fields) -> Result<Option<Log>, InvalidBody> {
    let asked = host.object("LogConfig")?;
    let mut log = Log::default();
    match asked.text("Type")?.as_str() {
        "" | "json-file" | "local" => {}
        "none" => log.none = true,
        driver => {
            let field = format!("{} {driver:?}", asked.path("Type"));
            return Err(InvalidBody::Unsupported { field, hint: ": there are json-file, local and none" });
        }
    }
    for (name, value) in asked.map("Config")? {
        let invalid = || InvalidBody::Value {
            field: format!("{}.{name}", asked.path("Config")),
            value: value.clone(),
            expected: "it must be a number above 0",
        };
        match name.as_str() {
            "max-size" => log.max_size_bytes = bytes(&value).filter(|size| *size > 0).ok_or_else(invalid)?,
            "max-file" => {
                log.max_files = value.parse().ok().filter(|files| *files > 0).ok_or_else(invalid)?;
            }
            // What is old is plain text here.
            "compress" if value == "false" => {}
            _ => {
                let field = format!("{}.{name}", asked.path("Config"));
                return Err(InvalidBody::Unsupported {
                    field,
                    hint: " (unknown log opt): there are max-size and max-file",
                });
            }
        }
    }
    Ok((log != Log::default()).then_some(log))
}

/// Limits of the container's processes.
pub(super) fn ulimits(host: &Fields) -> Result<Vec<Ulimit>, InvalidBody> {
    let ulimit = |limit: &Fields| {
        // -1 is no limit.
        let bound = |name| Ok(limit.number(name)?.cast_unsigned());
        Ok(Ulimit { name: limit.text("Name")?, soft: bound("Soft")?, hard: bound("Hard")? })
    };
    host.objects("Ulimits")?.iter().map(ulimit).collect()
}
