//! How many files knarrd may have open, and how many clients and calls that makes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit of open files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFiles {
    /// The soft limit that knarrd was started with, which is its containers' limit; `None` is without limit.
    pub(crate) inherited: Option<u64>,
    /// The one that it has now.
    now: u64,
}

/// Calls that wait or stream: each needs up to three files (a shim's socket; a log and what watches it).
const MAX_LONG_CALLS: u64 = 4096;
/// The files that a call may need, with as many again for the verbs' own work.
const FILES_PER_CALL: u64 = 8;
/// Some always fit.
const MIN_LONG_CALLS: u64 = 16;

impl OpenFiles {
    /// Raises the soft limit to the hard one. Shells and systemd set the soft one to 1,024 for programs that use
    /// select(2); knarrd does not.
    pub(crate) fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
        let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { inherited: current, now }
    }

    /// How many calls may wait or stream at a time.
    pub(crate) fn long_calls(self) -> usize {
        let calls = (self.now / FILES_PER_CALL).clamp(MIN_LONG_CALLS, MAX_LONG_CALLS);
        usize::try_from(calls).unwrap_or(usize::MAX)
    }

    /// How many clients may be connected: when each long call has a connection of its own, there is room for others.
    pub(crate) fn connections(self) -> usize {
        self.long_calls() + (self.long_calls() / 8).max(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_calls_fit_into_the_limit() {
        for now in [64, 256, 1024, 4096, 524_288, u64::MAX] {
            let files = OpenFiles { inherited: None, now };
            assert!(files.connections() > files.long_calls());
            let needed = u64::try_from(files.connections() + 3 * files.long_calls()).expect("a number");
            assert!(needed < now || now < 256, "{needed} of {now}");
        }
    }
}
