//! A container: made, started, signalled, measured and deleted through the OCI runtime. Its further processes are
//! `exec`'s, their ends `end`'s. It never looks at what a request looked like on the wire.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use containerd_shim_protos::api::Mount;
use containerd_shim_protos::events::task::{TaskCreate, TaskIO, TaskPaused, TaskResumed, TaskStart};
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use knarr_proto::status::{Event, Status};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::context::ShimContext;
use super::error::TaskError;
use super::options::Options;
use super::process::Process;
use super::run::{Run, RunMaker};
use super::{config, health};
use crate::cgroup::{Cgroup, CgroupError, own};
use crate::chain::chain;
use crate::keep::Keeper;
use crate::reaper::Exit;
use crate::record::{self, LiveProcess};
use crate::runtime::{Runtime, Streams};
use crate::stdio::Request;
use crate::{journal, mounts};

/// The runtime has said that it is dead; the kernel needs a moment to say so, too.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What is to be made.
#[derive(Debug)]
pub(crate) struct NewContainer {
    /// Its id.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// What is to be mounted at its rootfs.
    pub(crate) rootfs: Vec<Mount>,
    /// The first process's streams.
    pub(crate) stdio: Request,
    /// How the runtime is to be called.
    pub(crate) options: Options,
}

/// A container that the runtime has made.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its id.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    pub(super) context: ShimContext,
    pub(super) maker: RunMaker,
    pub(super) execs: Mutex<BTreeMap<String, Arc<Process>>>,
    /// Whether its processes outlive the first one, which has no pid namespace of its own.
    pub(super) shares_pids: bool,
    run: Mutex<Arc<Run>>,
    /// What is done for it without being asked, if its manager is one that leaves that to its shims.
    pub(super) keeper: Option<Keeper>,
    /// Attach sockets of earlier runs, whose clients still read.
    pub(super) lingering: Mutex<Vec<JoinHandle<()>>>,
}

impl Container {
    /// Makes the container, up to the point where its first process waits for [`Container::start`]. On an error nothing
    /// of it is left.
    pub(super) async fn create(new: NewContainer, context: ShimContext) -> Result<Arc<Self>, TaskError> {
        let NewContainer { id, bundle, rootfs, stdio, options } = new;
        options.keep(&bundle).map_err(|source| TaskError::Bundle("the runtime options", source))?;
        let shares_pids = config::shares_pids(&bundle)?;
        let runtime =
            Runtime::new(&options.invocation(&context.settings), &bundle, Arc::clone(&context.reaper));
        let (owner, flags) = (options.pipe_owner(), options.create_flags().collect());
        let keeper = context.settings.is_for_knarrd.then(|| Keeper::new(&bundle));
        let maker = RunMaker { id: id.clone(), runtime, owner, stdio, flags };
        let root = bundle.join("rootfs");
        mounts::mount_all(&rootfs, &root).map_err(TaskError::Mount)?;
        let (run, exit) = match maker.make(&context, &bundle).await {
            Ok(made) => made,
            Err(error) => {
                unmount(&root);
                return Err(error);
            }
        };
        let init = Arc::clone(&run.init);
        let container = Arc::new(Self {
            id,
            bundle,
            context,
            maker,
            execs: Mutex::default(),
            shares_pids,
            run: Mutex::new(Arc::new(run)),
            keeper,
            lingering: Mutex::default(),
        });
        container.tell_create(rootfs);
        container.supervise(init, exit);
        Ok(container)
    }

