//! What the shim's sweeps share: one container's whole life through its shim, what was acknowledged on the way, and
//! what must be true of both after `shim delete`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Stream};

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::ttrpc;
use knarr_proto::stdio::KnarrStdio;
use knarr_tests::eventually::holds_within;
use knarr_tests::leftovers::Leftovers;
use knarr_tests::shim::{Stdio, action, socket_of};
use knarr_tests::{Attached, Bundle, Scratch, Shim, process, strace};

use crate::sweep::{DEADLINE, Harm};

/// The exit status that the container gives itself when it is asked to end.
pub(crate) const OWN_STATUS: u32 = 7;
/// SIGKILL's.
pub(crate) const KILLED: u32 = 137;
/// containerd's number for an unknown status.
pub(crate) const UNKNOWN: u32 = 255;

/// Ends by itself, with [`OWN_STATUS`], at SIGTERM.
const SCRIPT: &str = "trap 'exit 7' TERM; while :; do usleep 10000; done";

/// What the shim has acknowledged of a container's life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    /// The first process's pid.
    pub(crate) pid: Option<u32>,
    /// Its own end has been asked for.
    pub(crate) is_ended: bool,
    /// Its exit status has been told.
    pub(crate) status: Option<u32>,
    /// Its deletion has been acknowledged.
    pub(crate) is_deleted: bool,
}

/// A bundle and the places of everything that its shim makes.
pub(crate) struct Bed<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) bundle: Bundle,
}

impl<'a> Bed<'a> {
    pub(crate) fn new(scratch: &'a Scratch, name: &str) -> Self {
        Self { scratch, bundle: Bundle::busybox(scratch, name).script(SCRIPT) }
    }

    /// The shim's program with an action.
    pub(crate) fn action(&self, name: &str) -> Command {
        action(self.scratch, &self.bundle, &[], name)
    }

    fn attach_socket(&self, name: &str) -> PathBuf {
        self.scratch.directory("state/attach").join(name)
    }

    /// Runs the server as `start` does, with a listening socket as its stdin; `command` is `serve`, or something around
    /// it.
    pub(crate) fn serve(&self, command: &mut Command) -> Server {
        let socket = socket_of(self.scratch, &self.bundle);
        fs::remove_file(&socket).ok();
        let listener = UnixListener::bind(&socket).expect("a socket in the scratch directory");
        let descriptor = std::os::fd::OwnedFd::from(listener);
        command.stdin(Stream::from(descriptor)).stdout(Stream::null()).stderr(Stream::null());
        let child = command.spawn().expect("the shim's server starts");
        // Only the server listens from now on: when it dies, a client sees that.
        command.stdin(Stream::null());
        Server(child)
    }

    /// Creates, starts, enters, ends, deletes, shuts down; stops at the first call that fails.
    pub(crate) fn live(&self, shim: &Shim<'_>, acknowledged: &mut Acknowledged) -> ttrpc::Result<()> {
        let stdio = |name: &str| {
            let attach = self.attach_socket(name).display().to_string();
            Stdio::all(&KnarrStdio { attach, log: None }.to_uri())
        };
        acknowledged.pid = Some(shim.create_by(stdio("init.sock"), None)?);
        let client = UnixClient::connect(&self.attach_socket("init.sock"));
        shim.begin("")?;
        shim.exec("one", "exit 3", stdio("one.sock"))?;
        let exec_client = UnixClient::connect(&self.attach_socket("one.sock"));
        shim.begin("one")?;
        let status = shim.try_wait("one")?;
        assert_eq!(status, 3, "an exec's status is told as it is");
        shim.delete("one")?;
        drop(exec_client);
        // Whether or not the answer comes, the signal may have been sent.
        acknowledged.is_ended = true;
        shim.kill("", 15)?;
        acknowledged.status = Some(shim.try_wait("")?);
        drop(client);
        let deleted = shim.delete("")?;
        acknowledged.is_deleted = true;
        if acknowledged.status != Some(deleted) {
            acknowledged.status = Some(deleted);
        }
        shim.shut_down()
    }

