//! The engine as `docker version` and `docker info` show it.

use serde_json::{Value, json};

use crate::v1::{InfoReply, VersionReply};

/// The versions of docker's API that are spoken.
#[derive(Clone, Debug)]
pub struct ApiVersions {
    /// The newest one.
    pub newest: String,
    /// The oldest one.
    pub oldest: String,
}

/// What docker's `GET /version` answers.
#[must_use]
pub fn version(version: &VersionReply, api: &ApiVersions) -> Value {
    let engine = json!({
        "Name": "Engine",
        "Version": version.version,
        "Details": {
            "ApiVersion": api.newest,
            "Arch": architecture(&version.architecture),
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": version.git_commit,
            "GoVersion": "",
            "KernelVersion": version.kernel_version,
            "MinAPIVersion": api.oldest,
            "Os": version.os,
        },
    });
    let others = version.components.iter().map(|component| {
        json!({"Name": component.name, "Version": component.version, "Details": {"GitCommit": ""}})
    });
    json!({
        "Platform": {"Name": format!("knarr {}", version.version)},
        "Version": version.version,
        "ApiVersion": api.newest,
        "MinAPIVersion": api.oldest,
        "GitCommit": version.git_commit,
        "GoVersion": "",
        "Os": version.os,
        "Arch": architecture(&version.architecture),
        "KernelVersion": version.kernel_version,
        "BuildTime": "",
        "Components": std::iter::once(engine).chain(others).collect::<Vec<_>>(),
    })
}

/// Go's name for an architecture.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What docker's `GET /info` answers.
#[must_use]
pub fn info(info: &InfoReply) -> Value {
    let mut object = limits(info);
    let host = json!({
        "KernelVersion": info.kernel_version,
        "OperatingSystem": info.operating_system,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": info.architecture,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": [],
            "IndexConfigs": {},
            "Mirrors": [],
        },
        "NCPU": info.cpus,
        "MemTotal": info.memory_bytes,
        "GenericResources": null,
        "DockerRootDir": info.root_path,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": info.hostname,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": info.server_version,
        "Runtimes": {"knarr": {"path": info.default_runtime}},
        "DefaultRuntime": "knarr",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": info
            .security_options
            .iter()
            .map(|option| match option.as_str() {
                "seccomp" => "name=seccomp,profile=builtin".to_owned(),
                option => format!("name={option}"),
            })
            .collect::<Vec<_>>(),
        "CDISpecDirs": [],
        "Warnings": match info.warnings.as_slice() { [] => Value::Null, warnings => Value::from(warnings) },
    });
    if let (Value::Object(object), Value::Object(host)) = (&mut object, host) {
        object.extend(host);
    }
    object
}

fn limits(info: &InfoReply) -> Value {
    let cgroup_version = if info.cgroup_version == "2" { "2" } else { "1" };
    json!({
        "ID": info.hostname,
        "Containers": info.containers,
        "ContainersRunning": info.containers_running,
        "ContainersPaused": info.containers_paused,
        "ContainersStopped": info.containers_stopped,
        "Images": info.images,
        "Driver": info.snapshotter,
        "DriverStatus": [["Backing", info.root_path]],
        "Plugins": {"Volume": [], "Network": ["host", "null"], "Authorization": null, "Log": ["json-file"]},
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "OomKillDisable": false,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": "",
        "LoggingDriver": "json-file",
        "CgroupDriver": info.cgroup_driver,
        "CgroupVersion": cgroup_version,
        "NEventsListener": 0,
    })
}
