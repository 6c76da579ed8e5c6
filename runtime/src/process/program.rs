//! Finding the program that args[0] means, inside the container and with its user's rights, with the texts that
//! callers of runc look for.

use std::ffi::{CStr, CString};

use knarr_proto::reason::Reason;
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ProgramError {
    #[error("exec: {name:?}: executable file not found in $PATH")]
    NotFound { name: String },
    #[error("exec: {name:?}: stat {name}")]
    Stat { name: String, source: Errno },
    #[error("exec: {name:?}")]
    Denied { name: String, source: Errno },
}

impl ProgramError {
    /// args[0].
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::NotFound { name } | Self::Stat { name, .. } | Self::Denied { name, .. } => name,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } => Reason::CommandNotFound,
            Self::Stat { source, .. } => reason_of(*source),
            Self::Denied { .. } => Reason::CommandNotExecutable,
        }
    }
}

/// What the kernel's refusal of a program means: there is none, or it cannot be executed.
pub(crate) fn reason_of(errno: Errno) -> Reason {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Reason::CommandNotFound,
        _ => Reason::CommandNotExecutable,
    }
}

/// The path to execute for `name`: itself when it has a slash, otherwise the first match in `search_path`.
///
/// # Errors
/// [`ProgramError`].
pub(crate) fn find(name: &CStr, search_path: &str) -> Result<CString, ProgramError> {
    let text = || name.to_string_lossy().into_owned();
    if name.to_bytes().contains(&b'/') {
        return match executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(source @ (Errno::ACCESS | Errno::ISDIR)) => {
                Err(ProgramError::Denied { name: text(), source })
            }
            Err(source) => Err(ProgramError::Stat { name: text(), source }),
        };
    }
    let mut denied = None;
    for directory in search_path.split(':').filter(|_| !name.is_empty()) {
        let directory = if directory.is_empty() { "." } else { directory };
        let path = [directory.as_bytes(), b"/", name.to_bytes()].concat();
        // Neither part can hold a NUL: one was a C string, the other part of one.
        let Ok(path) = CString::new(path) else { continue };
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(errno @ Errno::ACCESS) => denied = Some(errno),
            Err(_) => {}
        }
    }
    match denied {
        Some(source) => Err(ProgramError::Denied { name: text(), source }),
        None => Err(ProgramError::NotFound { name: text() }),
    }
}

fn executable(path: &CStr) -> Result<(), Errno> {
    let status = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // Without noNewPrivileges the filter is loaded by now, and one older than faccessat2 denies it. The old call
        // asks for the real user, which is the effective one by now.
        Err(Errno::PERM | Errno::NOSYS) => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &CStr, path: &str) -> String {
        crate::output::chain::Chain(&find(name, path).expect_err("not there")).to_string()
    }

    #[test]
    fn the_texts_are_those_that_callers_look_for() {
        assert_eq!(message(c"nope", "/bin:/usr/bin"), "exec: \"nope\": executable file not found in $PATH");
        assert_eq!(message(c"/nope", ""), "exec: \"/nope\": stat /nope: no such file or directory");
        assert_eq!(message(c"/etc", ""), "exec: \"/etc\": is a directory");
        assert_eq!(message(c"/etc/passwd", ""), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(message(c"passwd", "/etc"), "exec: \"passwd\": permission denied");
        assert_eq!(message(c"", "/bin"), "exec: \"\": executable file not found in $PATH");
    }

    #[test]
    fn the_reason_is_told_as_data() {
        let reason = |name: &CStr, path: &str| find(name, path).expect_err("not there").reason();
        for name in [c"nope", c"/nope", c"/etc/passwd/x", c""] {
            assert_eq!(reason(name, "/bin"), Reason::CommandNotFound, "{name:?}");
        }
        for name in [c"/etc", c"/etc/passwd", c"passwd"] {
            assert_eq!(reason(name, "/etc"), Reason::CommandNotExecutable, "{name:?}");
        }
    }

    #[test]
    fn the_first_executable_in_the_path_is_taken() {
        assert_eq!(find(c"sh", "/etc:/nope:/bin").expect("there"), CString::from(c"/bin/sh"));
    }
}
