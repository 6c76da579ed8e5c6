//! The maps of a child's user namespace: written by us where we may, by newuidmap(1) and newgidmap(1), which read
//! /etc/subuid and /etc/subgid, where we may not.

use std::process::{Command, Stdio};

use rustix::io::Errno;

use super::error::CreateError;
use super::setup;
use crate::plan::{Ids, mappings};
use crate::spec::linux::IdMapping;
use crate::sys::exec;

/// Writes both maps.
pub(crate) fn write(ids: &Ids, pid: u32) -> Result<(), CreateError> {
    let own_group = rustix::process::getegid().as_raw();
    let is_root = rustix::process::geteuid().is_root();
    // user_namespaces(7): without CAP_SETGID one may map one's own group alone, and only once setgroups is denied.
    if !is_root && is_only(&ids.groups, own_group) {
        setup::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    write_one(pid, "gid_map", "newgidmap", &ids.groups)?;
    write_one(pid, "uid_map", "newuidmap", &ids.users)
}

pub(crate) fn is_only(mappings: &[IdMapping], id: u32) -> bool {
    matches!(mappings, [range] if range.size == 1 && range.host_id == id)
}

pub(crate) fn write_one(
    pid: u32,
    file: &str,
    program: &'static str,
    mappings: &[IdMapping],
) -> Result<(), CreateError> {
    match setup::write(format!("/proc/{pid}/{file}"), &mappings::text(mappings)) {
        Err(CreateError::Write { source: Errno::PERM, .. }) => by_program(program, pid, mappings),
        written => written,
    }
}

pub(crate) fn by_program(program: &'static str, pid: u32, mappings: &[IdMapping]) -> Result<(), CreateError> {
    let mut command = Command::new(program);
    command.arg(pid.to_string()).stdin(Stdio::null());
    for range in mappings {
        command.args([range.container_id, range.host_id, range.size].map(|number| number.to_string()));
    }
    exec::default_signals(&mut command);
    let output = command.output().map_err(|source| CreateError::MapProgram { program, source })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(CreateError::MapRefused {
            program,
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}
