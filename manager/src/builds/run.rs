//! RUN: one process on the stage's files.

use knarr_proto::frame::Stream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::dockerfile::heredoc;
use super::dockerfile::instruction::{Command, Instruction, Run};
use super::error::BuildError;
use super::key::Key;
use super::mounts::Mounted;
use super::request::Progress;
use super::solve::Build;
use super::state::State;
use super::step::Step;
use super::stubs;
use crate::snapshots::Snapshots;
use crate::tasks::TaskError;
use crate::tasks::plan::{
    Files, Isolation, Joined, LogChoice, NetworkMode, Placement, Process, Sharing, Streams, TaskPlan,
};
use crate::tasks::streams::Piece;

/// Pieces of output under way.
const UNDER_WAY: usize = 64;

/// A command, ready to run.
struct Prepared {
    args: Vec<String>,
    /// What ran, for people.
    shown: String,
    /// A heredoc that is a program of its own.
    script: Option<(String, String)>,
}

impl Build<'_> {
    /// Carries out RUN.
    pub(super) async fn run(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        run: &Run,
        stage: usize,
    ) -> Result<(), BuildError> {
        if run.security.as_deref() == Some("insecure") {
            return Err(self.refused(instruction, "RUN --security=insecure is not allowed"));
        }
        let network = network(&self.request.network, run).map_err(|what| self.refused(instruction, what))?;
        let mounts = self.read_mounts(state, instruction, run)?;
        let prepared = prepared(state, run);
        let mut key = Key::new("run");
        key.add(state.chain_id.as_ref().map_or("", |id| id.as_str())).add_all(&prepared.args);
        if let Some((name, script)) = &prepared.script {
            key.add(name).add(script);
        }
        let config = &state.document.config;
        key.add_all(&state.environment()).add(&config.user).add(&config.working_dir);
        key.add(format!("{network:?}")).add(self.request.shm_size_bytes.to_le_bytes());
        let ulimits = self.request.ulimits.iter().map(|limit| format!("{limit:?}")).collect::<Vec<_>>();
        key.add_all(&ulimits);
        self.add_mounts(&mut key, &mounts, stage).await?;
        let key = key.finish();
        if let Some(step) = self.begin(state, key).await? {
            let ran = self.run_on(&step, state, (&prepared, network), (&mounts, stage)).await;
            self.finish(step, ran, state, &instruction.text).await?;
        }
        let args = match state.args.len() {
            0 => String::new(),
            count => format!("|{count} {} ", state.args.join(" ")),
        };
        state.remember(format!("RUN {args}{} # buildkit", prepared.shown), false);
        Ok(())
    }

    async fn run_on(
        &mut self,
        step: &Step,
        state: &State,
        (prepared, network): (&Prepared, NetworkMode),
        (mounts, stage): (&[super::dockerfile::mount::Mount], usize),
    ) -> Result<(), BuildError> {
        let mut mounted = self.mount(step, state, mounts, stage).await?;
        if let Some((name, script)) = &prepared.script {
            mounted.script(&self.place, &step.id, name, script).await?;
        }
        let before = stubs_before(self.parts().snapshots.clone(), state, &mounted).await?;
        let exit = self.process(step, state, (prepared, network), &mounted).await?;
        let (upper, is_layered) = (step.layout.upper(), self.parts().snapshots.is_layered());
        spawn_blocking(move || stubs::clear(&upper, is_layered, before)).await??;
        match exit {
            0 => Ok(()),
            code => Err(BuildError::Exit { command: prepared.shown.clone(), code }),
        }
    }

    async fn process(
        &self,
        step: &Step,
        state: &State,
        (prepared, network): (&Prepared, NetworkMode),
        mounted: &Mounted,
    ) -> Result<u32, BuildError> {
        let config = &state.document.config;
        let working_dir = match config.working_dir.as_str() {
            "" => "/".to_owned(),
            named => named.to_owned(),
        };
        let mut env = state.environment();
        env.extend(state.proxies(&self.arguments));
        env.extend(mounted.env.iter().cloned());
        let plan = TaskPlan {
            id: step.id.clone(),
            process: Process {
                args: prepared.args.clone(),
                env,
                working_dir,
                user: config.user.clone(),
                ..Process::default()
            },
            streams: Streams { log: LogChoice::None, ..Streams::default() },
            files: Files {
                shm_size_bytes: self.request.shm_size_bytes,
                mounts: mounted.mounts.clone(),
                ..Files::default()
            },
            isolation: Isolation {
                sharing: Sharing { network, ..Sharing::default() },
                ulimits: self.request.ulimits.clone(),
                placement: Placement {
                    cgroup_parent: self.request.cgroup_parent.clone(),
                    ..Placement::default()
                },
                ..Isolation::default()
            },
            resources: self.request.resources.clone(),
            joined: Joined::default(),
            volumes: Default::default(),
            place: None,
        };
        self.tell(Progress::Running { id: step.id.to_string() }).await;
        let (sender, mut pieces) = mpsc::channel(UNDER_WAY);
        let parts = self.parts();
        let running = parts.tasks.run_once(plan, &parts.snapshots, sender, self.cancelled);
        let telling = async {
            while let Some(piece) = pieces.recv().await {
                match piece {
                    Piece::Output { stream, data } => self.tell(Progress::Output { stream, data }).await,
                    Piece::Dropped { bytes } => {
                        let data = format!("[{bytes} bytes of output were left out]\n").into_bytes();
                        self.tell(Progress::Output { stream: Stream::Stderr, data }).await;
                    }
                }
            }
        };
        match tokio::join!(running, telling).0 {
            Ok(exit) => Ok(exit.code),
            Err(TaskError::Cancelled) => Err(BuildError::Cancelled),
            Err(error) => Err(error.into()),
        }
    }
}

