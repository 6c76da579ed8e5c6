//! One more process in a running container, in the calls that docker's clients make: create, start, inspect, resize. A
//! process is watched and cleaned up whether or not its client stays.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use knarr_proto::id::ContainerId;
use knarr_proto::stdio::KnarrStdio;
use oci_spec::runtime::Process as SpecProcess;
use tokio::net::UnixStream;

use super::container::Container;
use super::end::UNSEEN;
use super::error::{self, ContainerError};
use super::execs::{Exec, ExecOptions, ExecState};
use super::handle::Containers;
use super::life::Exit;
use super::name;
use super::process::{InvalidProcess, overlay};
use super::session::{AttachOptions, Ending, Session, halves};
use super::start::exit_code;
use crate::error::Chain;
use crate::files::failed;
use crate::tasks;
use crate::tasks::plan::TerminalSize;
use crate::tasks::shims::{ExecTask, Task, TaskStdio};
use crate::tasks::spec::{self, key};
use crate::tasks::user::{self, Account};
use crate::time::UnixNs;
use crate::untrusted::UntrustedRoot;

/// What is refused of a container that does not run, for "cannot …".
const EXEC: &str = "run a command in";

/// How an exec is started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExecStart {
    /// Its output is discarded.
    pub(crate) detach: bool,
    pub(crate) terminal_size: Option<TerminalSize>,
}

/// An exec as seen from outside.
pub(crate) struct ExecView {
    pub(crate) id: String,
    pub(crate) container: String,
    pub(crate) options: ExecOptions,
    pub(crate) state: ExecState,
}

/// Makes an exec in a running container; nothing runs yet. Returns its id.
///
/// # Errors
/// [`ContainerError::NotRunning`], [`ContainerError::TooManyExecs`], or what is wrong with the request.
pub(crate) fn create(
    containers: &Containers,
    text: &str,
    options: ExecOptions,
) -> Result<String, ContainerError> {
    let container = containers.registry.find(text)?;
    container.running_task(EXEC)?;
    if options.args.first().is_none_or(String::is_empty) {
        return Err(InvalidProcess::NoCommand.into());
    }
    if !options.working_dir.is_empty() && !options.working_dir.starts_with('/') {
        return Err(InvalidProcess::WorkingDir(options.working_dir).into());
    }
    overlay(&mut Vec::new(), &options.env)?;
    let id = name::new_id().to_string();
    let command = options.args.join(" ");
    let exec = Arc::new(Exec::new(id.clone(), Arc::clone(&container), options));
    containers.execs.add(exec, Instant::now())?;
    containers.records.publish(&container, "exec_create", &[("execID", id.clone()), ("command", command)]);
    Ok(id)
}

/// Whether an exec may be started now; whatever its start says later comes when its client has begun to listen.
///
/// # Errors
/// [`ContainerError::NoExec`], [`ContainerError::ExecStarted`], [`ContainerError::NotRunning`].
pub(crate) fn check_start(containers: &Containers, id: &str) -> Result<(), ContainerError> {
    let exec = find(containers, id)?;
    if exec.state() != ExecState::Created {
        return Err(ContainerError::ExecStarted(id.to_owned()));
    }
    exec.container.running_task(EXEC).map(drop)
}

/// Starts an exec, once, and joins its streams.
///
/// # Errors
/// [`ContainerError::ExecStarted`] for the second time, [`ContainerError::NotRunning`], [`ContainerError::Command`].
pub(crate) async fn start(
    containers: &Containers,
    id: &str,
    how: ExecStart,
) -> Result<Session, ContainerError> {
    let exec = find(containers, id)?;
    if !exec.take() {
        return Err(ContainerError::ExecStarted(id.to_owned()));
    }
    let this = containers.clone();
    containers.work.finish(async move { start_now(&this, &exec, how).await }).await
}

/// An exec at this moment; one that has ended is known for some minutes.
///
/// # Errors
/// [`ContainerError::NoExec`].
pub(crate) fn inspect(containers: &Containers, id: &str) -> Result<ExecView, ContainerError> {
    let exec = find(containers, id)?;
    Ok(ExecView {
        id: exec.id.clone(),
        container: exec.container.id().to_string(),
        options: exec.options.clone(),
        state: exec.state(),
    })
}

/// Sets the size of a running exec's terminal.
///
/// # Errors
/// [`ContainerError::ExecNotRunning`], [`ContainerError::NoTerminal`].
pub(crate) async fn resize(
    containers: &Containers,
    id: &str,
    size: TerminalSize,
) -> Result<(), ContainerError> {
    let exec = find(containers, id)?;
    if !matches!(exec.state(), ExecState::Running { .. }) {
        return Err(ContainerError::ExecNotRunning(exec.id.clone()));
    }
    if !exec.options.tty {
        return Err(ContainerError::NoTerminal(exec.id.clone()));
    }
    let task = exec.container.process_task()?;
    Ok(task.resize(&exec.id, size.columns, size.rows).await?)
}

/// The ids of a container's execs that have not ended.
pub(crate) fn ids(containers: &Containers, container: &ContainerId) -> Vec<String> {
    containers.execs.of_container(container)
}

