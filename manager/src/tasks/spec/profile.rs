//! A profile of system calls in docker's form (JSON), turned into the OCI specification's for one container: which rules
//! hold depends on its capabilities, the machine's architecture and the kernel.

use std::collections::HashSet;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::Deserialize;

use super::capabilities;
use super::error::SpecError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureMap>>,
    #[serde(default)]
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The older form has one name.
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

/// Where a rule holds.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What a rule is held against.
struct Facts<'a> {
    capabilities: &'a HashSet<Capability>,
    /// As docker spells it: amd64, arm64.
    architecture: &'static str,
    kernel: (u64, u64),
}

/// Reads the profile for a container whose bounding set is `capabilities`.
///
/// # Errors
/// [`SpecError::Seccomp`] for what is no profile, [`SpecError::SeccompName`] for what it names and there is not.
pub(super) fn read(text: &str, capabilities: &HashSet<Capability>) -> Result<LinuxSeccomp, SpecError> {
    let profile: Profile = serde_json::from_str(text).map_err(SpecError::Seccomp)?;
    let facts = Facts { capabilities, architecture: own_architecture(), kernel: own_kernel() };
    let mut rules = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if facts.holds(&rule.includes)? && !facts.excluded(&rule.excludes)? {
            rules.push(rule.into_syscall());
        }
    }
    let mut filter = LinuxSeccomp::default();
    filter.set_default_action(profile.default_action);
    filter.set_default_errno_ret(profile.default_errno_ret);
    filter.set_architectures(architectures(profile.architectures, profile.arch_map));
    filter.set_flags(profile.flags.filter(|flags| !flags.is_empty()));
    filter.set_syscalls((!rules.is_empty()).then_some(rules));
    Ok(filter)
}

/// The architectures that are named; with docker's map, this machine's and those below it.
fn architectures(named: Option<Vec<Arch>>, map: Option<Vec<ArchitectureMap>>) -> Option<Vec<Arch>> {
    let named = named.filter(|named| !named.is_empty());
    named.or_else(|| {
        let own = native();
        let entry = map?.into_iter().find(|entry| entry.architecture == own)?;
        let below = entry.sub_architectures.unwrap_or_default();
        Some(std::iter::once(entry.architecture).chain(below).collect())
    })
}

impl Rule {
    fn into_syscall(self) -> LinuxSyscall {
        let names = self.names.unwrap_or_default();
        let one = (!self.name.is_empty()).then_some(self.name);
        let mut syscall = LinuxSyscall::default();
        syscall.set_names(names.into_iter().chain(one).collect());
        syscall.set_action(self.action);
        syscall.set_errno_ret(self.errno_ret);
        syscall.set_args(self.args.filter(|args| !args.is_empty()));
        syscall
    }
}

impl Facts<'_> {
    /// Whether all that `condition` names is so.
    fn holds(&self, condition: &Condition) -> Result<bool, SpecError> {
        let arches = condition.arches.as_deref().unwrap_or_default();
        let is_here = arches.is_empty() || arches.iter().any(|arch| arch == self.architecture);
        let has_all = self.capabilities_of(condition)?.iter().all(|cap| self.capabilities.contains(cap));
        let is_new = condition.min_kernel.as_deref().map_or(Ok(true), |least| self.is_at_least(least))?;
        Ok(is_here && has_all && is_new)
    }

    /// Whether any of it is so.
    fn excluded(&self, condition: &Condition) -> Result<bool, SpecError> {
        let arches = condition.arches.as_deref().unwrap_or_default();
        let is_here = arches.iter().any(|arch| arch == self.architecture);
        let has_one = self.capabilities_of(condition)?.iter().any(|cap| self.capabilities.contains(cap));
        let is_new = condition.min_kernel.as_deref().map_or(Ok(false), |least| self.is_at_least(least))?;
        Ok(is_here || has_one || is_new)
    }

    fn capabilities_of(&self, condition: &Condition) -> Result<Vec<Capability>, SpecError> {
        let named = condition.caps.as_deref().unwrap_or_default().iter();
        named.map(|name| capabilities::named(name).ok_or_else(|| unknown("the capability", name))).collect()
    }

    fn is_at_least(&self, least: &str) -> Result<bool, SpecError> {
        version(least).map(|least| self.kernel >= least).ok_or_else(|| unknown("the kernel", least))
    }
}

fn unknown(what: &'static str, name: &str) -> SpecError {
    SpecError::SeccompName { what, name: name.chars().take(80).collect() }
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u64, u64)> {
    let digits = |part: &str| {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    let (major, rest) = text.split_once('.')?;
    Some((digits(major)?, digits(rest)?))
}

fn own_kernel() -> (u64, u64) {
    version(&crate::host::kernel_version()).unwrap_or_default()
}

fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn native() -> Arch {
    match std::env::consts::ARCH {
        "x86_64" => Arch::ScmpArchX86_64,
        "aarch64" => Arch::ScmpArchAarch64,
        "arm" => Arch::ScmpArchArm,
        "riscv64" => Arch::ScmpArchRiscv64,
        "s390x" => Arch::ScmpArchS390x,
        "powerpc64" => Arch::ScmpArchPpc64le,
        _ => Arch::ScmpArchNative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn allowed(profile: &Value, capabilities: &[Capability]) -> Vec<String> {
        let filter = read(&profile.to_string(), &capabilities.iter().copied().collect()).expect("a profile");
        let rules = filter.syscalls().clone().unwrap_or_default();
        rules.iter().flat_map(|rule| rule.names().clone()).collect()
    }

    #[test]
    fn rules_hold_by_capability_architecture_and_kernel() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"name": "old", "action": "SCMP_ACT_ALLOW", "args": null},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["vax"]}},
                {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["later"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            ],
        });
        assert_eq!(allowed(&profile, &[]), ["read", "old", "clone", "ptrace"]);
        assert_eq!(allowed(&profile, &[Capability::SysAdmin]), ["read", "old", "mount", "ptrace"]);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let none = HashSet::new();
        for text in ["", "{}", "[]", r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#] {
            assert!(matches!(read(text, &none), Err(SpecError::Seccomp(_))), "{text}");
        }
        let rule = |condition: Value| {
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["a"], "action": "SCMP_ACT_LOG", "includes": condition}]})
        };
        for condition in [json!({"caps": ["CAP_NOPE"]}), json!({"minKernel": "new"})] {
            let refused = read(&rule(condition).to_string(), &none);
            assert!(matches!(refused, Err(SpecError::SeccompName { .. })));
        }
    }

    #[test]
    fn the_map_of_architectures_gives_this_machines() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}]}"#;
        let filter = read(text, &HashSet::new()).expect("a profile");
        if std::env::consts::ARCH == "x86_64" {
            assert_eq!(
                filter.architectures().clone().expect("two"),
                [Arch::ScmpArchX86_64, Arch::ScmpArchX86]
            );
        }
    }
}
