//! Hooks: host programs that the configuration has us call at fixed places (runtime-spec, "POSIX-platform Hooks").
//!
//! Which side calls which: the creator `prestart`, `createRuntime` (before the child pivots), `poststart`, `poststop`;
//! the child `createContainer` (in the container's namespaces, before pivot_root, so that host paths still resolve) and
//! `startContainer` (after pivot_root, when start was asked, right before exec).
//!
//! What a hook inherits is as under runc: the runtime's environment unless it has `env`, which may be empty; the
//! runtime's limits and file mode mask; default signal actions and no blocked signal; the bundle as its directory for
//! those that the creator calls, the root filesystem for createContainer, `/` for startContainer. The container's own
//! environment reaches startContainer hooks alone, which are programs of the container (CVE-2025-23266). No hook
//! inherits a descriptor.

pub(crate) mod call;

use std::path::Path;
use std::time::Duration;

use crate::output::chain::Chain;
use crate::output::log::Log;
use crate::spec::hooks::{Hook, Hooks};
use call::HookFailure;

/// The six places, in the order of a container's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    /// Runtime namespace, during create; deprecated.
    Prestart,
    /// Runtime namespace, during create, right after `prestart`.
    CreateRuntime,
    /// Container namespaces, during create, before pivot_root.
    CreateContainer,
    /// Container namespaces, during start, before the user's program.
    StartContainer,
    /// Runtime namespace, after the user's program was started.
    Poststart,
    /// Runtime namespace, after the container was deleted.
    Poststop,
}

impl HookKind {
    /// Every place.
    pub(crate) const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The field of `hooks`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The hooks of this place, in calling order.
    #[must_use]
    pub(crate) fn among(self, hooks: &Hooks) -> &[Hook] {
        match self {
            Self::Prestart => &hooks.prestart,
            Self::CreateRuntime => &hooks.create_runtime,
            Self::CreateContainer => &hooks.create_container,
            Self::StartContainer => &hooks.start_container,
            Self::Poststart => &hooks.poststart,
            Self::Poststop => &hooks.poststop,
        }
    }
}

/// Why a hook cannot be called, or failed. The text is runc's: callers look for `error running <kind> hook #<n>`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// The path is not absolute.
    #[error("hooks.{kind}[{index}].path: {path:?} is not an absolute path")]
    Path {
        /// Field of `hooks`.
        kind: &'static str,
        /// Place in the list.
        index: usize,
        /// The path.
        path: String,
    },
    /// A timeout that no hook can meet.
    #[error("hooks.{kind}[{index}].timeout: {seconds} is not above zero")]
    Timeout {
        /// Field of `hooks`.
        kind: &'static str,
        /// Place in the list.
        index: usize,
        /// What was given.
        seconds: i64,
    },
    /// An environment entry that cannot be set.
    #[error("hooks.{kind}[{index}].env: {entry:?} is not of the form KEY=value")]
    Environment {
        /// Field of `hooks`.
        kind: &'static str,
        /// Place in the list.
        index: usize,
        /// The entry.
        entry: String,
    },
    /// It ran, or should have.
    #[error("error running {kind} hook #{index}")]
    Failed {
        /// Field of `hooks`.
        kind: &'static str,
        /// Place in the list.
        index: usize,
        /// How it failed.
        source: HookFailure,
    },
}

/// Refuses hooks that can never run.
///
/// # Errors
/// [`HookError`], of the first that is wrong.
pub(crate) fn check(hooks: &Hooks) -> Result<(), HookError> {
    for kind in HookKind::ALL {
        for (index, hook) in kind.among(hooks).iter().enumerate() {
            check_one(kind.name(), index, hook)?;
        }
    }
    Ok(())
}

fn check_one(kind: &'static str, index: usize, hook: &Hook) -> Result<(), HookError> {
    if !hook.path.starts_with('/') {
        return Err(HookError::Path { kind, index, path: hook.path.clone() });
    }
    match hook.timeout {
        Some(seconds) if seconds <= 0 => return Err(HookError::Timeout { kind, index, seconds }),
        Some(_) | None => {}
    }
    match hook.env.iter().flatten().find(|entry| entry.find('=').is_none_or(|at| at == 0)) {
        Some(entry) => Err(HookError::Environment { kind, index, entry: entry.clone() }),
        None => Ok(()),
    }
}

/// Calls the hooks of one place in order, each with `state` (the JSON of the container's state) on its stdin, in
/// `directory` or else in ours. The first failure ends the sequence, and the container (runtime-spec, "Lifecycle"; its
/// earlier versions had a failed `poststart` warned about, which runc never did).
///
/// # Errors
/// [`HookError::Failed`].
pub(crate) fn run(
    kind: HookKind,
    hooks: &Hooks,
    state: &[u8],
    directory: Option<&Path>,
) -> Result<(), HookError> {
    let mut hooks = kind.among(hooks).iter().enumerate();
    hooks.try_for_each(|(index, hook)| run_one((kind, index), hook, state, directory))
}

/// Calls all poststop hooks: no container is left to end, so that the specification has failures logged.
pub(crate) fn run_poststop(hooks: &Hooks, state: &[u8], directory: &Path, log: &Log) {
    for (index, hook) in hooks.poststop.iter().enumerate() {
        if let Err(error) = run_one((HookKind::Poststop, index), hook, state, Some(directory)) {
            log.warning(&Chain(&error).to_string());
        }
    }
}

fn run_one(
    (kind, index): (HookKind, usize),
    hook: &Hook,
    state: &[u8],
    directory: Option<&Path>,
) -> Result<(), HookError> {
    let timeout = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    call::call(hook, state, directory, timeout).map_err(|source| HookError::Failed {
        kind: kind.name(),
        index,
        source,
    })
}

#[cfg(test)]
mod tests;
