//! containerd-shim-knarr-v2 driven as knarrd drives it: `start` in a bundle, then its task service over ttrpc. What is
//! left of it is killed, deleted and shut down when it goes out of scope.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::ttrpc::context::{Context, with_duration};
use containerd_shim_protos::ttrpc::{self, Code};
use containerd_shim_protos::{Client, TaskClient, api, types};
use rustix::process::Pid;

use crate::bundle::Bundle;
use crate::process::{self, DEADLINE, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// Where a process's streams are to go.
#[derive(Clone, Debug, Default)]
pub struct Stdio {
    /// A URI or path; empty for none.
    pub stdin: String,
    /// Likewise.
    pub stdout: String,
    /// Likewise.
    pub stderr: String,
    /// One stream, a terminal.
    pub terminal: bool,
}

impl Stdio {
    /// Output into one file each, below `directory`; no input.
    #[must_use]
    pub fn files(directory: &Path) -> Self {
        let file = |name: &str| format!("file://{}", directory.join(name).display());
        Self { stdout: file("out"), stderr: file("err"), ..Self::default() }
    }

    /// All streams at one URI.
    #[must_use]
    pub fn all(uri: &str) -> Self {
        Self { stdin: uri.into(), stdout: uri.into(), stderr: uri.into(), terminal: false }
    }

    /// A terminal at one URI.
    #[must_use]
    pub fn terminal(uri: &str) -> Self {
        Self { stdin: uri.into(), stdout: uri.into(), stderr: String::new(), terminal: true }
    }
}

/// A running shim.
pub struct Shim<'a> {
    scratch: &'a Scratch,
    bundle: PathBuf,
    id: String,
    environment: Vec<(String, PathBuf)>,
    /// The task service.
    pub task: TaskClient,
    pid: Pid,
    is_forgotten: bool,
}

impl<'a> Shim<'a> {
    /// Starts the bundle's shim and connects to it.
    #[must_use]
    #[track_caller]
    pub fn start(scratch: &'a Scratch, bundle: &Bundle) -> Self {
        Self::start_with(scratch, bundle, &[])
    }

    /// As [`Self::start`], with more environment.
    ///
    /// # Panics
    /// When it does not start or can't be reached.
    #[must_use]
    #[track_caller]
    pub fn start_with(scratch: &'a Scratch, bundle: &Bundle, environment: &[(&str, &Path)]) -> Self {
        let told = process::run(&mut action(scratch, bundle, environment, "start")).success().stdout;
        let socket = socket_of(scratch, bundle);
        assert_eq!(told, format!("unix://{}", socket.display()), "the address, for containerd 1.x");
        Self::connect(scratch, bundle, environment).expect("the shim answers")
    }

    /// Connects to the bundle's shim, which runs.
    ///
    /// # Errors
    /// When none answers.
    pub fn connect(
        scratch: &'a Scratch,
        bundle: &Bundle,
        environment: &[(&str, &Path)],
    ) -> ttrpc::Result<Self> {
        let socket = socket_of(scratch, bundle);
        let task = TaskClient::new(Client::connect(&format!("unix://{}", socket.display()))?);
        let (bundle, id) = (bundle.path().to_owned(), bundle.id().to_owned());
        let request = api::ConnectRequest { id: id.clone(), ..Default::default() };
        let connected = task.connect(limit(), &request)?;
        let pid = Pid::from_raw(connected.shim_pid.cast_signed()).expect("a shim has a pid");
        let environment = variables(environment, &socket);
        Ok(Self { scratch, bundle, id, environment, task, pid, is_forgotten: false })
    }

    /// Closes the connection and ends nothing: the shim is dead, or the test ends it by other means.
    pub fn forget(mut self) {
        self.is_forgotten = true;
    }

