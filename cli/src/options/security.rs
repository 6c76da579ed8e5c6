//! `--security-opt`: what confines a container. A seccomp profile is read here, where the person's files are.

use std::fs::File;
use std::io::Read;

use knarr_proto::v1::Confinement;

use super::BadOption;

/// The daemon takes a request of 1 MiB in all.
const MAX_PROFILE_BYTES: u64 = 512 * 1024;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecurityOption {
    NoNewPrivileges(bool),
    /// Empty for the daemon's own, `unconfined`, or a profile's text.
    Seccomp(String),
    AppArmor(String),
    Unmasked,
    WritableCgroups(bool),
    /// What has no effect here: there is no SELinux label to disable.
    NoLabel,
}

/// `NAME`, `NAME=VALUE` or, as older dockers had it, `NAME:VALUE`.
pub(crate) fn parse(text: &str) -> Result<SecurityOption, BadOption> {
    let (name, value) = match text.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    match (name, value) {
        ("no-new-privileges", value) => boolean(text, value).map(SecurityOption::NoNewPrivileges),
        ("writable-cgroups", value) => boolean(text, value).map(SecurityOption::WritableCgroups),
        ("systempaths", Some("unconfined")) => Ok(SecurityOption::Unmasked),
        ("label", Some("disable")) => Ok(SecurityOption::NoLabel),
        ("label", _) => {
            Err(BadOption::unsupported(text, "SELinux labels are not set; label=disable is taken"))
        }
        ("apparmor", Some(profile)) if !profile.is_empty() => {
            Ok(SecurityOption::AppArmor(profile.to_owned()))
        }
        ("seccomp", Some("builtin")) => Ok(SecurityOption::Seccomp(String::new())),
        ("seccomp", Some("unconfined")) => Ok(SecurityOption::Seccomp("unconfined".to_owned())),
        ("seccomp", Some(path)) if !path.is_empty() => profile(path).map(SecurityOption::Seccomp),
        _ => Err(BadOption::unsupported(
            text,
            "security options are no-new-privileges, seccomp=, apparmor=, systempaths=unconfined, writable-cgroups and label=disable",
        )),
    }
}

fn boolean(text: &str, value: Option<&str>) -> Result<bool, BadOption> {
    match value {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(BadOption::part(other, text, "is neither true nor false")),
    }
}

fn profile(path: &str) -> Result<String, BadOption> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PROFILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|source| BadOption::Read { path: path.into(), source })?;
    if text.len() as u64 > MAX_PROFILE_BYTES {
        return Err(BadOption::part(path, path, "is larger than 512 KiB, which no seccomp profile is"));
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(profile) => Ok(profile.to_string()),
        Err(_) => Err(BadOption::part(path, path, "is no JSON, which a seccomp profile is")),
    }
}

/// All options together; a later one goes before an earlier one. `true` when no new privileges may be gained.
pub(crate) fn together(options: &[SecurityOption]) -> (bool, Option<Confinement>) {
    let mut no_new_privileges = false;
    let mut confinement = Confinement::default();
    for option in options {
        match option {
            SecurityOption::NoNewPrivileges(is_on) => no_new_privileges = *is_on,
            SecurityOption::Seccomp(profile) => confinement.seccomp.clone_from(profile),
            SecurityOption::AppArmor(profile) => confinement.apparmor.clone_from(profile),
            SecurityOption::Unmasked => confinement.unmasked = true,
            SecurityOption::WritableCgroups(is_on) => confinement.writable_cgroups = *is_on,
            SecurityOption::NoLabel => {}
        }
    }
    (no_new_privileges, (confinement != Confinement::default()).then_some(confinement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_docker_reads_them() {
        for (text, option) in [
            ("no-new-privileges", SecurityOption::NoNewPrivileges(true)),
            ("no-new-privileges:false", SecurityOption::NoNewPrivileges(false)),
            ("seccomp=unconfined", SecurityOption::Seccomp("unconfined".into())),
            ("seccomp=builtin", SecurityOption::Seccomp(String::new())),
            ("apparmor=unconfined", SecurityOption::AppArmor("unconfined".into())),
            ("systempaths=unconfined", SecurityOption::Unmasked),
            ("writable-cgroups=true", SecurityOption::WritableCgroups(true)),
            ("label=disable", SecurityOption::NoLabel),
        ] {
            assert_eq!(parse(text).expect(text), option);
        }
        for text in [
            "",
            "seccomp",
            "seccomp=",
            "seccomp=/nowhere",
            "seccomp=/etc/passwd",
            "apparmor=",
            "label=type:x",
            "no-new-privileges=maybe",
            "systempaths=masked",
            "nope=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_later_option_goes_before_an_earlier_one() {
        let options = [SecurityOption::NoNewPrivileges(true), SecurityOption::NoNewPrivileges(false)];
        assert_eq!(together(&options), (false, None));
        let (_, confinement) = together(&[SecurityOption::Unmasked, SecurityOption::Seccomp("{}".into())]);
        let confinement = confinement.expect("some");
        assert!(confinement.unmasked && confinement.seccomp == "{}");
    }
}
