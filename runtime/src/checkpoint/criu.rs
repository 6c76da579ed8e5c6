//! A conversation with one criu process: it is started for us alone (`criu swrk`), asked, and has its notifications
//! answered until it is done. When either side goes, the other sees the end of the socket.

use std::ffi::CString;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{WaitId, WaitIdOptions};

use super::error::CheckpointError;
use super::protocol::{Kind, Response, answer, question};
use crate::child::process::Child;
use crate::handshake::failure::{Failure, Phase};
use crate::process::program;
use crate::sys::clone::{Forked, fork_into};
use crate::sys::{descriptor, exec, message, pidfd, signal};

/// External namespaces, LSM profiles and the v2 freezer all work from here on (July 2021).
const VERSION_MIN: u64 = 31_600;

/// A response is a handful of numbers and one text.
const RESPONSE_MAX_BYTES: usize = 64 * 1024;

/// criu's log at level 4 has thousands of lines; one is quoted.
const LOG_LINE_MAX_BYTES: usize = 500;

/// How long criu may take to put back what it has begun.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// Fields of `criu_features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Which pages were written since the last time.
    MemoryTracking = 1,
    /// Pages that come when they are needed.
    LazyPages = 2,
}

/// What criu tells while it works; it goes on when it was answered.
#[derive(Debug)]
pub(crate) struct Notice {
    /// `post-dump`, `setup-namespaces`, …
    pub(crate) script: String,
    /// The process that it is about, in our pid namespace; 0 for none.
    pub(crate) pid: u32,
    /// What came with it.
    pub(crate) descriptor: Option<OwnedFd>,
}

/// How criu is born.
#[allow(missing_debug_implementations, reason = "it holds a closure")]
pub(crate) struct CriuStart<'a> {
    /// For `CLONE_INTO_CGROUP`.
    pub(crate) cgroup: Option<&'a OwnedFd>,
    /// What else it has from us, under its number.
    pub(crate) descriptors: &'a [&'a OwnedFd],
    /// What is done in the new process before criu is in it.
    pub(crate) prepare: &'a dyn Fn() -> Result<(), CheckpointError>,
}

/// A criu that waits for requests.
#[derive(Debug)]
pub(crate) struct Criu {
    socket: OwnedFd,
    child: Option<Child>,
}