/// The network of a command, or why it cannot be.
fn network(default: &str, run: &Run) -> Result<NetworkMode, String> {
    match run.network.as_deref() {
        None | Some("default") => match default {
            "none" => Ok(NetworkMode::None),
            "" | "default" | "host" => Ok(NetworkMode::Host),
            other => Err(format!("the network mode {other:?} is not supported by builds")),
        },
        Some("none") => Ok(NetworkMode::None),
        Some(_) => Ok(NetworkMode::Host),
    }
}

async fn stubs_before(
    snapshots: Snapshots,
    state: &State,
    mounted: &Mounted,
) -> Result<stubs::Before, BuildError> {
    let (below, targets) = (state.chain_id.clone(), mounted.targets());
    let looked = move || {
        let root = below.map(|chain_id| snapshots.view(chain_id.as_str())).transpose()?;
        stubs::look(root.as_ref(), targets).map_err(BuildError::from)
    };
    spawn_blocking(looked).await?
}

/// A command's words, with its heredocs where a shell finds them.
fn prepared(state: &State, run: &Run) -> Prepared {
    let shown = match &run.command {
        Command::Shell(text) => [state.shell(), vec![text.clone()]].concat().join(" "),
        Command::Exec(words) => words.join(" "),
    };
    let (Command::Shell(line), Some(first)) = (&run.command, run.heredocs.first()) else {
        return Prepared { args: state.words(&run.command), shown, script: None };
    };
    let is_alone = heredoc(line.trim()).is_some();
    if is_alone && first.body.starts_with("#!") {
        let args = vec![format!("/dev/pipes/{}", first.name)];
        return Prepared { args, shown, script: Some((first.name.clone(), first.body.clone())) };
    }
    let text = match is_alone {
        true => first.body.clone(),
        false => {
            let bodies = run.heredocs.iter().map(|one| format!("\n{}{}", one.body, one.name));
            std::iter::once(line.clone()).chain(bodies).collect()
        }
    };
    Prepared { args: state.words(&Command::Shell(text)), shown, script: None }
}
