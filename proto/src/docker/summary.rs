//! A container as docker's lists have it.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::container::mount_point;
use super::lived::{Lived, command_line};
use super::networking;
use super::reference::short;
use super::words::{network_name, sorted, state_name};
use crate::v1::{Container, Health};

/// A container as docker's `GET /containers/json` has it.
#[must_use]
pub fn container_summary(container: &Container, now: SystemTime) -> Value {
    let config = container.config.clone().unwrap_or_default();
    let lived = Lived {
        state: container.state(),
        started_at: container.started_at.as_ref(),
        exit: container.exit.as_ref(),
        health: container.health.as_ref().map(Health::status).unwrap_or_default(),
    };
    let mut summary = json!({
        "Id": container.id,
        "Names": [format!("/{}", container.name)],
        "Image": short_image(&container.image),
        "ImageID": container.image_id,
        "Command": command_line(&container.args),
        "Created": container.created_at.as_ref().map_or(0, |time| time.seconds),
        "Ports": networking::listed_ports(container, &config),
        "Labels": sorted(&config.labels),
        "State": state_name(container.state()),
        "Status": lived.status(now),
        "HostConfig": {"NetworkMode": network_name(&config)},
        "NetworkSettings": {"Networks": networking::networks(container, &config)},
        "Mounts": config.mounts.iter().map(mount_point).collect::<Vec<_>>(),
    });
    add_size(&mut summary, container);
    summary
}

/// Sizes are there when they were asked for.
pub(super) fn add_size(object: &mut Value, container: &Container) {
    if let Some(size) = container.size {
        object["SizeRw"] = json!(size.written_bytes);
        object["SizeRootFs"] = json!(size.rootfs_bytes);
    }
}

/// As the caller of create wrote it: a tag that was left out is not shown.
fn short_image(reference: &str) -> String {
    let text = short(reference);
    text.strip_suffix(":latest").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{ContainerConfig, ContainerState, ExitStatus};

    #[test]
    fn a_list_has_docker_s_keys() {
        let container = Container {
            id: "00".repeat(32),
            name: "web".to_owned(),
            image: "docker.io/library/alpine:latest".to_owned(),
            state: ContainerState::Exited.into(),
            exit: Some(ExitStatus { code: 1, ..ExitStatus::default() }),
            args: vec!["sh".to_owned(), "-c".to_owned(), "echo hi".to_owned()],
            config: Some(ContainerConfig { network: "none".to_owned(), ..ContainerConfig::default() }),
            ..Container::default()
        };
        let summary = container_summary(&container, SystemTime::UNIX_EPOCH);
        for (pointer, expected) in [
            ("/Names/0", json!("/web")),
            ("/Image", json!("alpine")),
            ("/Command", json!("sh -c 'echo hi'")),
            ("/State", json!("exited")),
            ("/Status", json!("Exited (1)")),
            ("/Created", json!(0)),
            ("/Ports", json!([])),
            ("/Labels", json!({})),
            ("/HostConfig/NetworkMode", json!("none")),
            ("/NetworkSettings/Networks/none/NetworkID", json!("none")),
        ] {
            assert_eq!(summary.pointer(pointer), Some(&expected), "{pointer}");
        }
    }
}
