//! The system call filter: an OCI profile becomes one classic BPF program.
//!
//! The plan calls [`compile`], the child [`install`]; when the profile has `SCMP_ACT_NOTIFY`, the child tells the
//! parent the number of the descriptor that `install` returned, and the parent hands it to the listener ([`listener`]).
//!
//! [`compile`] goes from `profile` (names understood) over `verdicts` (numbers, by ABI) to `filter` (a tree of
//! instructions, with `check` for arguments and `assembler` for jumps). A profile of Docker's size takes some tens of
//! microseconds, so that nothing is cached.

pub(crate) mod architecture;
pub(crate) mod assembler;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod filter;
pub(crate) mod listener;
#[cfg(any(test, fuzzing))]
pub(crate) mod oracle;
pub(crate) mod profile;
#[cfg(any(test, fuzzing))]
pub(crate) mod simulate;
pub(crate) mod table;
pub(crate) mod verdicts;

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::spec;
use crate::sys::seccomp as kernel;
use crate::sys::seccomp::Instruction;
use assembler::INSTRUCTIONS_MAX;
use error::SeccompError;
use listener::Listener;

/// A filter that the kernel can load.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
    listener: Option<Listener>,
}

impl Program {
    /// For [`simulate`].
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub(crate) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`.
    #[must_use]
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// The agent that gets the notify descriptor, if the profile has `SCMP_ACT_NOTIFY`.
    #[must_use]
    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }
}

/// Compiles a profile for the kernel that this program is built for.
///
/// # Errors
/// [`SeccompError`].
pub(crate) fn compile(profile: &spec::seccomp::Seccomp) -> Result<Program, SeccompError> {
    compile_for(profile, architecture::NATIVE)
}

fn compile_for(
    profile: &spec::seccomp::Seccomp,
    family: &architecture::Family,
) -> Result<Program, SeccompError> {
    let profile = profile::Profile::parse(profile)?;
    let instructions = filter::generate(&profile, family);
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(SeccompError::TooLarge { max: INSTRUCTIONS_MAX });
    }
    Ok(Program { instructions, flags: profile.flags, listener: profile.listener })
}

/// The actions that profiles may use, sorted, for `features`.
pub(crate) fn actions() -> impl Iterator<Item = &'static str> {
    profile::ACTIONS.iter().map(|(name, ..)| *name)
}

/// The operators that profiles may use, sorted, for `features`.
pub(crate) fn operators() -> impl Iterator<Item = &'static str> {
    profile::OPERATORS.iter().map(|(name, _)| *name)
}

/// The flags that profiles may use, sorted, for `features`.
pub(crate) fn known_flags() -> impl Iterator<Item = &'static str> {
    profile::FLAGS.iter().map(|(name, _)| *name)
}

/// Those of [`known_flags`] that this kernel takes, for `features`.
pub(crate) fn supported_flags() -> impl Iterator<Item = &'static str> {
    let supported = |bit: u32| {
        let needs_listener = bit == profile::WAIT_KILLABLE_RECV;
        kernel::knows_flags(if needs_listener { bit | kernel::NEW_LISTENER } else { bit })
    };
    profile::FLAGS.iter().filter(move |(_, bit)| supported(*bit)).map(|(name, _)| *name)
}

/// Puts the calling thread under the filter, for good. Call in the child: without no_new_privs before capabilities are
/// dropped (loading then needs CAP_SYS_ADMIN), with it as the last step before exec.
///
/// The descriptor, if any, is for the parent: send its *number* with `write` (the one system call that a profile may
/// not notify about) and have the parent fetch it with [`listener::fetch`].
///
/// # Errors
/// The kernel's.
pub(crate) fn install(program: &Program) -> Result<Option<OwnedFd>, Errno> {
    kernel::load(&program.instructions, program.flags)
}

#[cfg(test)]
mod tests;
