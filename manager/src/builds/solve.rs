//! Carrying out a plan: stage by stage, instruction by instruction, and the image at the end.

use std::collections::HashMap;
use std::path::Path;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::config::Document;
use super::context::{self, Workplace};
use super::dockerfile::expand::Variables;
use super::dockerfile::instruction::{Instruction, Kind};
use super::dockerfile::plan::{Base, Plan, Wishes};
use super::dockerfile::{self, DockerfileError};
use super::error::BuildError;
use super::key::Key;
use super::request::{BuildRequest, Progress};
use super::state::{Arguments, State, is_proxy};
use super::step::random_id;
use super::{BuildParts, ContextPieces, Shared, records};
use crate::collect::Lease;
use crate::error::Chain;
use crate::images::{self, Image, ImageError, NewImage, NewLayer, Platform, PullRequest};

/// Digits by which an image or a layer is known to people.
const SHORT_DIGITS: usize = 12;

/// One build: what all of its steps need.
pub(super) struct Build<'a> {
    pub(super) shared: &'a Shared,
    pub(super) request: BuildRequest,
    pub(super) place: Workplace,
    pub(super) plan: Plan,
    pub(super) arguments: Arguments,
    pub(super) lease: Lease,
    pub(super) cancelled: &'a CancellationToken,
    /// The latest time of anything in the image, in seconds since 1970.
    pub(super) epoch: Option<i64>,
    /// Stages that are done.
    pub(super) done: HashMap<usize, State>,
    /// Keys of steps that were done before.
    pub(super) used: Vec<String>,
    /// Keys of configurations that are new.
    configurations: Vec<String>,
    progress: mpsc::Sender<Progress>,
    /// What the file is called in messages.
    file: String,
    platform: Platform,
    step: usize,
    steps: usize,
}

/// Builds an image.
pub(super) async fn solve(
    shared: &Shared,
    request: BuildRequest,
    pieces: ContextPieces,
    progress: mpsc::Sender<Progress>,
    cancelled: CancellationToken,
) -> Result<Image, BuildError> {
    let references = request.tags.iter().map(|tag| images::Images::full_reference(tag));
    references.collect::<Result<Vec<_>, _>>()?;
    if !request.extra_hosts.is_empty() {
        return Err(BuildError::Request("builds have no further hosts (add-host) yet".to_owned()));
    }
    let (directory, id) = (shared.parts.directory.clone(), random_id()?);
    let place = spawn_blocking(move || Workplace::make(&directory, id.as_str())).await??;
    context::receive(&place, pieces, &cancelled).await?;
    let file = match request.dockerfile.as_str() {
        "" => "Dockerfile".to_owned(),
        named => named.to_owned(),
    };
    let (context, name) = (place.context(), file.clone());
    let read = spawn_blocking(move || context::open(&context, &name)).await?;
    let text = match (&request.dockerfile_text, read) {
        (Some(text), Ok(_) | Err(BuildError::NoDockerfile(_))) => text.clone(),
        (_, read) => read?,
    };
    let platform = request.platform.clone().unwrap_or_else(Platform::here);
    let (plan, arguments) =
        planned(&text, &request, &platform).map_err(|mistake| refusal(file.clone(), mistake))?;
    let steps = plan.needed().iter().map(|stage| plan.stages[*stage].instructions.len() + 1).sum();
    let epoch = arguments.build.get("SOURCE_DATE_EPOCH").map(|text| {
        text.parse().map_err(|_| BuildError::Request(format!("SOURCE_DATE_EPOCH is no number: {text:?}")))
    });
    let mut build = Build {
        shared,
        place,
        plan,
        arguments,
        lease: shared.parts.collector.lease(),
        cancelled: &cancelled,
        epoch: epoch.transpose()?,
        done: HashMap::new(),
        used: Vec::new(),
        configurations: Vec::new(),
        progress,
        file,
        platform,
        step: 0,
        steps,
        request,
    };
    let built = build.all().await;
    build.remember().await;
    built
}

/// Docker says "parse error on line N".
fn refusal(file: String, mistake: DockerfileError) -> BuildError {
    match mistake.line {
        0 => BuildError::Dockerfile { file, mistake },
        _ => BuildError::Parse { file, mistake },
    }
}

/// The plan, and what ARG may take its values from.
fn planned(
    text: &[u8],
    request: &BuildRequest,
    platform: &Platform,
) -> Result<(Plan, Arguments), DockerfileError> {
    let file = dockerfile::parse(text)?;
    let here = Platform::here();
    let target = if request.target.is_empty() { "default" } else { &request.target };
    let mut global = vec![format!("TARGETSTAGE={target}")];
    for (prefix, platform) in [("BUILD", &here), ("TARGET", platform)] {
        global.push(format!("{prefix}PLATFORM={platform}"));
        global.push(format!("{prefix}OS={}", platform.os));
        global.push(format!("{prefix}OSVERSION="));
        global.push(format!("{prefix}ARCH={}", platform.architecture));
        global.push(format!("{prefix}VARIANT={}", platform.variant));
    }
    let set =
        request.build_args.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    let build: Vec<String> = set.collect();
    let wishes = Wishes { target: &request.target, build_args: &build, platform_args: &global };
    let plan = Plan::new(file, &wishes)?;
    global.extend(plan.global_args.iter().cloned());
    Ok((plan, Arguments { build, global }))
}

