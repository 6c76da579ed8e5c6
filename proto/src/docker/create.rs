//! What docker's `POST /containers/create` asks for, as the API's message. What knarr has no word for is refused by name;
//! clients send every field that they have, so that a zero asks for nothing.

use super::fields::{Fields, InvalidBody};
use super::{host, keep, mounts, networking};
use crate::v1::{ContainerConfig, CreateContainerRequest, StringList, TerminalSize, UpdateContainerRequest};

/// A request, and what of it has no effect.
#[derive(Clone, Debug, Default)]
pub struct CreateBody {
    /// Without name and platform, which are said elsewhere.
    pub request: CreateContainerRequest,
    /// In sentences, for the client.
    pub warnings: Vec<String>,
}

/// Of the outermost object.
const NOT_OF_CONFIG: [(&str, &str); 1] = [("OnBuild", "")];

/// Of `HostConfig`.
const NOT_OF_HOST: [(&str, &str); 7] = [
    ("Cgroup", ""),
    ("CpuCount", ""),
    ("CpuPercent", ""),
    ("DeviceRequests", ""),
    ("IOMaximumBandwidth", ""),
    ("IOMaximumIOps", ""),
    ("StorageOpt", ""),
];

/// The modes that a container has anyway.
const DEFAULT_MODES: [(&str, &[&str]); 3] = [
    ("Isolation", &["default"]),
    ("Runtime", &["knarr", "runc", "io.containerd.runc.v2"]),
    ("UsernsMode", &["host"]),
];

/// Reads a request.
///
/// # Errors
/// [`InvalidBody`].
pub fn create(body: &Fields) -> Result<CreateBody, InvalidBody> {
    let host = body.object("HostConfig")?;
    refuse_unsupported(body, &host)?;
    let (network, networking) = networking::networking(body, &host)?;
    let (no_new_privileges, confinement) = host::confinement(&host)?;
    let entrypoint = body.texts_if_any("Entrypoint")?;
    let config = ContainerConfig {
        image: body.text("Image")?,
        // Some of nothing is as good as none to docker; one empty text clears it.
        entrypoint: entrypoint.filter(|values| !values.is_empty()).map(|values| StringList { values }),
        command: body.texts("Cmd")?,
        env: body.texts("Env")?,
        working_dir: body.text("WorkingDir")?,
        user: body.text("User")?,
        hostname: body.text("Hostname")?,
        tty: body.flag("Tty")?,
        open_stdin: body.flag("OpenStdin")?,
        stdin_once: body.flag("StdinOnce")? && body.flag("OpenStdin")?,
        labels: body.map("Labels")?.into_iter().collect(),
        stop_signal: body.text("StopSignal")?,
        stop_timeout_seconds: body.count_if_any("StopTimeout")?,
        mounts: mounts::mounts(body, &host)?,
        volumes_from: host.texts("VolumesFrom")?,
        resources: Some(host::resources(&host)?),
        read_only_rootfs: host.flag("ReadonlyRootfs")?,
        cap_add: host.texts("CapAdd")?,
        cap_drop: host.texts("CapDrop")?,
        privileged: host.flag("Privileged")?,
        network,
        networking: Some(networking),
        namespaces: host::namespaces(&host)?,
        domainname: body.text("Domainname")?,
        devices: host::devices(&host)?,
        device_cgroup_rules: host.texts("DeviceCgroupRules")?,
        cgroup_parent: host.text("CgroupParent")?,
        annotations: host.map("Annotations")?.into_iter().collect(),
        oom_score_adj: oom_score_adj(&host)?,
        init: host.flag_if_any("Init")?,
        shm_size_bytes: host.count("ShmSize")?,
        log: host::log(&host)?,
        confinement,
        auto_remove: host.flag("AutoRemove")?,
        no_new_privileges,
        group_add: host.texts("GroupAdd")?,
        terminal_size: console_size(&host)?,
        sysctls: host.map("Sysctls")?.into_iter().collect(),
        ulimits: host::ulimits(&host)?,
        restart: keep::restart(&host)?,
        health_check: keep::health(body)?,
    };
    let request = CreateContainerRequest { config: Some(config), ..CreateContainerRequest::default() };
    Ok(CreateBody { request, warnings: Vec::new() })
}

/// Reads the body of `POST /containers/{id}/update`: limits beside one another and a restart policy, of which zeros ask for
/// nothing.
///
/// # Errors
/// [`InvalidBody`].
pub fn update(body: &Fields) -> Result<UpdateContainerRequest, InvalidBody> {
    let (resources, restart) = (Some(host::resources(body)?), keep::restart(body)?);
    Ok(UpdateContainerRequest { resources, restart, ..UpdateContainerRequest::default() })
}