    /// The server's pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The server's socket.
    ///
    /// # Panics
    /// Never: it is always in the environment.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.environment.last().expect("put there at the start").1
    }

    /// Runs the program with an action, `delete` or `start`, as knarrd would.
    #[track_caller]
    pub fn act(&self, action: &str) -> Outcome {
        process::run(&mut call(self.scratch, &self.bundle, &self.id, &self.environment, action))
    }

    /// As [`Self::act`], which must succeed: the bytes that it printed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    #[track_caller]
    pub fn act_raw(&self, action: &str) -> Vec<u8> {
        let mut command = call(self.scratch, &self.bundle, &self.id, &self.environment, action);
        let printed = self.scratch.join("printed");
        command.stdin(std::process::Stdio::null()).stdout(File::create(&printed).expect("a file"));
        assert!(process::run_as_it_is(&mut command).success(), "{action} failed");
        fs::read(&printed).expect("a file")
    }

    /// Create, by these runtime options. The pid.
    ///
    /// # Errors
    /// The service's.
    pub fn create_by(&self, stdio: Stdio, options: Option<Any>) -> ttrpc::Result<u32> {
        let request = api::CreateTaskRequest {
            id: self.id.clone(),
            bundle: self.bundle.display().to_string(),
            terminal: stdio.terminal,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            options: options.into(),
            ..Default::default()
        };
        self.task.create(limit(), &request).map(|reply| reply.pid)
    }

    /// Create and Start. The pid.
    ///
    /// # Panics
    /// When one of them fails.
    #[track_caller]
    pub fn run(&self, stdio: Stdio) -> u32 {
        self.create_by(stdio, None).expect("created");
        self.begin("").expect("started")
    }

    /// Start, of the container or an exec. The pid.
    ///
    /// # Errors
    /// The service's.
    pub fn begin(&self, exec_id: &str) -> ttrpc::Result<u32> {
        let request =
            api::StartRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        self.task.start(limit(), &request).map(|reply| reply.pid)
    }

    /// Exec, of `sh -c SCRIPT`.
    ///
    /// # Errors
    /// The service's.
    pub fn exec(&self, exec_id: &str, script: &str, stdio: Stdio) -> ttrpc::Result<()> {
        self.exec_args(exec_id, &["sh", "-c", script], stdio)
    }

    /// Exec, of any program.
    ///
    /// # Errors
    /// The service's.
    pub fn exec_args(&self, exec_id: &str, args: &[&str], stdio: Stdio) -> ttrpc::Result<()> {
        let process = serde_json::json!({
            "args": args, "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
        });
        let spec = Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
            value: process.to_string().into_bytes(),
            ..Any::default()
        };
        let request = api::ExecProcessRequest {
            id: self.id.clone(),
            exec_id: exec_id.to_owned(),
            terminal: stdio.terminal,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            spec: MessageField::some(spec),
            ..Default::default()
        };
        self.task.exec(limit(), &request).map(drop)
    }

    /// Wait. The exit status.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn wait(&self, exec_id: &str) -> u32 {
        self.try_wait(exec_id).expect("the process ends")
    }

    /// Wait. The exit status.
    ///
    /// # Errors
    /// The service's.
    pub fn try_wait(&self, exec_id: &str) -> ttrpc::Result<u32> {
        let request =
            api::WaitRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        self.task.wait(limit(), &request).map(|reply| reply.exit_status)
    }

    /// State's status.
    ///
    /// # Errors
    /// The service's.
    pub fn status(&self, exec_id: &str) -> ttrpc::Result<types::task::Status> {
        let request =
            api::StateRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        self.task.state(limit(), &request).map(|reply| reply.status.enum_value_or_default())
    }

    /// Kill.
    ///
    /// # Errors
    /// The service's.
    pub fn kill(&self, exec_id: &str, signal: u32) -> ttrpc::Result<()> {
        let (id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let request = api::KillRequest { id, exec_id, signal, ..Default::default() };
        self.task.kill(limit(), &request).map(drop)
    }

    /// CloseIO.
    ///
    /// # Errors
    /// The service's.
    pub fn close_stdin(&self, exec_id: &str) -> ttrpc::Result<()> {
        let (id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let request = api::CloseIORequest { id, exec_id, stdin: true, ..Default::default() };
        self.task.close_io(limit(), &request).map(drop)
    }

    /// ResizePty.
    ///
    /// # Errors
    /// The service's.
    pub fn resize(&self, exec_id: &str, width: u32, height: u32) -> ttrpc::Result<()> {
        let (id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let request = api::ResizePtyRequest { id, exec_id, width, height, ..Default::default() };
        self.task.resize_pty(limit(), &request).map(drop)
    }

    /// Delete. The exit status.
    ///
    /// # Errors
    /// The service's.
    pub fn delete(&self, exec_id: &str) -> ttrpc::Result<u32> {
        let request =
            api::DeleteRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        self.task.delete(limit(), &request).map(|reply| reply.exit_status)
    }

    /// Shutdown.
    ///
    /// # Errors
    /// The service's.
    pub fn shut_down(&self) -> ttrpc::Result<()> {
        let request = api::ShutdownRequest { id: self.id.clone(), ..Default::default() };
        self.task.shutdown(limit(), &request).map(drop)
    }
}

impl Drop for Shim<'_> {
    fn drop(&mut self) {
        if self.is_forgotten || UnixStream::connect(self.socket()).is_err() {
            return;
        }
        // Whatever fails here shows as a leftover of the scratch directory.
        if self.kill("", 9).is_ok() {
            self.wait("");
        }
        self.delete("").ok();
        self.shut_down().ok();
    }
}

/// How long the shim may take for anything.
#[must_use]
pub fn limit() -> Context {
    with_duration(DEADLINE)
}

/// As [`limit`], for something that takes its time.
#[must_use]
pub fn limit_of(seconds: u64) -> Context {
    with_duration(Duration::from_secs(seconds))
}

/// runc's options for a create, with another runtime's program.
///
/// # Panics
/// Never: the message has no required fields.
#[must_use]
pub fn by_program(program: &Path) -> Any {
    let options = containerd_shim_protos::shim::oci::Options {
        binary_name: program.display().to_string(),
        ..Default::default()
    };
    Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: options.write_to_bytes().expect("there are no required fields"),
        ..Any::default()
    }
}

