//! `features`: what this build can do, as runtime-spec's features.md has it. dockerd reads `mountOptions` (`rro`),
//! containerd and CRI-O `linux.namespaces` and `linux.mountExtensions`: what is said here is what works.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use super::error::CommandError;
use super::print::print;
use crate::hooks::HookKind;
use crate::plan::options;
use crate::process::memory_policy;
use crate::security::{capabilities, seccomp};
use crate::spec;
use crate::spec::linux::NamespaceKind;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Vec<&'static str>,
    mount_options: Vec<String>,
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: [&'static str; 3],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<&'static str>,
    capabilities: &'static [&'static str],
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Switch,
    selinux: Switch,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Switch,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Vec<&'static str>,
    operators: Vec<&'static str>,
    archs: &'static [&'static str],
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Serialize)]
struct MemoryPolicy {
    modes: Vec<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Switch,
}

/// `{"enabled": …}`.
struct Switch(bool);

impl Serialize for Switch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Switch", 1)?;
        object.serialize_field("enabled", &self.0)?;
        object.end()
    }
}

#[inline(never)]
pub(super) fn run() -> Result<(), CommandError> {
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
    features().serialize(&mut serializer).expect("plain data becomes JSON");
    text.push(b'\n');
    print(&text)
}

fn features() -> Features {
    let mut mount_options: Vec<String> = options::known_words().collect();
    mount_options.sort();
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: spec::VERSION,
        hooks: HookKind::ALL.iter().map(|kind| kind.name()).collect(),
        mount_options,
        linux: linux(),
        annotations: BTreeMap::from([("org.opencontainers.runc.checkpoint.enabled", "true")]),
        potentially_unsafe_config_annotations: ["bundle", "org.criu.config", "org.systemd.property."],
    }
}

fn linux() -> Linux {
    Linux {
        namespaces: sorted(NamespaceKind::ALL.iter().map(|kind| kind.name())),
        capabilities: capabilities::names(),
        cgroup: Cgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
        seccomp: Seccomp {
            enabled: true,
            actions: seccomp::actions().collect(),
            operators: seccomp::operators().collect(),
            archs: &seccomp::architecture::ARCHITECTURES,
            known_flags: seccomp::known_flags().collect(),
            supported_flags: seccomp::supported_flags().collect(),
        },
        apparmor: Switch(true),
        selinux: Switch(true),
        intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
        memory_policy: MemoryPolicy {
            modes: sorted(memory_policy::modes()),
            flags: sorted(memory_policy::flags()),
        },
        mount_extensions: MountExtensions { idmap: Switch(true) },
        net_devices: Switch(true),
    }
}

fn sorted(words: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut words: Vec<&str> = words.collect();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_callers_ask_for_is_there() {
        let features = serde_json::to_value(features()).expect("plain data");
        let has = |pointer: &str, word: &str| {
            let list = features.pointer(pointer).and_then(|list| list.as_array()).expect(pointer);
            assert!(list.iter().any(|item| item == word), "{pointer}: {word}");
        };
        has("/mountOptions", "rro");
        has("/mountOptions", "tmpcopyup");
        has("/linux/namespaces", "time");
        has("/linux/seccomp/actions", "SCMP_ACT_NOTIFY");
        has("/linux/memoryPolicy/modes", "MPOL_BIND");
        has("/hooks", "startContainer");
        has("/potentiallyUnsafeConfigAnnotations", "org.criu.config");
    }
}