fn find(containers: &Containers, id: &str) -> Result<Arc<Exec>, ContainerError> {
    let no_exec = || ContainerError::NoExec(id.chars().take(256).collect());
    containers.execs.find(id).ok_or_else(no_exec)
}

async fn start_now(
    containers: &Containers,
    exec: &Arc<Exec>,
    how: ExecStart,
) -> Result<Session, ContainerError> {
    let container = &exec.container;
    let started = match container.running_task(EXEC) {
        Ok(task) => start_in(containers, exec, task, how).await,
        Err(not_running) => Err(not_running),
    };
    started.map_err(|error| {
        exec.set(ExecState::Ended(Exit {
            code: exit_code(&error),
            finished_at: UnixNs::now(),
            oom_killed: false,
            error: Chain(&error).to_string(),
        }));
        // What fails because the container has ended or is being removed meanwhile is not the command's fault.
        container.running_task(EXEC).err().unwrap_or(error)
    })
}

async fn start_in(
    containers: &Containers,
    exec: &Arc<Exec>,
    task: Task,
    how: ExecStart,
) -> Result<Session, ContainerError> {
    let (container, options) = (&exec.container, &exec.options);
    let profile = containers.execution.tasks.profile(&container.task_plan().isolation).await?;
    let process = process(container, options, how, profile).await?;
    let process_json = serde_json::to_vec(&process).expect("a process of our own types is JSON");
    let socket = containers.execution.tasks.exec_socket(container.id(), &exec.id);
    let uri = match how.detach {
        true => String::new(),
        false => KnarrStdio { attach: socket.to_string_lossy().into_owned(), log: None }.to_uri(),
    };
    let stdin = options.stdin && !how.detach;
    let streams = TaskStdio { uri, stdin, terminal: options.tty };
    task.exec(ExecTask { exec_id: exec.id.clone(), process_json, streams }).await.map_err(error::of_start)?;
    let (pid, joined) = match start_joined(&task, &exec.id, (!how.detach).then_some(socket.as_path())).await {
        Ok(started) => started,
        Err(error) => {
            forget(&task, &exec.id).await;
            return Err(error);
        }
    };
    exec.set(ExecState::Running { pid });
    containers.records.publish(container, "exec_start", &[("execID", exec.id.clone())]);
    watch(containers, Arc::clone(exec), task.clone());
    let options = AttachOptions { stdin, stdout: true, stderr: true, start: false, logs: false };
    let (output, input) = halves(containers, container, joined, options);
    let input = input.of_exec(task, exec.id.clone());
    let ending = Ending::Exec(exec.state.subscribe());
    Ok(Session { pid, past: None, output, input, ending })
}

/// Waits for an exec's end, tells it, and lets the shim forget it.
fn watch(containers: &Containers, exec: Arc<Exec>, task: Task) {
    let (records, stopping) = (containers.records.clone(), containers.work.stopping());
    containers.work.spawn(async move {
        let ended = tokio::select! {
            ended = task.wait(&exec.id) => ended,
            () = stopping.cancelled() => return,
        };
        let (code, error) = match ended {
            Ok(exit) => (exit.code, String::new()),
            // Its container's shim has ended, and so has it.
            Err(error) => (UNSEEN, Chain(&error).to_string()),
        };
        exec.set(ExecState::Ended(Exit { code, finished_at: UnixNs::now(), oom_killed: false, error }));
        let attributes = [("execID", exec.id.clone()), ("exitCode", code.to_string())];
        records.publish(&exec.container, "exec_die", &attributes);
        forget(&task, &exec.id).await;
    });
}

/// The process as the runtime-spec writes it. Its user is looked up in the container's own files.
async fn process(
    container: &Container,
    options: &ExecOptions,
    how: ExecStart,
    profile: Option<&str>,
) -> Result<SpecProcess, ContainerError> {
    let plan = container.task_plan();
    let groups = plan.process.group_add.clone();
    let rootfs = container.bundle.join("rootfs");
    let user = if options.user.is_empty() { plan.process.user.clone() } else { options.user.clone() };
    let account = tokio::task::spawn_blocking(move || -> Result<Account, ContainerError> {
        let root = UntrustedRoot::open(&rootfs).map_err(failed("look into", rootfs))?;
        Ok(user::look_up(&root, &user, &groups)?)
    })
    .await??;
    let mut process = spec::first_process(&plan, &account, profile)?;
    let mut env = process.env().clone().unwrap_or_default();
    // Home is the exec's user's, unless the request or the image sets it.
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
    spec::set_size(&mut process, how.terminal_size.filter(|_| options.tty));
    if !options.working_dir.is_empty() {
        process.set_cwd(options.working_dir.clone().into());
    }
    if options.privileged {
        process.set_capabilities(Some(spec::capabilities::sets(spec::capabilities::all())));
    }
    Ok(process)
}

async fn start_joined(
    task: &Task,
    exec_id: &str,
    socket: Option<&Path>,
) -> Result<(u32, Option<UnixStream>), ContainerError> {
    let joined = match socket {
        Some(socket) => Some(tasks::connect(socket).await?),
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
