//! `linux.seccomp` as text; the compiler of filters gives the names their meaning.

use serde::Deserialize;

use super::null::null_is_default;
use super::words::Words;

/// The `seccomp` object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seccomp {
    /// Action for system calls that no rule names, `SCMP_ACT_ERRNO` …
    pub(crate) default_action: String,
    /// errno of the default action; EPERM when absent.
    #[serde(default)]
    pub(crate) default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_X86_64` …; the native one is always included.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_LOG` …; absent is the runtime's choice, empty is none.
    #[serde(default)]
    pub(crate) flags: Option<Vec<String>>,
    /// Unix socket that gets the notify descriptor.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) listener_path: String,
    /// Text sent along with it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) listener_metadata: String,
    /// Rules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) syscalls: Vec<SyscallRule>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyscallRule {
    /// System calls by name; those unknown to us are skipped.
    pub(crate) names: Words,
    /// `SCMP_ACT_ALLOW` …
    pub(crate) action: String,
    /// errno of `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE`; EPERM when absent.
    #[serde(default)]
    pub(crate) errno_ret: Option<u32>,
    /// All must hold.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) args: Vec<ArgCheck>,
}

/// A comparison of one argument.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArgCheck {
    /// 0 to 5.
    pub(crate) index: u32,
    /// Compared with, or the mask of `SCMP_CMP_MASKED_EQ`.
    pub(crate) value: u64,
    /// Compared with under `SCMP_CMP_MASKED_EQ`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) value_two: u64,
    /// `SCMP_CMP_EQ` …
    pub(crate) op: String,
}
