//! RUN's mounts: `--mount=type=cache,target=/x`.

/// What is mounted while a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: MountKind,
    /// As given, or the kind's default.
    pub(crate) target: String,
    pub(crate) source: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) id: Option<String>,
    pub(crate) sharing: Sharing,
    pub(crate) required: bool,
    pub(crate) size_bytes: u64,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A secret's variable.
    pub(crate) env: Option<String>,
}

/// Its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Private,
    Locked,
}

/// Reads a mount. `expand` replaces variables in values.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub(crate) fn mount(text: &str, expand: impl Fn(&str) -> Result<String, String>) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: MountKind::Bind,
        target: String::new(),
        source: None,
        from: None,
        read_only: true,
        id: None,
        sharing: Sharing::Shared,
        required: false,
        size_bytes: 0,
        mode: None,
        uid: 0,
        gid: 0,
        env: None,
    };
    let mut read_only = None;
    for field in text.split(',') {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let key = key.trim().to_ascii_lowercase();
        let is_true = || match value {
            None => Ok(true),
            Some(value) => boolean(&key, &expand(value)?),
        };
        match key.as_str() {
            "ro" | "readonly" => {
                read_only = Some(is_true()?);
                continue;
            }
            "rw" | "readwrite" => {
                read_only = Some(!is_true()?);
                continue;
            }
            "required" => {
                mount.required = is_true()?;
                continue;
            }
            _ => {}
        }
        let Some(value) = value else {
            return Err(format!("invalid field {field:?}: must be a key=value pair"));
        };
        if key == "from" {
            if value.contains('$') {
                return Err(format!("'from' doesn't support variable expansion: {value:?}"));
            }
            mount.from = Some(value.to_owned());
            continue;
        }
        set(&mut mount, &key, &expand(value)?)?;
    }
    mount.read_only = read_only.unwrap_or(mount.kind == MountKind::Bind);
    finish(mount)
}

fn set(mount: &mut Mount, key: &str, value: &str) -> Result<(), String> {
    let number =
        |base| u32::from_str_radix(value, base).map_err(|_| format!("invalid value {value:?} for {key}"));
    match key {
        "type" => {
            mount.kind = match value {
                "bind" => MountKind::Bind,
                "cache" => MountKind::Cache,
                "tmpfs" => MountKind::Tmpfs,
                "secret" => MountKind::Secret,
                "ssh" => MountKind::Ssh,
                other => return Err(format!("unsupported mount type {other:?}")),
            }
        }
        "source" | "src" => mount.source = Some(value.to_owned()),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "id" => mount.id = Some(value.to_owned()),
        "env" => mount.env = Some(value.to_owned()),
        "sharing" => {
            mount.sharing = match value {
                "shared" => Sharing::Shared,
                "private" => Sharing::Private,
                "locked" => Sharing::Locked,
                other => return Err(format!("unsupported sharing value {other:?}")),
            }
        }
        "size" => {
            mount.size_bytes = size(value).ok_or_else(|| format!("invalid value {value:?} for size"))?;
        }
        "mode" => mount.mode = Some(number(8)?),
        "uid" => mount.uid = number(10)?,
        "gid" => mount.gid = number(10)?,
        other => return Err(format!("unexpected key {other:?} in {key}={value}")),
    }
    Ok(())
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("invalid value {other:?} for {key}: true or false")),
    }
}

/// `64m`, in units of 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.trim_end_matches("ib").trim_end_matches('b');
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let shift = match &text[end..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// What goes with what.
fn finish(mut mount: Mount) -> Result<Mount, String> {
    use MountKind as K;
    let only = |wanted: bool, key: &str, kinds: &str| match wanted {
        true => Err(format!("{key} is only for mounts of the type {kinds}")),
        false => Ok(()),
    };
    let is = |kinds: &[K]| kinds.contains(&mount.kind);
    only(mount.from.is_some() && !is(&[K::Bind, K::Cache]), "from", "bind or cache")?;
    only(mount.size_bytes > 0 && !is(&[K::Tmpfs]), "size", "tmpfs")?;
    only(mount.env.is_some() && !is(&[K::Secret]), "env", "secret")?;
    only(mount.required && !is(&[K::Secret, K::Ssh]), "required", "secret or ssh")?;
    only(mount.sharing != Sharing::Shared && !is(&[K::Cache]), "sharing", "cache")?;
    if mount.kind == K::Secret {
        let id = mount.id.clone().or_else(|| mount.source.clone());
        let of_target = || mount.target.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
        let id = id.or_else(of_target).ok_or("one of id, source or target is required for a secret")?;
        if mount.target.is_empty() && mount.env.is_none() {
            mount.target = format!("/run/secrets/{id}");
        }
        mount.id = Some(id);
    }
    if mount.target.is_empty() && !matches!(mount.kind, K::Secret | K::Ssh) {
        return Err("target is required".to_owned());
    }
    Ok(mount)
}
