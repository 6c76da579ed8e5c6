//! An image as `docker image inspect` shows it: the same keys, in the same order, for what knarr has.

use serde_json::{Map, Value, json};

use super::reference::short;
use super::time::rfc3339;
use super::words::sorted;
use crate::v1::Image;

/// An image as docker's `GET /images/{name}/json` has it.
#[must_use]
pub fn image(image: &Image) -> Value {
    let config = image.config.clone().unwrap_or_default();
    let platform = image.platform.clone().unwrap_or_default();
    let set = |names: &[String]| match names {
        [] => Value::Null,
        names => Value::Object(names.iter().map(|name| (name.clone(), json!({}))).collect::<Map<_, _>>()),
    };
    let mut object = json!({
        "Id": image.id,
        "RepoTags": image.references.iter().map(|reference| short(reference)).collect::<Vec<_>>(),
        "RepoDigests": image.repo_digests.iter().map(|digest| short(digest)).collect::<Vec<_>>(),
        "Parent": "",
        "Comment": image.history.last().map(|last| last.comment.as_str()).unwrap_or_default(),
        "Created": rfc3339(image.created_at.as_ref()),
        "Author": image.author,
        "Config": {
            "Hostname": "",
            "Domainname": "",
            "User": config.user,
            "AttachStdin": false,
            "AttachStdout": false,
            "AttachStderr": false,
            "Tty": false,
            "OpenStdin": false,
            "StdinOnce": false,
            "ExposedPorts": set(&config.exposed_ports),
            "Env": config.env,
            "Cmd": config.cmd,
            "Volumes": set(&config.volumes),
            "WorkingDir": config.working_dir,
            "Entrypoint": config.entrypoint,
            "OnBuild": null,
            "Labels": sorted(&config.labels),
            "StopSignal": config.stop_signal,
        },
        "Architecture": platform.architecture,
        "Variant": platform.variant,
        "Os": platform.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Name": "overlayfs", "Data": null},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "RootFS": {"Type": "layers", "Layers": image.diff_ids},
        "Descriptor": {
            "mediaType": image.media_type,
            "digest": image.manifest_digest,
        },
        "CompressedSize": image.compressed_bytes,
    });
    if let Value::Object(fields) = &mut object
        && platform.variant.is_empty()
    {
        fields.shift_remove("Variant");
    }
    object
}

/// An image as docker's `GET /images/json` has it; with so many containers, when they were counted.
#[must_use]
pub fn image_summary(image: &Image, containers: Option<usize>) -> Value {
    let config = image.config.clone().unwrap_or_default();
    let shorts =
        |references: &[String]| references.iter().map(|reference| short(reference)).collect::<Vec<_>>();
    json!({
        "Containers": containers.map_or_else(|| Value::from(-1), Value::from),
        "Created": image.created_at.as_ref().map_or(0, |time| time.seconds),
        "Id": image.id,
        "Labels": match config.labels.is_empty() { true => Value::Null, false => sorted(&config.labels) },
        "ParentId": "",
        "RepoDigests": shorts(&image.repo_digests),
        "RepoTags": shorts(&image.references),
        "SharedSize": -1,
        "Size": image.size_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{ImageConfig, Platform};

    #[test]
    fn what_scripts_look_at_is_where_docker_has_it() {
        let sample = Image {
            id: "sha256:00".to_owned(),
            references: vec!["docker.io/library/alpine:latest".to_owned()],
            repo_digests: vec!["docker.io/library/alpine@sha256:11".to_owned()],
            platform: Some(Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: String::new(),
            }),
            diff_ids: vec!["sha256:22".to_owned()],
            config: Some(ImageConfig {
                exposed_ports: vec!["80/tcp".to_owned()],
                cmd: vec!["/bin/sh".to_owned()],
                ..ImageConfig::default()
            }),
            ..Image::default()
        };
        let object = image(&sample);
        for (pointer, expected) in [
            ("/RepoTags/0", json!("alpine:latest")),
            ("/RepoDigests/0", json!("alpine@sha256:11")),
            ("/Architecture", json!("amd64")),
            ("/Os", json!("linux")),
            ("/RootFS/Layers/0", json!("sha256:22")),
            ("/Config/ExposedPorts/80~1tcp", json!({})),
            ("/Config/Volumes", Value::Null),
            ("/Config/Cmd/0", json!("/bin/sh")),
        ] {
            assert_eq!(object.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert_eq!(object.get("Variant"), None);
    }
}
