//! The first process of a container that was asked to have one of ours: docker's `--init`. The program is this one under
//! docker's name, `docker-init -- COMMAND`. It starts the command as its child, passes signals on to it, reaps whatever
//! becomes an orphan in the container, and ends with the command's exit status. It reads no file and allocates little.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::sys::clone::fork;
use crate::sys::entry::Arguments;
use crate::sys::exec::{execute, leave};
use crate::sys::signal::{self, SignalSet, restore_defaults};

/// What the program is called then.
const NAME: &[u8] = b"docker-init";
/// The shell's exit codes.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// Of our own failures, as the command's own are likelier to be others.
const FAILED: u8 = 125;
/// The last signal of all.
const LAST_SIGNAL: i32 = 64;
/// What a fault of our own raises, and what a terminal sends to those that are not in its foreground: not for the command.
const OWN_SIGNALS: [i32; 9] = [
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGTTIN,
    libc::SIGTTOU,
];
/// Where commands are when nothing says so; docker's.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether the program was called by this name.
pub(crate) fn is_called(arguments: Arguments) -> bool {
    let name = arguments.iter().next().map(CStr::to_bytes).unwrap_or_default();
    name.rsplit(|byte| *byte == b'/').next() == Some(NAME)
}

/// Does its work; the command's exit code, 128 + N when signal N ended it.
pub(crate) fn run(arguments: Arguments) -> u8 {
    let words: Vec<&CStr> = arguments.iter().skip(1).collect();
    let command = match words.split_first() {
        Some((first, rest)) if first.to_bytes() == b"--" => rest,
        _ => words.as_slice(),
    };
    if command.is_empty() {
        return tell("no command is given: write docker-init -- COMMAND", FAILED);
    }
    match take_care(command) {
        Ok(code) => code,
        Err(errno) => tell(&format!("cannot start the command: {errno}"), FAILED),
    }
}

fn take_care(command: &[&CStr]) -> Result<u8, Errno> {
    // Where we are not the first process, orphans are to come to us all the same.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let kept: Vec<i32> = (1..=LAST_SIGNAL).filter(|number| !OWN_SIGNALS.contains(number)).collect();
    let kept = SignalSet::from_numbers(&kept);
    signal::block(&kept);
    let signals = signal::descriptor(&kept)?;
    match fork()? {
        None => leave(become_command(command).into()),
        Some(pid) => watch(pid, &signals),
    }
}

/// The child: a process group of its own, in the foreground of the terminal if there is one, and then the command.
fn become_command(command: &[&CStr]) -> u8 {
    // The terminal would stop us for what follows. Without it, it is a command without job control.
    signal::block(&SignalSet::full());
    let own = rustix::process::getpid();
    if rustix::process::setpgid(None, None).is_ok() {
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own).ok();
    }
    restore_defaults();
    let arguments: Vec<CString> = command.iter().map(|word| (*word).to_owned()).collect();
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).ok()
        })
        .collect();
    let mut last = Errno::NOENT;
    for program in candidates(command[0]) {
        let Err(errno) = execute(&program, &arguments, &environment);
        // One that may not be executed is more to the point than those that are not there.
        if !matches!(errno, Errno::NOENT | Errno::NOTDIR) {
            last = errno;
        }
    }
    let name = command[0].to_string_lossy();
    let code = if last == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE };
    tell(&format!("exec {name} failed: {last}"), code)
}

/// What the command may mean, in the order of $PATH.
fn candidates(name: &CStr) -> Vec<CString> {
    if name.to_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsStr::from_bytes(DEFAULT_PATH).to_owned());
    let place = |directory: &[u8]| {
        let directory = if directory.is_empty() { b".".as_slice() } else { directory };
        CString::new([directory, b"/", name.to_bytes()].concat()).ok()
    };
    path.as_bytes().split(|byte| *byte == b':').filter_map(place).collect()
}

/// Passes signals on and reaps until the command has ended.
fn watch(pid: u32, signals: &OwnedFd) -> Result<u8, Errno> {
    loop {
        match signal::receive(signals) {
            Ok(number) if number == libc::SIGCHLD => {
                if let Some(code) = reap(pid)? {
                    return Ok(code);
                }
            }
            // Where it has other rights than ours, the kernel may refuse. It is not reaped yet, so that it is it.
            Ok(number) => drop(signal::send_to_child(pid, number)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps all that have ended. The command's exit code, if it was among them.
fn reap(command: u32) -> Result<Option<u8>, Errno> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid_number(pid) == command => code = exit_code(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(errno) => return Err(errno),
        }
    }
}

fn pid_number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

fn exit_code(status: WaitStatus) -> Option<u8> {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))?;
    u8::try_from(code).ok()
}

/// One line for whoever reads the container's output.
fn tell(words: &str, code: u8) -> u8 {
    let line = format!("docker-init: {words}\n");
    // Nobody may read it; the code says as much.
    rustix::io::write(rustix::stdio::stderr(), line.as_bytes()).ok();
    code
}