impl Criu {
    /// Starts criu.
    ///
    /// # Errors
    /// [`CheckpointError::NoCriu`] when there is none, and those of starting a program.
    pub(crate) fn start(birth: &CriuStart<'_>) -> Result<Self, CheckpointError> {
        let search_path = std::env::var("PATH").unwrap_or_default();
        let path = program::find(c"criu", &search_path).map_err(|_| CheckpointError::NoCriu)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, criu_s) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|source| CheckpointError::Socket { source })?;
        let number = CString::new(criu_s.as_raw_fd().to_string()).expect("digits hold no NUL");
        let argv = [c"criu".to_owned(), c"swrk".to_owned(), number];
        let envp: Vec<CString> = std::env::vars_os()
            .filter_map(|(key, value)| CString::new([key.into_vec(), value.into_vec()].join(&b'=')).ok())
            .collect();
        let cgroup = birth.cgroup.map(AsFd::as_fd);
        let forked = fork_into(0, cgroup).map_err(|source| CheckpointError::Start { source })?;
        match forked {
            Forked::Child => {
                let Err(error) = become_criu(birth, &criu_s, &path, &argv, &envp);
                // No response of criu's begins like this: it would be a field of a type that does not exist.
                let failure = Failure::new(Phase::Root, &error, None).to_bytes();
                if send(&criu_s, &failure, SendFlags::NOSIGNAL).is_err() {
                    eprintln!("{error}");
                }
                exec::leave(1);
            }
            Forked::Parent { pid, pidfd } => Ok(Self { socket: ours, child: Some(Child { pid, pidfd }) }),
        }
    }

    /// Its pid, while it runs.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is taken when criu is finished with").pid
    }

    /// Refuses a criu that is too old, and one that lacks what is wanted.
    ///
    /// # Errors
    /// [`CheckpointError::OldCriu`], [`CheckpointError::Missing`].
    pub(crate) fn check(&self, wanted: Option<(Feature, &'static str)>) -> Result<(), CheckpointError> {
        self.say(&question(Kind::Version, &[]))?;
        if self.receive()?.0.version.unwrap_or(0) < VERSION_MIN {
            return Err(CheckpointError::OldCriu);
        }
        let Some((feature, what)) = wanted else { return Ok(()) };
        self.say(&question(Kind::FeatureCheck, &[feature as u32]))?;
        let response = self.receive()?.0;
        if response.success && response.features.contains(&(feature as u32)) {
            return Ok(());
        }
        Err(CheckpointError::Missing { what })
    }

    /// Sends a request, has `notified` deal with every notification, and returns the response. When `notified` fails,
    /// criu is told so, takes back what it did, and that failure is the result.
    ///
    /// # Errors
    /// [`CheckpointError`], and that of `notified`.
    pub(crate) fn carry_out(
        &self,
        request: &[u8],
        notified: &mut dyn FnMut(Notice) -> Result<(), CheckpointError>,
    ) -> Result<Response, CheckpointError> {
        self.say(request)?;
        let mut failure = None;
        loop {
            let (mut response, descriptor) = match self.receive() {
                Ok(received) => received,
                Err(error) => return Err(failure.unwrap_or(error)),
            };
            let Some((script, pid)) = response.notify.take() else {
                return failure.map_or(Ok(response), Err);
            };
            let done = notified(Notice { script, pid, descriptor });
            self.say(&answer(done.is_ok()))?;
            if let Err(error) = done {
                failure.get_or_insert(error);
            }
        }
    }

    /// Lets criu end by itself.
    ///
    /// # Errors
    /// [`CheckpointError::Start`] when it cannot be waited for.
    pub(crate) fn finish(mut self) -> Result<(), CheckpointError> {
        let Some(child) = self.child.take() else { return Ok(()) };
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).ok();
        rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
            .map(drop)
            .map_err(|source| CheckpointError::Start { source })
    }

    fn say(&self, bytes: &[u8]) -> Result<(), CheckpointError> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(CheckpointError::Died),
            Err(source) => Err(CheckpointError::Socket { source }),
        }
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>), CheckpointError> {
        let mut bytes = vec![0; RESPONSE_MAX_BYTES];
        let (length, descriptor) = message::receive(&self.socket, &mut bytes)
            .map_err(|source| CheckpointError::Socket { source })?;
        if length == 0 {
            return Err(CheckpointError::Died);
        }
        if let Some(failure) = Failure::of_message(&bytes[..length]) {
            return Err(CheckpointError::Prepare {
                source: failure.map_err(|_| CheckpointError::Malformed)?,
            });
        }
        Ok((Response::parse(&bytes[..length])?, descriptor))
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // On the way out with an error. The end of the socket has criu take back what it did, thaw and let go what it
        // stopped; killed at once, it could not.
        let Some(child) = self.child.take() else { return };
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).ok();
        pidfd::wait_exit(child.pidfd.as_fd(), LAST_MOMENTS).ok();
        child.end();
    }
}

fn become_criu(
    birth: &CriuStart<'_>,
    socket: &OwnedFd,
    path: &std::ffi::CStr,
    argv: &[CString],
    envp: &[CString],
) -> Result<std::convert::Infallible, CheckpointError> {
    (birth.prepare)()?;
    let failed = |source| CheckpointError::Start { source };
    descriptor::close_on_exec_from(3).map_err(failed)?;
    for kept in birth.descriptors.iter().copied().chain([socket]) {
        descriptor::keep_on_exec(kept.as_raw_fd()).map_err(failed)?;
    }
    // Our caller's, and those that waiting in the foreground holds back.
    signal::restore_defaults();
    exec::execute(path, argv, envp).map_err(failed)
}

/// The line of criu's log that says why: the last error but for those that only say that what called it failed too.
pub(super) fn complaint(log: &Path) -> String {
    let Ok(file) = std::fs::File::open(log) else { return "nothing, it was not written".to_owned() };
    let (mut last, mut cause) = (String::new(), None);
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LOG_LINE_MAX_BYTES)]).trim().to_owned();
        if is_cause(&text) {
            cause = Some(text);
        } else if !text.is_empty() {
            last = text;
        }
    }
    cause.unwrap_or(last)
}

fn is_cause(line: &str) -> bool {
    // A limit that criu may not raise is no reason to fail.
    let follows =
        line.ends_with("FAILED.") || line.contains("failed with -1") || line.contains("RLIMIT_NOFILE");
    line.contains("Error (") && !follows
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::criu::is_cause;

    #[test]
    fn the_cause_is_told_from_what_follows_from_it() {
        assert!(is_cause(
            "(00.156403) Error (criu/files-reg.c:1790): Can't lookup mount=24 for fd=0 path=/dev/null"
        ));
        for line in [
            "(00.227497) Error (criu/cr-dump.c:2111): Dumping FAILED.",
            "(00.156420) Error (criu/cr-dump.c:1681): Dump files (pid: 10641) failed with -1",
            "(00.035569) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
            "(00.171703) RPC",
        ] {
            assert!(!is_cause(line), "{line}");
        }
    }
}
