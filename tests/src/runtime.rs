//! OCI runtimes driven by runc's command line: ours, and runc and crun to compare with. Each has its own `--root` in the
//! test's scratch directory, so that nobody's containers are touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bundle::Bundle;
use crate::process::{self, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// Takes the (nearly controller-less) cgroup2 of a hybrid machine out of the runtime's view: crun refuses hybrid.
const PRIVATE_VIEW: &str = "umount /sys/fs/cgroup/unified 2>/dev/null; true";

/// A runtime and the directory that it keeps its state in.
#[derive(Debug)]
pub struct Runtime<'a> {
    scratch: &'a Scratch,
    program: PathBuf,
    root: PathBuf,
    has_private_view: bool,
}

impl<'a> Runtime<'a> {
    /// knarr-runtime, or what `RUNTIME` names: the suites in spec/ and runtime/ can be run on runc and crun as well.
    #[must_use]
    pub fn new(scratch: &'a Scratch) -> Self {
        match std::env::var_os("RUNTIME") {
            Some(name) => Self::other(scratch, &name.to_string_lossy()),
            None => Self::at(scratch, programs::ours("knarr-runtime")),
        }
    }

    /// A runtime from the machine, by name or path, as `require!(tool(name))` has found it.
    #[must_use]
    pub fn other(scratch: &'a Scratch, name: &str) -> Self {
        let program = if name.contains('/') { PathBuf::from(name) } else { programs::tool(name) };
        let is_crun = program.ends_with("crun");
        let mut runtime = Self::at(scratch, program);
        runtime.has_private_view = is_crun;
        runtime
    }

    /// The runtime at this path.
    #[must_use]
    pub fn at(scratch: &'a Scratch, program: PathBuf) -> Self {
        let name = program.file_name().expect("a program has a name").to_string_lossy().into_owned();
        let root = scratch.directory(format!("root-{name}"));
        Self { scratch, program, root, has_private_view: false }
    }

    /// Where it keeps its state (`--root`).
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Gives it the same view of cgroups as crun needs; for races that have to be fair.
    #[must_use]
    pub fn with_private_view(mut self) -> Self {
        self.has_private_view = true;
        self
    }

    /// Runs it without a private view, crun too: for callers that are in one already.
    #[must_use]
    pub fn as_is(mut self) -> Self {
        self.has_private_view = false;
        self
    }

    /// Has it keep its state below this directory.
    #[must_use]
    pub fn below(mut self, directory: &Path) -> Self {
        self.root = directory.join(self.root.file_name().expect("a root has a name"));
        self
    }

    /// `RUNTIME --root … ARGS`, not run yet.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = if self.has_private_view {
            self.scratch.with_mounts(PRIVATE_VIEW, Path::new("/"), &self.program)
        } else {
            self.scratch.command(&self.program)
        };
        command.arg("--root").arg(&self.root).args(args);
        command
    }

    /// Runs one of its commands to the end.
    #[track_caller]
    pub fn call<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.finish(&mut self.command(args))
    }

    /// Runs a command of this runtime to the end, without input. crun 1.8.1 gives stdin to the root of the container's user
    /// namespace: it must not be the host's /dev/null.
    #[track_caller]
    pub fn finish(&self, command: &mut Command) -> Outcome {
        match self.program.ends_with("crun") {
            true => process::run_with_input(command, b""),
            false => process::run(command),
        }
    }

    /// `run` in the foreground.
    #[track_caller]
    pub fn run(&self, bundle: &Bundle) -> Outcome {
        self.finish(&mut self.verb("run", bundle))
    }

    /// `create`, which must succeed; the container is force-deleted when the returned guard goes.
    #[track_caller]
    pub fn create(&'a self, bundle: &Bundle) -> Container<'a> {
        let guard = self.guard(bundle);
        self.finish(&mut self.verb("create", bundle)).success();
        guard
    }

    /// Deletes the bundle's container by force when it goes, for those who start it themselves.
    #[must_use]
    pub fn guard(&'a self, bundle: &Bundle) -> Container<'a> {
        Container { runtime: self, id: bundle.id().to_owned() }
    }

    /// `run --detach`, which must succeed; guarded as by [`Self::create`].
    #[track_caller]
    pub fn run_detached(&'a self, bundle: &Bundle) -> Container<'a> {
        let guard = self.guard(bundle);
        // Flags come first: crun takes none behind the id.
        let mut command = self.command(["run", "--detach", "--bundle"]);
        self.finish(command.arg(bundle.path()).arg(bundle.id())).success();
        guard
    }

    /// `VERB --bundle … ID`, not run yet.
    #[must_use]
    pub fn verb(&self, verb: &str, bundle: &Bundle) -> Command {
        let mut command = self.command([verb, "--bundle"]);
        command.arg(bundle.path()).arg(bundle.id());
        command
    }

    /// `state`, parsed; `None` when the runtime knows no such container.
    #[must_use]
    #[track_caller]
    pub fn state(&self, id: &str) -> Option<Value> {
        let outcome = self.call(["state", id]);
        if !outcome.status.success() {
            return None;
        }
        Some(serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}")))
    }
}

/// A created container, force-deleted when it goes out of scope.
#[derive(Debug)]
pub struct Container<'a> {
    runtime: &'a Runtime<'a>,
    id: String,
}

impl Container<'_> {
    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `start`.
    #[track_caller]
    pub fn start(&self) -> Outcome {
        self.runtime.call(["start", &self.id])
    }

    /// `exec ID ARGS`.
    #[track_caller]
    pub fn exec<'b>(&'b self, args: impl IntoIterator<Item = &'b str>) -> Outcome {
        self.runtime.call(["exec", &self.id].into_iter().chain(args))
    }

    /// `kill ID SIGNAL`.
    #[track_caller]
    pub fn kill(&self, signal: &str) -> Outcome {
        self.runtime.call(["kill", &self.id, signal])
    }

    /// `delete`, without force.
    #[track_caller]
    pub fn delete(&self) -> Outcome {
        self.runtime.call(["delete", &self.id])
    }

    /// `state`'s status; "gone" when there is none.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> String {
        let state = self.runtime.state(&self.id);
        state.map_or_else(|| "gone".to_owned(), |state| state["status"].as_str().unwrap_or("").to_owned())
    }

    /// The init process' pid on the host.
    ///
    /// # Panics
    /// When the container is gone.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let state = self.runtime.state(&self.id).expect("the container is there");
        i32::try_from(state["pid"].as_i64().expect("state has a pid")).expect("a pid is small")
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // After a panic the scratch directory cleans up: a runtime that hangs here as well would end all other tests, too.
        if !std::thread::panicking() {
            drop(process::run(&mut self.runtime.command(["delete", "--force", &self.id])));
        }
    }
}
