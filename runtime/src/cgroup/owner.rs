//! The owner of a container's v2 cgroup. With the systemd driver, a container that has a cgroup namespace of its own
//! and mounts cgroups writable (systemd in a container, another engine) may divide its cgroup further: the directory
//! and the files that the kernel calls delegatable are its user's then. The limits' files stay with the host.

use std::path::Path;

use rustix::fs::{AtFlags, Uid, chownat};
use rustix::io::Errno;

use super::directory::Cgroup;
use super::error::CgroupError;
use crate::plan::mappings::host_id;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;
use crate::spec::mount::Mount;
use crate::sys::file;

/// Since Linux 4.15 it tells which files these are.
const DELEGATABLE: &str = "/sys/kernel/cgroup/delegate";

/// The host's id of the user that gets the cgroup; `None` when it stays its maker's.
pub(super) fn plan(spec: &Spec) -> Option<u32> {
    let linux = &spec.linux;
    let makes = |kind| linux.namespaces.iter().any(|found| found.kind == kind && found.path.is_empty());
    if !makes(NamespaceKind::Cgroup) || !spec.mounts.iter().any(is_writable) {
        return None;
    }
    let user = spec.process.as_ref().map_or(0, |process| process.user.uid);
    match makes(NamespaceKind::User) {
        true => host_id(&linux.uid_mappings, user),
        false => Some(user).filter(|user| *user != 0),
    }
}

fn is_writable(mount: &Mount) -> bool {
    let last = |words: [&str; 2]| mount.options.iter().rev().find(|option| words.contains(&option.as_str()));
    mount.kind == "cgroup"
        && mount.destination.trim_end_matches('/') == "/sys/fs/cgroup"
        && last(["ro", "rw"]).is_none_or(|option| option == "rw")
        && last(["rro", "rrw"]).is_none_or(|option| option == "rrw")
}

/// Gives it the cgroup.
pub(super) fn give(cgroup: Cgroup<'_>, user: u32) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Delegate { path: cgroup.path.directory(), user, source };
    let (directory, owner) = (cgroup.directory()?, Some(Uid::from_raw(user)));
    chownat(directory, "", owner, None, AtFlags::EMPTY_PATH).map_err(failed)?;
    let files = file::read_text(Path::new(DELEGATABLE), file::MAX_PROC_BYTES).map_err(failed)?;
    for name in files.lines() {
        match chownat(directory, name, owner, None, AtFlags::SYMLINK_NOFOLLOW) {
            // Not every controller is handed down.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(namespaces: &str, options: &str) -> Option<u32> {
        let text = format!(
            r#"{{"ociVersion":"1.3.0","process":{{"cwd":"/","args":["a"],"user":{{"uid":7,"gid":0}}}},
                "mounts":[{{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":[{options}]}}],
                "linux":{{"uidMappings":[{{"containerID":0,"hostID":1000,"size":10}}],"namespaces":[{namespaces}]}}}}"#
        );
        plan(&Spec::parse(text.as_bytes(), Path::new("config.json")).expect(&text))
    }

    #[test]
    fn whoever_may_divide_its_cgroup_gets_it() {
        let both = r#"{"type":"cgroup"},{"type":"user"}"#;
        assert_eq!(owner(both, r#""nosuid""#), Some(1007));
        assert_eq!(owner(r#"{"type":"cgroup"}"#, r#""ro","rw""#), Some(7));
        assert_eq!(owner(both, r#""nosuid","ro""#), None);
        assert_eq!(owner(both, r#""rro","rw""#), None);
        assert_eq!(owner(r#"{"type":"user"}"#, r#""nosuid""#), None);
        assert_eq!(owner(r#"{"type":"user"},{"type":"cgroup","path":"/proc/1/ns/cgroup"}"#, ""), None);
    }
}
