//! One more process in a running container. It is watched and cleaned up whether or not its client stays.

use std::sync::Arc;

use knarr_proto::stdio::KnarrStdio;
use oci_spec::runtime::Process as SpecProcess;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::attach::{AttachOptions, Ending, Session, halves};
use super::error::{self, ContainerError};
use super::life::Exit;
use super::process::{InvalidProcess, overlay};
use super::{Container, Containers, name};
use crate::error::Chain;
use crate::files::failed;
use crate::tasks::plan::TerminalSize;
use crate::tasks::shims::{ExecTask, Task, TaskStdio};
use crate::tasks::spec::{self, key};
use crate::tasks::user::{self, Account};
use crate::time::UnixNs;
use crate::untrusted::UntrustedRoot;

/// What is to run, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecOptions {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) privileged: bool,
    /// Nobody gets its output.
    pub(crate) detach: bool,
    pub(crate) terminal_size: Option<TerminalSize>,
}

impl Containers {
    /// Starts one more process and joins its streams.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`], [`ContainerError::Command`], or what is wrong with the request.
    pub(crate) async fn exec(&self, text: &str, options: ExecOptions) -> Result<Session, ContainerError> {
        let container = self.find(text)?;
        let this = self.clone();
        self.to_the_end(async move { this.exec_now(&container, options).await }).await
    }

    async fn exec_now(
        &self,
        container: &Arc<Container>,
        options: ExecOptions,
    ) -> Result<Session, ContainerError> {
        let task = container.running_task()?;
        let joined = self.exec_in(container, task, options).await;
        // What fails because the container has ended or is being removed meanwhile is not the command's fault.
        joined.map_err(|error| match container.running_task() {
            Ok(_) => error,
            Err(not_running) => not_running,
        })
    }

    async fn exec_in(
        &self,
        container: &Arc<Container>,
        task: Task,
        options: ExecOptions,
    ) -> Result<Session, ContainerError> {
        let process = self.exec_process(container, &options).await?;
        let process_json = serde_json::to_vec(&process).expect("a process of our own types is JSON");
        let exec_id = name::new_id().to_string();
        let socket = self.parts().tasks.exec_socket(container.id(), &exec_id);
        let uri = match options.detach {
            true => String::new(),
            false => KnarrStdio { attach: socket.to_string_lossy().into_owned(), log: None }.to_uri(),
        };
        let stdin = options.stdin && !options.detach;
        let streams = TaskStdio { uri, stdin, terminal: options.tty };
        let command = options.args.join(" ");
        self.publish(container, "exec_create", &[("execID", exec_id.clone()), ("command", command)]);
        task.exec(ExecTask { exec_id: exec_id.clone(), process_json, streams })
            .await
            .map_err(error::of_start)?;
        let started = start(&task, &exec_id, (!options.detach).then_some(socket.as_path())).await;
        let (pid, joined) = match started {
            Ok(started) => started,
            Err(error) => {
                forget(&task, &exec_id).await;
                return Err(error);
            }
        };
        self.publish(container, "exec_start", &[("execID", exec_id.clone())]);
        let exit = self.watch_exec(Arc::clone(container), task.clone(), exec_id.clone());
        let wanted = AttachOptions { stdin, stdout: true, stderr: true, start: false, logs: false };
        let (output, input) = halves(joined, wanted);
        let input = input.of_exec(task, exec_id.clone());
        Ok(Session { pid, exec_id, past: None, output, input, ending: Ending::Exec(exit) })
    }

    async fn exec_process(
        &self,
        container: &Container,
        options: &ExecOptions,
    ) -> Result<SpecProcess, ContainerError> {
        if options.args.first().is_none_or(String::is_empty) {
            return Err(InvalidProcess::NoCommand.into());
        }
        let plan = container.task_plan();
        let groups = plan.process.group_add.clone();
        let rootfs = container.bundle.join("rootfs");
        let user = if options.user.is_empty() { plan.process.user.clone() } else { options.user.clone() };
        let account = tokio::task::spawn_blocking(move || -> Result<Account, ContainerError> {
            let root = UntrustedRoot::open(&rootfs).map_err(failed("look into", rootfs))?;
            Ok(user::look_up(&root, &user, &groups)?)
        })
        .await??;
        let mut process = spec::first_process(&plan, &account)?;
        let mut env = process.env().clone().unwrap_or_default();
        // Home is the exec's user's, unless somebody said otherwise.
        if !plan.process.env.iter().any(|entry| key(entry) == "HOME") {
            env.retain(|entry| key(entry) != "HOME");
        }
        if options.tty && !env.iter().any(|entry| key(entry) == "TERM") {
            env.push("TERM=xterm".to_owned());
        }
        overlay(&mut env, &options.env)?;
        spec::set_home(&mut env, &account);
        process.set_env(Some(env));
        process.set_args(Some(options.args.clone()));
        process.set_terminal(Some(options.tty));
        process.set_console_size(None);
        spec::set_size(&mut process, options.terminal_size.filter(|_| options.tty));
        if !options.working_dir.is_empty() {
            if !options.working_dir.starts_with('/') {
                return Err(InvalidProcess::WorkingDir(options.working_dir.clone()).into());
            }
            process.set_cwd(options.working_dir.clone().into());
        }
        if options.privileged {
            process.set_capabilities(Some(spec::capabilities::sets(spec::capabilities::all())));
        }
        Ok(process)
    }

    /// Waits for an exec's end, tells it, and lets the shim forget it.
    fn watch_exec(
        &self,
        container: Arc<Container>,
        task: Task,
        exec_id: String,
    ) -> watch::Receiver<Option<Exit>> {
        let (sender, receiver) = watch::channel(None);
        let (this, stopping) = (self.clone(), self.shared.stopping.clone());
        self.shared.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = task.wait(&exec_id) => ended,
                () = stopping.cancelled() => return,
            };
            let exit = match ended {
                Ok(exit) => Exit {
                    code: exit.code,
                    finished_at: UnixNs::now(),
                    oom_killed: false,
                    error: String::new(),
                },
                // Its container's shim has ended, and so has it.
                Err(error) => {
                    let error = Chain(&error).to_string();
                    Exit { code: 137, finished_at: UnixNs::now(), oom_killed: false, error }
                }
            };
            let code = exit.code.to_string();
            sender.send_replace(Some(exit));
            this.publish(&container, "exec_die", &[("execID", exec_id.clone()), ("exitCode", code)]);
            forget(&task, &exec_id).await;
        });
        receiver
    }
}

async fn start(
    task: &Task,
    exec_id: &str,
    socket: Option<&std::path::Path>,
) -> Result<(u32, Option<UnixStream>), ContainerError> {
    let joined = match socket {
        Some(socket) => {
            let connected = UnixStream::connect(socket).await;
            Some(connected.map_err(|source| ContainerError::Streams { doing: "join", source })?)
        }
        None => None,
    };
    let pid = task.start(exec_id).await.map_err(error::of_start)?;
    Ok((pid, joined))
}

async fn forget(task: &Task, exec_id: &str) {
    match task.delete(exec_id).await {
        Err(error) if !error.is_not_found() => {
            tracing::debug!(exec = exec_id, error = %Chain(&error), "an exec was not deleted");
        }
        _ => {}
    }
}