fn refuse_unsupported(body: &Fields, host: &Fields) -> Result<(), InvalidBody> {
    body.refuse(&NOT_OF_CONFIG)?;
    host.refuse(&NOT_OF_HOST)?;
    for (name, modes) in DEFAULT_MODES {
        let mode = host.text(name)?;
        if !mode.is_empty() && !modes.contains(&mode.as_str()) {
            return Err(InvalidBody::Unsupported {
                field: format!("{} {mode:?}", host.path(name)),
                hint: "",
            });
        }
    }
    Ok(())
}

/// `ConsoleSize: [rows, columns]`; zeros are what a client without a terminal sends.
///
/// # Errors
/// [`InvalidBody::Type`].
pub fn console_size(host: &Fields) -> Result<Option<TerminalSize>, InvalidBody> {
    let expected = "two whole numbers";
    let wrong = || InvalidBody::Type { field: host.path("ConsoleSize"), expected };
    let Some(value) = host.value("ConsoleSize") else { return Ok(None) };
    let numbers: Option<Vec<u32>> = value.as_array().ok_or_else(wrong)?.iter().map(number).collect();
    match numbers.ok_or_else(wrong)?[..] {
        [0, _] | [_, 0] => Ok(None),
        [rows, columns] => Ok(Some(TerminalSize { rows, columns })),
        _ => Err(wrong()),
    }
}

fn oom_score_adj(host: &Fields) -> Result<i32, InvalidBody> {
    let expected = "a whole number from -1000 to 1000";
    let wrong = |_| InvalidBody::Type { field: host.path("OomScoreAdj"), expected };
    host.number("OomScoreAdj")?.try_into().map_err(wrong)
}

