//! What programs want to know of an error: written beside the sentence in the JSON log, so that no program has to take
//! the sentence apart. Fields are only ever added.

use std::error::Error;

use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;
use rustix::io::Errno;
use serde::Serialize;

use super::chain::errno_of;
use crate::handshake::failure::{Failure, Phase};

/// The facts of one error; what is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    /// The kind of failure, in the words of gRPC's codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    /// What the container's process was at, when it failed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<Phase>,
    /// The kernel's error number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errno: Option<i32>,
    /// The file, field or directory that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Why the container's program cannot be executed, if that is what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
}

impl Facts {
    /// The facts that the chain of causes holds; `kind` and `path` are what its maker knows, if anything.
    #[must_use]
    pub(crate) fn from_error(
        error: &(dyn Error + 'static),
        kind: Option<Kind>,
        path: Option<String>,
    ) -> Self {
        let mut facts = Self { kind: None, phase: None, errno: None, path, reason: None };
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                facts.phase = Some(failure.phase);
                facts.errno = failure.errno;
                facts.reason = failure.reason;
                facts.path = facts.path.take().or_else(|| failure.path.clone());
            }
            facts.errno = errno_of(error).or(facts.errno);
            next = error.source();
        }
        let kind = kind.or_else(|| facts.errno.map(|raw| kind_of(Errno::from_raw_os_error(raw))));
        facts.kind = Some(name(kind.unwrap_or(Kind::Internal)));
        facts
    }
}

fn kind_of(errno: Errno) -> Kind {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::SRCH => Kind::NotFound,
        Errno::EXIST => Kind::AlreadyExists,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Kind::PermissionDenied,
        Errno::NOMEM | Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::AGAIN => {
            Kind::ResourceExhausted
        }
        Errno::NOSYS | Errno::OPNOTSUPP => Kind::Unimplemented,
        Errno::TIMEDOUT => Kind::DeadlineExceeded,
        Errno::INVAL | Errno::RANGE => Kind::InvalidArgument,
        Errno::BUSY | Errno::ISDIR | Errno::NOEXEC => Kind::FailedPrecondition,
        _ => Kind::Internal,
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidArgument => "invalid_argument",
        Kind::NotFound => "not_found",
        Kind::AlreadyExists => "already_exists",
        Kind::FailedPrecondition => "failed_precondition",
        Kind::PermissionDenied => "permission_denied",
        Kind::Unauthenticated => "unauthenticated",
        Kind::ResourceExhausted => "resource_exhausted",
        Kind::Unavailable => "unavailable",
        Kind::DeadlineExceeded => "deadline_exceeded",
        Kind::DataLoss => "data_loss",
        Kind::Unimplemented => "unimplemented",
        Kind::Cancelled => "cancelled",
        Kind::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open")]
    struct Open {
        source: Errno,
    }

    #[test]
    fn what_no_maker_told_comes_from_the_errno() {
        let facts = Facts::from_error(&Open { source: Errno::ACCESS }, None, Some("/x".to_owned()));
        assert_eq!((facts.kind, facts.errno), (Some("permission_denied"), Some(libc::EACCES)));
        assert_eq!(
            serde_json::to_string(&facts).expect("plain"),
            r#"{"kind":"permission_denied","errno":13,"path":"/x"}"#
        );
    }

    #[test]
    fn a_failure_in_the_container_tells_its_phase() {
        let failure = Failure::new(Phase::Exec, &Open { source: Errno::NOENT }, Some("/bin/x".to_owned()));
        let facts = Facts::from_error(&failure, None, None);
        assert_eq!((facts.phase, facts.errno), (Some(Phase::Exec), Some(libc::ENOENT)));
        assert_eq!((facts.kind, facts.path.as_deref()), (Some("not_found"), Some("/bin/x")));
    }
}
