//! The runtime options of a create request: containerd's message for runc shims, as protobuf or JSON, or wrapped in the
//! generic `runtimeoptions`. They only choose how the runtime is called. The bundle keeps them, as containerd's own shim does,
//! for the `delete` after a shim that has died.

use std::io;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::protobuf::{Message, UnknownValueRef};
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use serde::{Deserialize, Serialize};

use crate::runtime::Invocation;
use crate::settings::Settings;
use crate::stdio::PipeOwner;

/// `containerd.runc.v1.Options`.
const RUNC: &str = "containerd.runc.v1.Options";
/// `runtimeoptions.v1.Options`, and its name in containerd 2.
const GENERIC: [&str; 2] = ["runtimeoptions.v1.Options", "containerd.runtimeoptions.v1.Options"];

/// The options in the bundle, by containerd's name.
const FILE_NAME: &str = "options.json";

/// Options that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// Of a type that is not a runc shim's.
    #[error("options of type {0:?} are not known: use containerd.runc.v1.Options")]
    Type(String),
    /// Torn protobuf.
    #[error("options of type {0:?} are malformed")]
    Protobuf(String, #[source] containerd_shim_protos::protobuf::Error),
    /// Not the JSON that containerd writes.
    #[error("options of type {0:?} are malformed")]
    Json(String, #[source] serde_json::Error),
    /// A config file or a body that is not JSON.
    #[error("runtime options by file or in TOML are not supported: set KNARR_RUNTIME for containerd instead")]
    Unreadable,
}

/// What of the options this shim uses; field names are containerd's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    #[serde(alias = "NoPivotRoot")]
    no_pivot_root: bool,
    #[serde(alias = "NoNewKeyring")]
    no_new_keyring: bool,
    #[serde(alias = "ShimCgroup")]
    shim_cgroup: String,
    #[serde(alias = "IoUid")]
    io_uid: u32,
    #[serde(alias = "IoGid")]
    io_gid: u32,
    #[serde(alias = "BinaryName")]
    binary_name: String,
    #[serde(alias = "Root")]
    root: String,
    #[serde(alias = "SystemdCgroup")]
    systemd_cgroup: bool,
}

impl Options {
    /// Reads a request's options; without any, all are at their defaults.
    pub(crate) fn decode(any: Option<&Any>) -> Result<Self, OptionsError> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else { return Ok(Self::default()) };
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        if name == RUNC {
            return Self::read(name, &any.value);
        }
        if !GENERIC.contains(&name) {
            return Err(OptionsError::Type(any.type_url.clone()));
        }
        let generic = generic_fields(name, &any.value)?;
        match generic {
            Generic { body, .. } if body.first() == Some(&b'{') => Self::read(name, &body),
            Generic { body, path } if body.is_empty() && path.is_empty() => Ok(Self::default()),
            Generic { .. } => Err(OptionsError::Unreadable),
        }
    }

    fn read(name: &str, value: &[u8]) -> Result<Self, OptionsError> {
        if value.first() == Some(&b'{') {
            return serde_json::from_slice(value).map_err(|error| OptionsError::Json(name.to_owned(), error));
        }
        let options = RuncOptions::parse_from_bytes(value)
            .map_err(|error| OptionsError::Protobuf(name.to_owned(), error))?;
        Ok(Self {
            no_pivot_root: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
            shim_cgroup: options.shim_cgroup,
            io_uid: options.io_uid,
            io_gid: options.io_gid,
            binary_name: options.binary_name,
            root: options.root,
            systemd_cgroup: options.systemd_cgroup,
        })
    }

    /// Keeps the options in the bundle.
    pub(crate) fn keep(&self, bundle: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).expect("options have no map with odd keys");
        std::fs::write(bundle.join(FILE_NAME), text)
    }

    /// The options of the container in the bundle; the defaults when it never got as far as having any.
    pub(crate) fn kept(bundle: &Path) -> io::Result<Self> {
        match std::fs::read(bundle.join(FILE_NAME)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// How the runtime is to be called: the options, else the settings.
    pub(crate) fn invocation(&self, settings: &Settings) -> Invocation {
        let given = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        Invocation {
            binary: given(&self.binary_name).unwrap_or_else(|| settings.runtime.clone()),
            // containerd's rule: a root that is given has one directory for each namespace.
            root: given(&self.root)
                .map_or_else(|| settings.runtime_root.clone(), |root| root.join(&settings.namespace)),
            systemd_cgroup: self.systemd_cgroup,
        }
    }

    /// Flags for `create`.
    pub(crate) fn create_flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [(self.no_pivot_root, "--no-pivot"), (self.no_new_keyring, "--no-new-keyring")];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag)
    }

    /// The owner of the process's ends of the pipes.
    pub(crate) fn pipe_owner(&self) -> PipeOwner {
        PipeOwner { uid: self.io_uid, gid: self.io_gid }
    }

    /// The cgroup that the shim itself is to join.
    pub(crate) fn shim_cgroup(&self) -> Option<&str> {
        Some(self.shim_cgroup.as_str()).filter(|path| !path.is_empty())
    }
}

