//! Why a process does not run in a container.

use rustix::io::Errno;

use super::sub_cgroups::SubCgroupError;
use crate::cgroup::error::CgroupError;
use crate::child::error::CreateError;
use crate::handshake::failure::Failure;
use crate::plan::error::PlanError;
use crate::process::policies::PolicyError;
use crate::spec::load::SpecError;
use crate::state::error::StateError;

/// Why the process does not run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ExecError {
    #[error("cannot exec in a stopped container")]
    Stopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    Paused,
    #[error("unable to start container process")]
    Process { source: Failure },
    #[error(transparent)]
    Create(CreateError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("cannot set the CPU affinity")]
    SetAffinity { source: Errno },
    #[error("cannot hide from the container's processes")]
    Hide { source: Errno },
    #[error(transparent)]
    SubCgroup(#[from] SubCgroupError),
    #[error("error adding pid of the process to cgroups")]
    Enter { source: CgroupError },
    #[error("cannot open the container's root")]
    Root { source: Errno },
    #[error("cannot join the container's pid namespace")]
    PidNamespace { source: Errno },
}

impl From<CreateError> for ExecError {
    /// It is the process that failed, not a container's init.
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Init { source } => Self::Process { source },
            other => Self::Create(other),
        }
    }
}