/// The code and the text of a refusal.
///
/// # Panics
/// When it was none.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> (Code, String) {
    match result {
        Err(ttrpc::Error::RpcStatus(status)) => (status.code(), status.message().to_owned()),
        other => panic!("not refused: {other:?}"),
    }
}

/// The program with an action for a bundle (`start`, `delete`, `serve`), not run yet, as knarrd calls it.
#[must_use]
pub fn action(scratch: &Scratch, bundle: &Bundle, environment: &[(&str, &Path)], action: &str) -> Command {
    let environment = variables(environment, &socket_of(scratch, bundle));
    call(scratch, bundle.path(), bundle.id(), &environment, action)
}

/// Where a bundle's shim has its socket.
#[must_use]
pub fn socket_of(scratch: &Scratch, bundle: &Bundle) -> PathBuf {
    scratch.directory("state/shims").join(format!("{}.sock", bundle.id()))
}

fn variables(environment: &[(&str, &Path)], socket: &Path) -> Vec<(String, PathBuf)> {
    let own = |(key, value): &(&str, &Path)| ((*key).to_owned(), (*value).to_owned());
    let mut all: Vec<_> = environment.iter().map(own).collect();
    all.push(("KNARR_SHIM_SOCKET".to_owned(), socket.to_owned()));
    all
}

fn call(
    scratch: &Scratch,
    bundle: &Path,
    id: &str,
    environment: &[(String, PathBuf)],
    action: &str,
) -> Command {
    let mut command = scratch.command(programs::ours("containerd-shim-knarr-v2"));
    command.args(["-namespace", "test", "-id", id, "-address", "", "-publish-binary", "", "-bundle"]);
    // As containerd calls it; of one that is gone knarrd calls it, from the root.
    command.arg(bundle).arg(action).current_dir(if bundle.is_dir() { bundle } else { Path::new("/") });
    command.envs(environment.iter().map(|(key, value)| (key, value)));
    command
}