/// The two fields of `runtimeoptions.v1.Options` that carry anything.
#[derive(Default)]
struct Generic {
    path: Vec<u8>,
    body: Vec<u8>,
}

/// The message is in no crate that we use, so its fields are those that the empty message does not know.
fn generic_fields(name: &str, value: &[u8]) -> Result<Generic, OptionsError> {
    let message =
        Empty::parse_from_bytes(value).map_err(|error| OptionsError::Protobuf(name.to_owned(), error))?;
    let mut generic = Generic::default();
    for (number, field) in message.special_fields.unknown_fields() {
        match (number, field) {
            (2, UnknownValueRef::LengthDelimited(path)) => generic.path = path.to_vec(),
            (3, UnknownValueRef::LengthDelimited(body)) => generic.body = body.to_vec(),
            _ => {}
        }
    }
    Ok(generic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: impl Into<Vec<u8>>) -> Any {
        Any { type_url: type_url.to_owned(), value: value.into(), ..Any::default() }
    }

    #[test]
    fn protobuf_and_json_say_the_same() {
        let message =
            RuncOptions { binary_name: "crun".into(), systemd_cgroup: true, ..RuncOptions::default() };
        let bytes = message.write_to_bytes().expect("no required fields");
        let expected = Options { binary_name: "crun".into(), systemd_cgroup: true, ..Options::default() };
        assert_eq!(Options::decode(Some(&any(RUNC, bytes))).expect("good"), expected);

        let json = r#"{"binary_name":"crun","systemd_cgroup":true,"task_api_version":3}"#;
        let url = "types.containerd.io/containerd.runc.v1.Options";
        assert_eq!(Options::decode(Some(&any(url, json))).expect("good"), expected);

        let wrapped = [&[0x1a, u8::try_from(json.len()).expect("short")], json.as_bytes()].concat();
        assert_eq!(Options::decode(Some(&any(GENERIC[0], wrapped))).expect("good"), expected);
    }

    #[test]
    fn options_that_are_not_understood_are_not_ignored() {
        assert!(matches!(Options::decode(Some(&any("x.y.Options", ""))), Err(OptionsError::Type(_))));
        let by_file = [0x12, 2, b'/', b'x'];
        assert!(matches!(Options::decode(Some(&any(GENERIC[0], by_file))), Err(OptionsError::Unreadable)));
        assert!(matches!(Options::decode(Some(&any(RUNC, [0xff]))), Err(OptionsError::Protobuf(..))));
    }

    #[test]
    fn no_options_are_the_defaults() {
        assert_eq!(Options::decode(None).expect("good"), Options::default());
        assert_eq!(Options::decode(Some(&any("", ""))).expect("good"), Options::default());
    }
}
