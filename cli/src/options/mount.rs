//! `--mount type=bind,source=/a,target=/b,readonly`

use knarr_proto::v1::{Mount, MountType};

use super::volume::{PROPAGATIONS, absolute, target_path};
use super::{BadOption, tmpfs};

/// Reads a mount. Unlike `-v` it does not make a missing source, unless `bind-create-src` asks for it.
pub(crate) fn parse(text: &str) -> Result<Mount, BadOption> {
    let mut mount = Mount { r#type: MountType::Volume.into(), ..Mount::default() };
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let given = || {
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| BadOption::part(key, text, "needs a value: write KEY=VALUE"))
        };
        match key.to_ascii_lowercase().as_str() {
            "type" => mount.r#type = kind(given()?, text)?.into(),
            "source" | "src" => given()?.clone_into(&mut mount.source),
            "target" | "destination" | "dst" => mount.target = target_path(given()?, text)?,
            "readonly" | "ro" => mount.read_only = flag(value, text)?,
            "bind-create-src" => mount.create_source = flag(value, text)?,
            "bind-propagation" => mount.propagation = propagation(given()?, text)?,
            "tmpfs-size" => mount.tmpfs_size_bytes = tmpfs::bytes(given()?)?,
            "tmpfs-mode" => mount.tmpfs_mode = tmpfs::mode(given()?, text)?,
            "volume-nocopy" => mount.no_copy = flag(value, text)?,
            "volume-driver" => given()?.clone_into(&mut mount.volume_driver),
            "volume-opt" => mount.volume_options.extend([pair(given()?)]),
            "volume-label" => mount.volume_labels.extend([pair(given()?)]),
            "consistency" => {
                given()?;
            }
            _ => return Err(BadOption::part(key, text, "is no key that --mount knows")),
        }
    }
    check(mount, text)
}

/// `KEY=VALUE`, or a key alone.
fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// What only makes sense for one type is refused for the others.
fn check(mut mount: Mount, text: &str) -> Result<Mount, BadOption> {
    if mount.target.is_empty() {
        return Err(BadOption::form(text, "complete: target is missing"));
    }
    let has_tmpfs_keys = mount.tmpfs_size_bytes != 0 || mount.tmpfs_mode != 0;
    let has_bind_keys = !mount.propagation.is_empty() || mount.create_source;
    let has_driver = !mount.volume_driver.is_empty() || !mount.volume_options.is_empty();
    let has_volume_keys = mount.no_copy || has_driver || !mount.volume_labels.is_empty();
    match mount.r#type() {
        MountType::Bind | MountType::Tmpfs if has_volume_keys => {
            Err(BadOption::form(text, "consistent: volume-… keys need type=volume"))
        }
        MountType::Volume if has_tmpfs_keys || has_bind_keys => {
            Err(BadOption::form(text, "consistent: a volume has neither bind-… nor tmpfs-… keys"))
        }
        MountType::Volume | MountType::Unspecified => Ok(mount),
        MountType::Bind if mount.source.is_empty() => {
            Err(BadOption::form(text, "complete: source is missing"))
        }
        MountType::Bind if has_tmpfs_keys => {
            Err(BadOption::form(text, "consistent: tmpfs-size and tmpfs-mode need type=tmpfs"))
        }
        MountType::Bind => {
            mount.source = absolute(&mount.source, text)?;
            Ok(mount)
        }
        MountType::Tmpfs if !mount.source.is_empty() || has_bind_keys => {
            Err(BadOption::form(text, "consistent: a tmpfs has neither source nor bind-… keys"))
        }
        MountType::Tmpfs => Ok(mount),
    }
}

fn kind(value: &str, text: &str) -> Result<MountType, BadOption> {
    match value {
        "bind" => Ok(MountType::Bind),
        "tmpfs" => Ok(MountType::Tmpfs),
        "volume" => Ok(MountType::Volume),
        _ => Err(BadOption::part(value, text, "is no supported type: types are bind, tmpfs and volume")),
    }
}

fn propagation(value: &str, text: &str) -> Result<String, BadOption> {
    match PROPAGATIONS.contains(&value) {
        true => Ok(value.to_owned()),
        false => Err(BadOption::part(value, text, "is no propagation such as rprivate or rslave")),
    }
}

fn flag(value: Option<&str>, text: &str) -> Result<bool, BadOption> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => Err(BadOption::part(value, text, "is neither true nor false")),
    }
}

/// One line of CSV: a field with a comma is quoted, and a quote in it doubled.
fn fields(text: &str) -> Result<Vec<String>, BadOption> {
    let mut fields = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        let mut field = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next() {
                    Some('"') if letters.next_if_eq(&'"').is_some() => field.push('"'),
                    Some('"') => break,
                    Some(letter) => field.push(letter),
                    None => return Err(BadOption::form(text, "CSV: a quote is not closed")),
                }
            }
        }
        while let Some(letter) = letters.next_if(|letter| *letter != ',') {
            field.push(letter);
        }
        fields.push(field);
        if letters.next().is_none() {
            return Ok(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_understood() {
        let bind = parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave").expect("a bind mount");
        assert_eq!(
            (bind.r#type(), bind.source.as_str(), bind.target.as_str()),
            (MountType::Bind, "/a", "/b")
        );
        assert!(bind.read_only && !bind.create_source && bind.propagation == "rslave");
        let tmpfs = parse("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700").expect("a tmpfs");
        assert_eq!((tmpfs.tmpfs_size_bytes, tmpfs.tmpfs_mode), (1 << 20, 0o700));
        let data = "src=data,dst=/d,volume-nocopy,volume-opt=type=tmpfs,volume-label=a=1,volume-driver=local";
        let data = parse(data).expect("a volume");
        assert_eq!((data.r#type(), data.source.as_str(), data.no_copy), (MountType::Volume, "data", true));
        assert_eq!((data.volume_options["type"].as_str(), data.volume_labels["a"].as_str()), ("tmpfs", "1"));
        let odd =
            parse("type=bind,\"source=/a,b \"\"c\"\"\",target=/b,readonly=false").expect("a quoted source");
        assert_eq!((odd.source.as_str(), odd.read_only), ("/a,b \"c\"", false));
    }

    #[test]
    fn other_mounts_are_refused() {
        for text in [
            "",
            "type=bind",
            "type=bind,target=/b",
            "type=bind,source=/a",
            "type=image,source=v,target=/b",
            "type=volume,target=/b,tmpfs-size=1m",
            "type=bind,source=/a,target=/b,volume-nocopy",
            "source=v,target=/b,bind-propagation=rslave",
            "type=tmpfs,target=/t,source=/a",
            "type=bind,source=/a,target=/b,tmpfs-size=1m",
            "type=bind,source=/a,target=/b,bind-propagation=up",
            "type=bind,source=/a,target=/b,ro=maybe",
            "type=bind,source=/a,target=b",
            "type=bind,source=,target=/b",
            "type=bind,\"source=/a,target=/b",
            "type=bind,source=/a,target=/b,what=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