    /// What knarrd or containerd does behind a shim that is lost: `shim delete`, which must succeed, tell no made up
    /// end, and leave nothing.
    pub(crate) fn clean_up(&self, acknowledged: Acknowledged) -> Result<(), Harm> {
        let was_alive = acknowledged.pid.is_some_and(is_alive);
        let end = self.delete().map_err(Harm::Orphan)?;
        self.assert_true(acknowledged, was_alive, end)?;
        self.left().map_or(Ok(()), Err)
    }

    /// Runs `shim delete`. The status and whether it is a known one.
    pub(crate) fn delete(&self) -> Result<(u32, bool), String> {
        let printed = self.scratch.join("printed");
        let mut command = self.action("delete");
        command.stdin(Stream::null()).stdout(fs::File::create(&printed).expect("a file"));
        let said = self.scratch.join("said");
        command.stderr(fs::File::create(&said).expect("a file"));
        let status = process::run_as_it_is(&mut command);
        if !status.success() {
            let said = fs::read_to_string(said).unwrap_or_default();
            return Err(format!("delete failed with {status}: {said}"));
        }
        let answer = DeleteResponse::parse_from_bytes(&fs::read(printed).expect("a file"))
            .map_err(|error| format!("delete's answer: {error}"))?;
        Ok((answer.exit_status, answer.exited_at.is_some()))
    }

    fn assert_true(
        &self,
        acknowledged: Acknowledged,
        was_alive: bool,
        (status, is_known): (u32, bool),
    ) -> Result<(), Harm> {
        let harm = |what: &str| Err(Harm::Lost(format!("{what}: delete says {status}, {acknowledged:?}")));
        match (acknowledged.status, is_known) {
            (Some(told), true) if told != status => harm("another end was told before"),
            // knarrd and containerd have kept it by then; the record may have failed for want of space.
            (Some(_), false) if !acknowledged.is_deleted => {
                harm("an end that was told is not known any more")
            }
            (None, true) if status == KILLED && !was_alive && acknowledged.pid.is_some() => {
                harm("nobody has killed it")
            }
            (None, true) if !matches!(status, OWN_STATUS | KILLED) => harm("a made up end"),
            (_, false) if status != UNKNOWN => harm("unknown, and a status"),
            _ => Ok(()),
        }
    }

    /// What is left on the host; `None` when nothing is.
    pub(crate) fn left(&self) -> Option<Harm> {
        let directories = ["state/shims", "state/attach", "state/runtime"];
        let files = || -> Vec<PathBuf> {
            let list = |name: &&str| fs::read_dir(self.scratch.join(name)).into_iter().flatten().flatten();
            directories.iter().flat_map(list).map(|entry| entry.path()).collect()
        };
        let mut found = String::new();
        let clean = holds_within(DEADLINE, || {
            let leftovers = Leftovers::of(self.scratch);
            let files = files();
            found = format!("{leftovers} files {files:?}");
            leftovers.is_empty() && files.is_empty()
        });
        if clean {
            return None;
        }
        Leftovers::of(self.scratch).remove();
        for path in files() {
            fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).ok();
        }
        Some(Harm::Orphan(format!("left {found}")))
    }
}

/// A server that a test runs itself; killed when it goes out of scope.
pub(crate) struct Server(Child);

impl Server {
    /// The calls that strace has logged, when the server has ended.
    pub(crate) fn calls(mut self, log: &Path) -> BTreeMap<String, u32> {
        assert!(self.ends_by_itself(), "a server that was told to end ends");
        strace::count_calls(log)
    }

    /// Whether it ends without being killed, within the deadline.
    pub(crate) fn ends_by_itself(&mut self) -> bool {
        process::wait(&mut self.0, DEADLINE).is_some_and(|status| status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, mostly.
        self.0.kill().ok();
        self.0.wait().expect("our child can be waited for");
    }
}

/// A client of an attach socket, if there is one to connect to.
struct UnixClient {
    _attached: Option<Attached>,
}

impl UnixClient {
    fn connect(path: &Path) -> Self {
        let is_there = std::os::unix::net::UnixStream::connect(path).is_ok();
        Self { _attached: is_there.then(|| Attached::connect(path)) }
    }
}

/// Whether a process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    knarr_proto::processes::ProcessStat::parse(&stat).is_some_and(|stat| stat.is_alive())
}
