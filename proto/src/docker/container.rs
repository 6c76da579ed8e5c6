//! A container as `docker inspect` shows it: the same keys, in the same order, for what knarr has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::keep;
use super::networking;
use super::reference::short;
use super::summary::add_size;
use super::time::rfc3339;
use super::words::{network_name, sorted, state_name};
use crate::v1::{
    Container, ContainerConfig, ContainerState, Device, DeviceRate, Mount, MountType, Resources, VolumeOrigin,
};

/// A container as docker's `GET /containers/{id}/json` has it.
#[must_use]
pub fn container(container: &Container) -> Value {
    let config = container.config.clone().unwrap_or_default();
    let resources = config.resources.clone().unwrap_or_default();
    let (path, args) = container.args.split_first().map_or(("", &[][..]), |(path, args)| (path, args));
    let mut object = json!({
        "Id": container.id,
        "Created": rfc3339(container.created_at.as_ref()),
        "Path": path,
        "Args": args,
        "State": state(container),
        "Image": container.image_id,
        "ResolvConfPath": format!("{}/etc/resolv.conf", container.bundle_path),
        "HostnamePath": format!("{}/etc/hostname", container.bundle_path),
        "HostsPath": format!("{}/etc/hosts", container.bundle_path),
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.restart_count,
        "Driver": "overlayfs",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "BundlePath": container.bundle_path,
        "SnapshotKey": container.snapshot_key,
        "ExecIDs": match container.exec_ids.as_slice() { [] => Value::Null, ids => Value::from(ids) },
        "HostConfig": host_config(&config, &resources),
        "Mounts": config.mounts.iter().map(mount_point).collect::<Vec<_>>(),
        "Config": own_config(container, &config),
        "NetworkSettings": networking::network_settings(container, &config),
    });
    add_size(&mut object, container);
    object
}

fn state(container: &Container) -> Value {
    let state = container.state();
    let exit = container.exit.clone().unwrap_or_default();
    // Between two runs it is running, to docker.
    let is_restarting = state == ContainerState::Restarting;
    let is_running = is_restarting || matches!(state, ContainerState::Running | ContainerState::Paused);
    let mut object = json!({
        "Status": state_name(state),
        "Running": is_running,
        "Paused": state == ContainerState::Paused,
        "Restarting": is_restarting,
        "OOMKilled": exit.oom_killed,
        "Dead": false,
        "Pid": container.pid,
        "ExitCode": if is_running && !is_restarting { 0 } else { exit.code },
        "Error": exit.error,
        "StartedAt": rfc3339(container.started_at.as_ref()),
        "FinishedAt": rfc3339(exit.finished_at.as_ref()),
    });
    if let Some(health) = &container.health {
        object["Health"] = keep::health_known(health, is_running && !is_restarting);
    }
    object
}