fn number(value: &serde_json::Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::v1::MountType;

    fn read(value: Value) -> Result<CreateBody, InvalidBody> {
        match value {
            Value::Object(object) => create(&Fields::new(object)),
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn what_the_command_line_of_docker_sends_is_understood() {
        // `docker run busybox:1 true` of CLI 28.2.2, shortened by fields that are like others.
        let body = read(json!({
            "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
            "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": ["true"],
            "Image": "busybox:1", "Volumes": {}, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
            "HostConfig": {
                "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
                "NetworkMode": "default", "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
                "AutoRemove": false, "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null,
                "CgroupnsMode": "", "Dns": null, "DnsOptions": [], "ExtraHosts": null, "IpcMode": "", "PidMode": "",
                "ShmSize": 0, "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [],
                "MaskedPaths": null, "ReadonlyPaths": null,
            },
            "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null, "Links": null, "GwPriority": 0}}},
        }))
        .expect("understood");
        let config = body.request.config.expect("there");
        assert_eq!((config.image.as_str(), config.command), ("busybox:1", vec!["true".to_owned()]));
        assert_eq!(config.entrypoint, None);
        assert_eq!(config.network, "");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (host, name) in [
            (json!({"Dns": "1.1.1.1", "PortBindings": {"0/tcp": []}}), "HostConfig.PortBindings.0/tcp"),
            (json!({"PortBindings": {"80/tcp": [{"HostPort": "70000"}]}}), "HostConfig.PortBindings.80/tcp"),
            (json!({"UsernsMode": "private"}), "HostConfig.UsernsMode \"private\""),
            (json!({"RestartPolicy": "always"}), "HostConfig.RestartPolicy must be an object"),
            (json!({"LogConfig": {"Type": "syslog"}}), "HostConfig.LogConfig.Type \"syslog\""),
            (json!({"LogConfig": {"Config": {"tag": "1m"}}}), "HostConfig.LogConfig.Config.tag"),
            (json!({"LogConfig": {"Config": {"max-size": "0"}}}), "HostConfig.LogConfig.Config.max-size"),
            (json!({"SecurityOpt": ["label=type:x"]}), "HostConfig.SecurityOpt"),
            (json!({"MemorySwappiness": -2}), "HostConfig.MemorySwappiness"),
            (json!({"MaskedPaths": ["/proc/x"]}), "HostConfig.MaskedPaths"),
            (json!({"OomScoreAdj": 9999999999i64}), "HostConfig.OomScoreAdj"),
            (json!({"Init": "yes"}), "HostConfig.Init must be true or false"),
            (json!({"ConsoleSize": [1]}), "HostConfig.ConsoleSize"),
            (json!({"Memory": -5}), "HostConfig.Memory"),
            (json!({"Mounts": [{"Type": "npipe", "Target": "/v"}]}), "HostConfig.Mounts.Type \"npipe\""),
            (json!({"Binds": ["data:/v:slave"]}), "HostConfig.Binds"),
            (
                json!({"Mounts": [{"Type": "bind", "Target": "/v", "VolumeOptions": {"NoCopy": true}}]}),
                "HostConfig.Mounts.VolumeOptions",
            ),
        ] {
            let error = read(json!({"Image": "a", "HostConfig": host})).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
        for (body, name) in [
            (json!({"Healthcheck": {"Interval": "1s"}}), "Healthcheck.Interval must be a whole number"),
            (json!({"NetworkingConfig": {"EndpointsConfig": {"app": {"GwPriority": 1e12}}}}), "GwPriority"),
            (json!({"Tty": "yes"}), "Tty"),
        ] {
            let error = read(body).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn all_that_can_be_said_is() {
        let body = read(json!({
            "hostname": "web", "tty": true, "OpenStdin": true, "StdinOnce": true, "entrypoint": [""], "cmd": "true",
            "StopTimeout": 3, "StopSignal": "SIGQUIT", "NetworkDisabled": true,
            "HostConfig": {
                "LogConfig": {"Type": "local", "Config": {"max-size": "1m", "max-file": "3"}}, "PidMode": "host",
                "IpcMode": "private", "MaskedPaths": [], "ReadonlyPaths": [], "ShmSize": 7,
                "Memory": 1, "MemorySwap": -1, "NanoCpus": 5, "PidsLimit": -1, "CapAdd": ["ALL"], "Privileged": true,
                "SecurityOpt": ["no-new-privileges:true"], "ConsoleSize": [24, 80], "Sysctls": {"a.B": "1"},
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": -1}], "Tmpfs": {"/t": "size=1m,ro"},
                "Binds": ["/a:/b:ro,rslave"],
                "Mounts": [
                    {"Type": "bind", "Source": "/c", "Target": "/d", "ReadOnly": true},
                ],
            },
        }))
        .expect("understood");
        let config = body.request.config.expect("there");
        assert_eq!(config.entrypoint, Some(StringList { values: vec![String::new()] }));
        assert_eq!(config.terminal_size, Some(TerminalSize { rows: 24, columns: 80 }));
        assert_eq!(config.ulimits[0].hard, u64::MAX);
        assert_eq!(config.network, "none");
        assert_eq!(config.log.map(|log| (log.max_size_bytes, log.max_files)), Some((1 << 20, 3)));
        assert_eq!(config.confinement.map(|confinement| confinement.unmasked), Some(true));
        assert_eq!(config.namespaces.map(|namespaces| namespaces.pid).as_deref(), Some("host"));
        assert!(config.no_new_privileges && config.privileged && config.stdin_once);
        let targets: Vec<&str> = config.mounts.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/b", "/d", "/t"]);
        assert_eq!((config.mounts[2].tmpfs_size_bytes, config.mounts[2].read_only), (1 << 20, true));
        assert!(config.mounts[0].create_source && !config.mounts[1].create_source);
    }

    #[test]
    fn volumes_are_asked_for_in_several_ways() {
        let driver = json!({"Name": "local", "Options": {"type": "tmpfs"}});
        let options = json!({"NoCopy": true, "Labels": {"a": "1"}, "DriverConfig": driver});
        let mounts = json!([{"Type": "volume", "Source": "data", "Target": "/e", "VolumeOptions": options}]);
        let host = json!({"Binds": ["named:/n:ro"], "Mounts": mounts, "VolumesFrom": ["other:ro"]});
        let body = json!({"Image": "a", "HostConfig": host, "Volumes": {"/v": {}, "/e/": {}}});
        let config = read(body).expect("understood").request.config.expect("there");
        let mounts = &config.mounts;
        assert!(mounts.iter().all(|mount| mount.r#type() == MountType::Volume && !mount.create_source));
        let places: Vec<(&str, &str)> =
            mounts.iter().map(|mount| (mount.source.as_str(), mount.target.as_str())).collect();
        assert_eq!(places, [("named", "/n"), ("data", "/e"), ("", "/v")]);
        assert!(mounts[0].read_only && mounts[1].no_copy);
        assert_eq!(
            (mounts[1].volume_driver.as_str(), mounts[1].volume_options["type"].as_str()),
            ("local", "tmpfs")
        );
        assert_eq!(config.volumes_from, ["other:ro"]);
    }
}
