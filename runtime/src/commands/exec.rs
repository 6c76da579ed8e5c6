//! `exec`.

use std::mem::ManuallyDrop;
use std::os::fd::AsFd;

use knarr_proto::id::ContainerId;

use super::create::absolute;
use super::error::CommandError;
use crate::args::command::ExecArgs;
use crate::args::globals::Globals;
use crate::child::options::Options;
use crate::create::foreground::Foreground;
use crate::join::error::ExecError;
use crate::join::{ExecRequest, exec};
use crate::output::log::Log;
use crate::spec::process::{Capabilities, Process};
use crate::state::record::State;

/// Runs a process in a container; returns its exit code, 0 when detached.
#[inline(never)]
pub(super) fn run(globals: &Globals, args: &ExecArgs, log: &Log) -> Result<u8, CommandError> {
    crate::null::protect_streams()?;
    let id: ContainerId = args.id.parse().map_err(CommandError::Id)?;
    let state = State::load(&globals.root, &id)?;
    // Never freed: see `create`.
    let spec = ManuallyDrop::new(state.spec(&globals.root).map_err(ExecError::from)?);
    let mut process = match &args.process {
        Some(path) => Process::load(path).map_err(crate::child::error::CreateError::from)?,
        None => from_flags(args, *spec.process.clone().unwrap_or_default())?,
    };
    let of_container = spec.process.as_ref().and_then(|process| process.exec_cpu_affinity.clone());
    process.exec_cpu_affinity = process.exec_cpu_affinity.or(of_container);
    super::create::check_console(process.terminal, args.detach, args.console_socket.is_some())?;
    let foreground = if args.detach { None } else { Some(Foreground::begin()?) };
    let running = exec(&ExecRequest {
        root: &globals.root,
        state: &state,
        spec: &spec,
        process: &process,
        options: Options {
            console_socket: absolute(args.console_socket.as_deref())?,
            pidfd_socket: absolute(args.pidfd_socket.as_deref())?,
            pid_file: absolute(args.pid_file.as_deref())?,
            preserve_fds: args.preserve_fds,
            ..Options::default()
        },
        cgroups: &args.cgroups,
        ignore_paused: args.ignore_paused,
        log,
    })?;
    for warning in &running.warnings {
        log.warning(warning);
    }
    match foreground {
        Some(foreground) => Ok(foreground.wait(running.pidfd.as_fd(), running.master.as_ref(), None)?),
        None => Ok(0),
    }
}

/// The container's own process, changed by what was said.
fn from_flags(args: &ExecArgs, mut process: Process) -> Result<Process, CommandError> {
    process.args.clone_from(&args.command);
    process.terminal = args.tty;
    process.env.extend(args.env.iter().cloned());
    if let Some(cwd) = &args.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(profile) = &args.apparmor {
        process.apparmor_profile.clone_from(profile);
    }
    if let Some(label) = &args.process_label {
        process.selinux_label.clone_from(label);
    }
    process.no_new_privileges = args.no_new_privs.unwrap_or(process.no_new_privileges);
    if let Some(user) = &args.user {
        let (uid, gid) = parse_user(user).ok_or_else(|| CommandError::User(user.clone()))?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&args.additional_gids);
    let sets = process.capabilities.get_or_insert_with(Capabilities::default);
    let is_inherited = !sets.inheritable.is_empty();
    for name in &args.capabilities {
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.clone());
        }
        // runc's: where the configuration has capabilities inherited, those of --cap are ambient too.
        if is_inherited {
            sets.ambient.push(name.clone());
        }
    }
    Ok(process)
}

/// `uid[:gid]`, digits only: a sign, a space or an overflow must never become another user (CVE-2026-30892).
fn parse_user(text: &str) -> Option<(u32, Option<u32>)> {
    let id = |text: &str| -> Option<u32> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|id| is_number && *id < 1 << 31)
    };
    match text.split_once(':') {
        None => Some((id(text)?, None)),
        Some((uid, gid)) => Some((id(uid)?, Some(id(gid)?))),
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::exec::parse_user;

    #[test]
    fn only_plain_numbers_are_users() {
        assert_eq!(parse_user("1000:100"), Some((1000, Some(100))));
        assert_eq!(parse_user("0"), Some((0, None)));
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x0",
            "2147483648",
            "4294967296",
            "root",
            "\u{663}",
        ] {
            assert_eq!(parse_user(text), None, "{text:?}");
        }
    }
}