    /// Its run, which is over or not.
    pub(super) fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run.lock().expect("nothing panics under this lock"))
    }

    pub(super) fn set_run(&self, run: Arc<Run>) {
        *self.run.lock().expect("nothing panics under this lock") = run;
    }

    /// Its first process, of this run.
    pub(crate) fn init(&self) -> Arc<Process> {
        Arc::clone(&self.run().init)
    }

    /// Whether it has ended and is not about to be started again.
    pub(crate) fn is_over(&self) -> bool {
        let returns = self.keeper.as_ref().is_some_and(Keeper::is_waiting);
        self.init().state().status == Status::Stopped && !returns
    }

    fn tell_create(&self, rootfs: Vec<Mount>) {
        let Request { terminal, stdin, stdout, stderr } = self.maker.stdio.clone();
        let event = TaskCreate {
            container_id: self.id.clone(),
            bundle: self.bundle.to_string_lossy().into_owned(),
            rootfs,
            io: MessageField::some(TaskIO { stdin, stdout, stderr, terminal, ..TaskIO::default() }),
            pid: self.init().state().pid,
            ..TaskCreate::default()
        };
        self.context.publisher.publish("/tasks/create", &event);
    }

    /// Lets the first process run. Its pid.
    pub(super) async fn start(self: &Arc<Self>) -> Result<u32, TaskError> {
        let init = self.init();
        self.start_run(&init).await?;
        let pid = init.state().pid;
        let event = TaskStart { container_id: self.id.clone(), pid, ..TaskStart::default() };
        self.context.publisher.publish("/tasks/start", &event);
        Ok(pid)
    }

    /// Lets a run's first process go.
    pub(super) async fn start_run(self: &Arc<Self>, init: &Arc<Process>) -> Result<(), TaskError> {
        let _turn = init.turn().await;
        init.require(Status::Created, "start")?;
        if let Some(streams) = init.streams() {
            streams.starting();
        }
        if let Some(keeper) = &self.keeper {
            // Before it runs: should this shim die, a run that may have been is told.
            keeper.begin(init.state().pid);
        }
        self.call("start", &[]).await?;
        init.advance(Event::Started, "start")?;
        health::watch(self, init);
        Ok(())
    }

    /// Sends a signal to the first process, or to all.
    pub(super) async fn kill(&self, signal: u32, all: bool) -> Result<(), TaskError> {
        if self.init().state().exit.is_some() && !all {
            return Err(TaskError::Finished);
        }
        let number = signal.to_string();
        let flag = if all { Some("--all") } else { None };
        let arguments: Vec<&OsStr> =
            flag.into_iter().chain([self.id.as_str(), &number]).map(OsStr::new).collect();
        match self.maker.runtime.run("kill", &arguments, Streams::Collected).await {
            Ok(_) => Ok(()),
            // The runtime knows it by a file, which may be lost. The kernel knows better.
            Err(error) if error.is_gone() => self.signal_without_runtime(signal, all),
            Err(error) => Err(TaskError::Runtime(error)),
        }
    }

    fn signal_without_runtime(&self, number: u32, all: bool) -> Result<(), TaskError> {
        let named = i32::try_from(number).ok().and_then(Signal::from_named_raw);
        let signal = named.ok_or(TaskError::Signal(number))?;
        let run = self.run();
        let sent = run.init.signal(signal);
        if all && !run.own_cgroups.is_empty() {
            for (pid, _) in self.pids()? {
                let Ok(Some(stat)) = record::stat(pid) else { continue };
                if let Ok(Some(process)) = LiveProcess::open(stat.identity) {
                    process.signal(signal).map_err(|error| TaskError::Kill(errno_of(&error)))?;
                }
            }
        }
        sent
    }

    /// Freezes all of its processes.
    pub(super) async fn pause(&self) -> Result<(), TaskError> {
        let init = self.init();
        let _turn = init.turn().await;
        init.require(Status::Running, "pause")?;
        self.call("pause", &[]).await?;
        init.advance(Event::Frozen, "pause")?;
        let event = TaskPaused { container_id: self.id.clone(), ..TaskPaused::default() };
        self.context.publisher.publish("/tasks/paused", &event);
        Ok(())
    }

    /// Thaws them.
    pub(super) async fn resume(&self) -> Result<(), TaskError> {
        let init = self.init();
        let _turn = init.turn().await;
        init.require(Status::Paused, "resume")?;
        self.call("resume", &[]).await?;
        init.advance(Event::Thawed, "resume")?;
        let event = TaskResumed { container_id: self.id.clone(), ..TaskResumed::default() };
        self.context.publisher.publish("/tasks/resumed", &event);
        Ok(())
    }

    /// Changes its limits to `resources`, the runtime-spec's JSON.
    pub(super) async fn update(&self, resources: Vec<u8>) -> Result<(), TaskError> {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&resources)
            .map_err(|error| TaskError::Malformed("the resources", Some(error)))?;
        let arguments = ["--resources", "-", &self.id].map(OsStr::new);
        let updated = self.maker.runtime.run("update", &arguments, Streams::Input(resources)).await;
        updated.map(drop).map_err(TaskError::Runtime)
    }

    /// Its processes' pids, and the exec's id of those that are an exec's first.
    pub(super) fn pids(&self) -> Result<Vec<(u32, Option<String>)>, TaskError> {
        let execs: BTreeMap<u32, String> =
            self.execs().values().map(|exec| (exec.state().pid, exec.exec_id.clone())).collect();
        let pids = self.cgroup(&self.run())?.processes().map_err(TaskError::Cgroup)?;
        Ok(pids.into_iter().map(|pid| (pid, execs.get(&pid).cloned())).collect())
    }

    /// What it uses.
    pub(super) fn metrics(&self) -> Result<Any, TaskError> {
        self.cgroup(&self.run())?.metrics().map_err(TaskError::Cgroup)
    }

    /// Removes an ended (or never started) container. What is returned ends when its streams' clients have read all.
    pub(super) async fn delete(&self) -> Result<(Exit, Vec<JoinHandle<()>>), TaskError> {
        // No other run begins from here on.
        let _turn = match &self.keeper {
            Some(keeper) => Some(keeper.give_up().await),
            None => None,
        };
        let run = self.run();
        let status = run.init.state().status;
        let force: &[&str] = match status {
            Status::Stopped => &[],
            Status::Creating | Status::Created => &["--force"],
            Status::Running | Status::Paused => {
                return Err(TaskError::State { operation: "delete", status });
            }
        };
        self.delete_run(&run, force).await?;
        let exit = timeout(END_LIMIT, run.init.exit()).await;
        let exit = exit.map_err(|_| TaskError::Immortal(run.init.state().pid))?;
        // Execs have ended with it, whether or not they have been deleted.
        let execs: Vec<_> = self.execs().values().cloned().collect();
        let mut lingering =
            std::mem::take(&mut *self.lingering.lock().expect("nothing panics under this lock"));
        for process in std::iter::once(&run.init).chain(&execs) {
            lingering.extend(process.close_streams().await);
        }
        // By the server's own directory as well, which goes along when the bundle is moved.
        for rootfs in [&self.bundle.join("rootfs"), Path::new("rootfs")] {
            mounts::unmount_all(rootfs).map_err(TaskError::Mount)?;
        }
        Ok((exit, lingering))
    }

    /// Has the runtime forget a run that has ended.
    pub(super) async fn delete_run(&self, run: &Run, force: &[&str]) -> Result<(), TaskError> {
        match self.call("delete", force).await {
            Err(TaskError::Runtime(error)) if error.is_gone() => self.end_without_runtime(run).await?,
            other => other?,
        }
        if let Some(oom) = &run.oom {
            oom.stop();
        }
        Ok(())
    }

    /// Ends what the runtime no longer knows: its state has been lost. What has ended already takes no time.
    async fn end_without_runtime(&self, run: &Run) -> Result<(), TaskError> {
        if let Err(error @ TaskError::Kill(_)) = run.init.signal(Signal::KILL) {
            return Err(error);
        }
        let (cgroups, since) = (run.own_cgroups.clone(), run.init.start_time());
        let ended = tokio::task::spawn_blocking(move || own::end(&cgroups, since)).await;
        ended.expect("it does not panic and is not aborted").map_err(TaskError::Leftover)
    }

    /// Makes the attach sockets anew whose names are gone.
    pub(super) fn renew_sockets(&self) -> io::Result<()> {
        let (init, execs): (_, Vec<_>) = (self.init(), self.execs().values().cloned().collect());
        let all = std::iter::once(&init).chain(&execs).filter_map(|process| process.streams());
        let mut renewed = Ok(());
        for streams in all {
            renewed = renewed.and(streams.renew_socket());
        }
        renewed
    }

    /// The process of this exec id; the empty one is the first process's.
    pub(super) fn process(&self, exec_id: &str) -> Result<Arc<Process>, TaskError> {
        if exec_id.is_empty() {
            return Ok(self.init());
        }
        self.execs().get(exec_id).cloned().ok_or_else(|| TaskError::NoProcess(exec_id.to_owned()))
    }

    pub(super) fn execs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.execs.lock().expect("nothing panics under this lock")
    }

    fn cgroup<'a>(&self, run: &'a Run) -> Result<&'a Cgroup, TaskError> {
        let pid = run.init.state().pid;
        let gone = || CgroupError::Find { pid, source: io::ErrorKind::NotFound.into() };
        run.cgroup.as_ref().ok_or_else(|| TaskError::Cgroup(gone()))
    }

    async fn call(&self, operation: &'static str, flags: &[&str]) -> Result<(), TaskError> {
        let arguments: Vec<&OsStr> =
            flags.iter().copied().chain([self.id.as_str()]).map(OsStr::new).collect();
        let called = self.maker.runtime.run(operation, &arguments, Streams::Collected).await;
        called.map(drop).map_err(TaskError::Runtime)
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// After a failure, whose error is the one to tell.
fn unmount(rootfs: &Path) {
    if let Err(error) = mounts::unmount_all(rootfs) {
        journal::warn(&chain(&error));
    }
}