fn host_config(config: &ContainerConfig, resources: &Resources) -> Value {
    let binds: Vec<String> = config.mounts.iter().filter(|mount| is_bind(mount)).map(bind_text).collect();
    let tmpfs: BTreeMap<&str, String> = config
        .mounts
        .iter()
        .filter(|mount| mount.r#type() == MountType::Tmpfs)
        .map(|mount| (mount.target.as_str(), tmpfs_options(mount)))
        .collect();
    let ulimits: Vec<Value> = config
        .ulimits
        .iter()
        .map(|limit| json!({"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft}))
        .collect();
    let namespaces = config.namespaces.clone().unwrap_or_default();
    let mut object = json!({
        "Binds": binds,
        "ContainerIDFile": "",
        "NetworkMode": network_name(config),
        "PidMode": namespaces.pid,
        "IpcMode": own_or(&namespaces.ipc, "private"),
        "UTSMode": namespaces.uts,
        "UsernsMode": "",
        "CgroupnsMode": own_or(&namespaces.cgroup, "private"),
        "Cgroup": "",
        "CgroupParent": config.cgroup_parent,
        "Annotations": sorted(&config.annotations),
        "LogConfig": log_config(config),
        "OomScoreAdj": config.oom_score_adj,
        "ShmSize": if config.shm_size_bytes == 0 { 64 << 20 } else { config.shm_size_bytes },
        "Devices": config.devices.iter().map(device).collect::<Vec<_>>(),
        "DeviceCgroupRules": config.device_cgroup_rules,
        "RestartPolicy": keep::restart_back(config),
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": if config.volumes_from.is_empty() { Value::Null } else { json!(config.volumes_from) },
        "ConsoleSize": config.terminal_size.as_ref().map_or([0, 0], |size| [size.rows, size.columns]),
        "CapAdd": config.cap_add,
        "CapDrop": config.cap_drop,
        "GroupAdd": config.group_add,
        "Privileged": config.privileged,
        "ReadonlyRootfs": config.read_only_rootfs,
        "SecurityOpt": security_options(config),
        "Tmpfs": tmpfs,
        "Sysctls": sorted(&config.sysctls),
        "Ulimits": ulimits,
    });
    if let Some(init) = config.init {
        object["Init"] = json!(init);
    }
    for more in [limits(resources), networking::host_config(config), not_yet()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut object, more) {
            all.extend(more);
        }
    }
    object
}

/// What there is no word for yet, as docker has it when nothing is asked for.
fn not_yet() -> Value {
    json!({
        "Runtime": "knarr",
        "Isolation": "",
        "DeviceRequests": null,
    })
}

/// The limits of the container's cgroup; docker has them among the others.
fn limits(resources: &Resources) -> Value {
    let block_io = resources.block_io.clone().unwrap_or_default();
    json!({
        "CpuShares": resources.cpu_shares,
        "Memory": resources.memory_bytes,
        "NanoCpus": resources.nano_cpus,
        "CpuPeriod": resources.cpu_period_us,
        "CpuQuota": resources.cpu_quota_us,
        "CpuRealtimePeriod": resources.cpu_rt_period_us,
        "CpuRealtimeRuntime": resources.cpu_rt_runtime_us,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "MemoryReservation": resources.memory_reservation_bytes,
        "MemorySwap": resources.memory_swap_bytes,
        "MemorySwappiness": resources.memory_swappiness,
        "OomKillDisable": resources.oom_kill_disable,
        "BlkioWeight": block_io.weight,
        "BlkioWeightDevice": rates(&block_io.weight_devices, "Weight"),
        "BlkioDeviceReadBps": rates(&block_io.read_bps, "Rate"),
        "BlkioDeviceWriteBps": rates(&block_io.write_bps, "Rate"),
        "BlkioDeviceReadIOps": rates(&block_io.read_iops, "Rate"),
        "BlkioDeviceWriteIOps": rates(&block_io.write_iops, "Rate"),
        "PidsLimit": match resources.pids_limit { 0 => Value::Null, limit => Value::from(limit) },
    })
}

fn own_or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn security_options(config: &ContainerConfig) -> Vec<String> {
    let confinement = config.confinement.clone().unwrap_or_default();
    let named = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name}={value}"));
    let given = |name: &str, is_given: bool| is_given.then(|| name.to_owned());
    let options = [
        given("no-new-privileges", config.no_new_privileges),
        named("seccomp", &confinement.seccomp),
        named("apparmor", &confinement.apparmor),
        given("systempaths=unconfined", confinement.unmasked),
        given("writable-cgroups=true", confinement.writable_cgroups),
    ];
    options.into_iter().flatten().collect()
}

fn log_config(config: &ContainerConfig) -> Value {
    let log = config.log.unwrap_or_default();
    let mut options = BTreeMap::new();
    if log.max_size_bytes != 0 {
        options.insert("max-size", log.max_size_bytes.to_string());
    }
    if log.max_files != 0 {
        options.insert("max-file", log.max_files.to_string());
    }
    json!({ "Type": if log.none { "none" } else { "json-file" }, "Config": options })
}

fn device(device: &Device) -> Value {
    json!({
        "PathOnHost": device.host_path,
        "PathInContainer": own_or(&device.container_path, &device.host_path),
        "CgroupPermissions": own_or(&device.permissions, "rwm"),
    })
}

fn rates(devices: &[DeviceRate], key: &str) -> Vec<Value> {
    devices.iter().map(|device| json!({ "Path": device.path, key: device.rate })).collect()
}

fn own_config(container: &Container, config: &ContainerConfig) -> Value {
    let hostname = match config.hostname.as_str() {
        "" => container.id.get(..12).unwrap_or(&container.id),
        hostname => hostname,
    };
    let mut object = json!({
        "Hostname": hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": config.open_stdin,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": config.command,
        "Image": short(&container.image),
        "Volumes": anonymous_volumes(config),
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint.as_ref().map(|entrypoint| &entrypoint.values),
        "OnBuild": null,
        "Labels": sorted(&config.labels),
    });
    if let Value::Object(fields) = &mut object {
        if !config.stop_signal.is_empty() {
            fields.insert("StopSignal".to_owned(), Value::from(config.stop_signal.as_str()));
        }
        if let Some(seconds) = config.stop_timeout_seconds {
            fields.insert("StopTimeout".to_owned(), Value::from(seconds));
        }
        if let Some(check) = &config.health_check {
            fields.insert("Healthcheck".to_owned(), keep::health_back(check));
        }
        if let Some(exposed) = networking::exposed_ports(config) {
            fields.insert("ExposedPorts".to_owned(), exposed);
        }
    }
    object
}

/// Whether it has the form of `-v`, with a source.
fn is_bind(mount: &Mount) -> bool {
    match mount.r#type() {
        MountType::Bind => true,
        MountType::Volume => mount.volume_origin() == VolumeOrigin::Named,
        MountType::Tmpfs | MountType::Unspecified => false,
    }
}

/// Places of volumes that have no name of their own, as a set in Go.
fn anonymous_volumes(config: &ContainerConfig) -> Value {
    let is_anonymous =
        |mount: &&Mount| matches!(mount.volume_origin(), VolumeOrigin::Anonymous | VolumeOrigin::Image);
    let places = config.mounts.iter().filter(is_anonymous).map(|mount| (mount.target.clone(), json!({})));
    let places: Map<String, Value> = places.collect();
    if places.is_empty() { Value::Null } else { Value::Object(places) }
}

fn bind_text(mount: &Mount) -> String {
    let mut options = Vec::new();
    if mount.read_only {
        options.push("ro");
    }
    if mount.no_copy {
        options.push("nocopy");
    }
    if !mount.propagation.is_empty() {
        options.push(mount.propagation.as_str());
    }
    match options.as_slice() {
        [] => format!("{}:{}", mount.source, mount.target),
        options => format!("{}:{}:{}", mount.source, mount.target, options.join(",")),
    }
}

fn tmpfs_options(mount: &Mount) -> String {
    let mut options = Vec::new();
    if mount.read_only {
        options.push("ro".to_owned());
    }
    if mount.tmpfs_size_bytes != 0 {
        options.push(format!("size={}", mount.tmpfs_size_bytes));
    }
    if mount.tmpfs_mode != 0 {
        options.push(format!("mode={:o}", mount.tmpfs_mode));
    }
    options.join(",")
}

fn volume_mount_point(mount: &Mount) -> Value {
    json!({
        "Type": "volume",
        "Name": mount.source,
        "Source": mount.mountpoint,
        "Destination": mount.target,
        "Driver": own_or(&mount.volume_driver, "local"),
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only,
        "Propagation": "",
    })
}

pub(super) fn mount_point(mount: &Mount) -> Value {
    if mount.r#type() == MountType::Volume {
        return volume_mount_point(mount);
    }
    let kind = if mount.r#type() == MountType::Tmpfs { "tmpfs" } else { "bind" };
    let propagation = match (mount.r#type(), mount.propagation.as_str()) {
        (MountType::Tmpfs, _) => "",
        (_, "") => "rprivate",
        (_, propagation) => propagation,
    };
    json!({
        "Type": kind,
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only,
        "Propagation": propagation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::ExitStatus;

    fn sample() -> Container {
        Container {
            id: "4f1c".repeat(16),
            name: "web".to_owned(),
            image: "docker.io/library/alpine:latest".to_owned(),
            image_id: "sha256:00".to_owned(),
            state: ContainerState::Exited.into(),
            exit: Some(ExitStatus { code: 3, error: "why".to_owned(), oom_killed: true, finished_at: None }),
            args: vec!["sh".to_owned(), "-c".to_owned()],
            config: Some(ContainerConfig {
                labels: [("z", "1"), ("a", "2")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                mounts: vec![
                    Mount {
                        r#type: MountType::Bind.into(),
                        source: "/a".to_owned(),
                        target: "/b".to_owned(),
                        read_only: true,
                        ..Mount::default()
                    },
                    Mount {
                        r#type: MountType::Tmpfs.into(),
                        target: "/t".to_owned(),
                        tmpfs_size_bytes: 4096,
                        tmpfs_mode: 0o700,
                        ..Mount::default()
                    },
                ],
                ..ContainerConfig::default()
            }),
            ..Container::default()
        }
    }

    #[test]
    fn what_scripts_look_at_is_where_docker_has_it() {
        let object = container(&sample());
        for (pointer, expected) in [
            ("/State/Status", json!("exited")),
            ("/State/Running", json!(false)),
            ("/State/OOMKilled", json!(true)),
            ("/State/ExitCode", json!(3)),
            ("/State/Error", json!("why")),
            ("/State/StartedAt", json!("0001-01-01T00:00:00Z")),
            ("/Name", json!("/web")),
            ("/Image", json!("sha256:00")),
            ("/Path", json!("sh")),
            ("/Args", json!(["-c"])),
            ("/Config/Image", json!("alpine:latest")),
            ("/Config/Hostname", json!("4f1c4f1c4f1c")),
            ("/HostConfig/Binds/0", json!("/a:/b:ro")),
            ("/HostConfig/Tmpfs/~1t", json!("size=4096,mode=700")),
            ("/HostConfig/PidsLimit", Value::Null),
            ("/ExecIDs", Value::Null),
            ("/Mounts/0/RW", json!(false)),
            ("/Mounts/0/Propagation", json!("rprivate")),
            ("/Mounts/1/Type", json!("tmpfs")),
        ] {
            assert_eq!(object.pointer(pointer), Some(&expected), "{pointer}");
        }
    }

    #[test]
    fn keys_keep_their_order() {
        let text = container(&sample()).to_string();
        assert!(text.starts_with("{\"Id\":\"4f1c"));
        assert!(text.contains("\"Labels\":{\"a\":\"2\",\"z\":\"1\"}"));
        let (state, image) = (text.find("\"State\""), text.find("\"Image\""));
        assert!(state.is_some() && state < image);
    }
}