impl Build<'_> {
    pub(super) fn parts(&self) -> &BuildParts {
        &self.shared.parts
    }

    /// Tells the client; one who has left is not told.
    pub(super) async fn tell(&self, progress: Progress) {
        drop(self.progress.send(progress).await);
    }

    pub(super) fn wrong(&self, mistake: DockerfileError) -> BuildError {
        BuildError::Dockerfile { file: self.file.clone(), mistake }
    }

    /// A mistake of an instruction.
    pub(super) fn refused(&self, instruction: &Instruction, what: impl Into<String>) -> BuildError {
        self.wrong(instruction.place.error(what))
    }

    async fn announce(&mut self, stage: usize, text: &str) {
        self.step += 1;
        let name = self.plan.stages[stage].name.clone().unwrap_or_else(|| format!("stage-{stage}"));
        let (number, total) = (self.step, self.steps);
        self.tell(Progress::Step { number, total, stage: name, text: text.to_owned() }).await;
    }

    async fn stage(&mut self, number: usize) -> Result<State, BuildError> {
        let stage = self.plan.stages[number].clone();
        self.announce(number, &stage.from.text).await;
        let mut state = match &stage.base {
            Base::Scratch => {
                let platform = &self.platform;
                let said = (platform.os.as_str(), platform.architecture.as_str(), platform.variant.as_str());
                State::new(Document::scratch(said), None, None)
            }
            Base::Stage(base) => self.done[base].inherited(),
            Base::Image(name) => {
                let platform = match &stage.platform {
                    Some(text) => Some(text.parse().map_err(|error: images::InvalidPlatform| {
                        self.refused(&stage.from, error.to_string())
                    })?),
                    None => self.request.platform.clone(),
                };
                self.base(name, platform).await?
            }
        };
        state.escape = self.plan.escape;
        let triggers = std::mem::take(&mut state.document.config.on_build);
        let triggers = triggers.iter().map(|text| dockerfile::parse_trigger(text, '\\'));
        let triggers: Vec<Instruction> =
            triggers.collect::<Result<_, _>>().map_err(|error| self.wrong(error))?;
        self.steps += triggers.len();
        if !triggers.is_empty() {
            let plural = if triggers.len() == 1 { "" } else { "s" };
            let text = format!("# Executing {} build trigger{plural}", triggers.len());
            self.tell(Progress::Note(text)).await;
        }
        self.done_with(&state).await;
        for instruction in triggers.iter().chain(&stage.instructions) {
            self.announce(number, &instruction.text).await;
            if self.cancelled.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            match &instruction.kind {
                Kind::Run(run) => self.run(&mut state, instruction, run, number).await?,
                Kind::Copy(copy) => self.copy(&mut state, instruction, copy, number).await?,
                Kind::Workdir(path) => self.workdir(&mut state, instruction, path).await?,
                _ => self.configure(&mut state, instruction).await?,
            }
            self.done_with(&state).await;
        }
        Ok(state)
    }

    async fn all(&mut self) -> Result<Image, BuildError> {
        for number in self.plan.needed() {
            let state = self.stage(number).await?;
            self.done.insert(number, state);
        }
        self.tell_unused().await;
        self.image().await
    }

    /// Names the arguments of the client that no instruction has asked for.
    async fn tell_unused(&self) {
        let stages = self.plan.needed().into_iter().map(|stage| &self.plan.stages[stage]);
        let mut declared: Vec<&str> = stages
            .flat_map(|stage| &stage.instructions)
            .filter_map(|instruction| match &instruction.kind {
                Kind::Arg(names) => Some(names.iter().map(|(name, _)| name.as_str())),
                _ => None,
            })
            .flatten()
            .collect();
        declared.extend(self.plan.global_args.iter().filter_map(|pair| pair.split('=').next()));
        declared.push("SOURCE_DATE_EPOCH");
        let is_unused = |name: &&String| {
            !declared.contains(&name.as_str()) && !name.starts_with("BUILDKIT_") && !is_proxy(name)
        };
        let unused: Vec<&str> =
            self.request.build_args.keys().filter(is_unused).map(String::as_str).collect();
        if !unused.is_empty() {
            let text = format!("[Warning] One or more build-args [{}] were not consumed", unused.join(" "));
            self.tell(Progress::Note(text)).await;
        }
    }

    /// Carries out an instruction that only changes the configuration, and tells whether that was made before.
    async fn configure(&mut self, state: &mut State, instruction: &Instruction) -> Result<(), BuildError> {
        state.apply(instruction, &self.arguments).map_err(|error| self.wrong(error))?;
        self.tell_known(state).await
    }

    /// Tells whether the configuration was made before.
    pub(super) async fn tell_known(&mut self, state: &State) -> Result<(), BuildError> {
        let mut key = Key::new("configuration");
        key.add(state.chain_id.as_ref().map_or("", |id| id.as_str())).add_all(&state.args);
        key.add(serde_json::to_vec(&state.document.config).expect("a configuration is JSON"));
        for step in &state.document.history {
            key.add(&step.created_by);
        }
        let key = key.finish();
        let wanted = key.clone();
        let look = move |tx: &rusqlite::Transaction<'_>| records::is_known(tx, &wanted);
        let is_known = self.parts().store.read("look for a configuration", look).await?;
        if is_known && !self.request.no_cache {
            self.tell(Progress::Cached).await;
        } else {
            self.configurations.push(key);
        }
        Ok(())
    }

    /// Writes down what was made and used; without it the next build is only slower, or says less.
    async fn remember(&mut self) {
        let (used, new) = (std::mem::take(&mut self.used), std::mem::take(&mut self.configurations));
        let write = move |tx: &rusqlite::Transaction<'_>| {
            records::used(tx, &used)?;
            records::know(tx, &new)
        };
        if let Err(error) = self.parts().store.write_unsynced("note what was used", write).await {
            tracing::debug!(error = %Chain(&error), "the use of the build cache was not noted");
        }
    }

    async fn done_with(&self, state: &State) {
        let id = state.chain_id.as_ref().or(state.base.as_ref());
        let id = id.map_or_else(|| "0".repeat(SHORT_DIGITS), |id| id.hex()[..SHORT_DIGITS].to_owned());
        self.tell(Progress::Done { id }).await;
    }

    async fn base(&self, name: &str, platform: Option<Platform>) -> Result<State, BuildError> {
        let image = self.find_image(name, platform).await?;
        let bytes = self.parts().images.raw_configuration(&image.id).await?;
        let document = Document::parse(&bytes).map_err(|error| BuildError::Config(name.to_owned(), error))?;
        Ok(State::new(document, Some(image.id), image.chain_id))
    }

    /// An image that is here, or is fetched.
    pub(super) async fn find_image(
        &self,
        name: &str,
        platform: Option<Platform>,
    ) -> Result<Image, BuildError> {
        let images = &self.parts().images;
        let found = match self.request.pull {
            true => Err(ImageError::NotHere(name.to_owned())),
            false => images.resolve_for(name, platform.as_ref()).await,
        };
        let image = match found {
            Err(ImageError::NotHere(_) | ImageError::OtherPlatform { .. }) => {
                self.tell(Progress::Pulling { image: name.to_owned() }).await;
                let request = PullRequest { reference: images::parsed(name)?, platform, auth: None };
                let (sender, mut told) = mpsc::channel(1);
                let listening = async { while told.recv().await.is_some() {} };
                let pulling = async {
                    tokio::select! {
                        pulled = images.pull(request, sender) => Ok(pulled?.image),
                        () = self.cancelled.cancelled() => Err(BuildError::Cancelled),
                    }
                };
                tokio::join!(pulling, listening).0?
            }
            found => found?,
        };
        image.chain_id.iter().for_each(|chain_id| self.lease.add(chain_id));
        Ok(image)
    }

    async fn image(&mut self) -> Result<Image, BuildError> {
        let mut state = self.done.remove(&self.plan.target).expect("the target is done");
        let is_empty = state.base.is_none() && state.layers.is_empty();
        if is_empty && state.document.history.is_empty() && self.request.labels.is_empty() {
            let what = "No image was generated. Is your Dockerfile empty?";
            return Err(BuildError::Request(what.to_owned()));
        }
        let labels = std::mem::take(&mut self.request.labels);
        state.document.config.labels.extend(labels);
        let document = &mut state.document;
        document.created.clone_from(&state.created);
        document.rootfs.kind = "layers".to_owned();
        let base_count = document.rootfs.diff_ids.len();
        document.rootfs.diff_ids.extend(state.layers.iter().map(|layer| layer.diff_id.to_string()));
        if document.os.is_empty() {
            document.os = "linux".to_owned();
        }
        tracing::debug!(base_count, layers = state.layers.len(), "an image was built");
        let config = serde_json::to_vec(document).expect("a configuration is JSON");
        let layers = state.layers.iter();
        let layers =
            layers.map(|made| NewLayer { diff_id: made.diff_id.clone(), size_bytes: made.size_bytes });
        let new = NewImage {
            base: state.base.clone(),
            layers: layers.collect(),
            config,
            references: self.request.tags.clone(),
        };
        let image = self.parts().images.make(new, &self.lease).await?;
        Ok(image)
    }
}

/// A path as it is told to the host.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
