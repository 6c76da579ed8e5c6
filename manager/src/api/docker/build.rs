//! `POST /build`: docker's classic builder, as its CLI, SDKs and Compose drive it without BuildKit.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http_body_util::BodyExt;
use knarr_proto::docker::reference::short;
use knarr_proto::frame::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answers::{self, Pieces, progress_line};
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::Query;
use crate::api::grpc::images::platform;
use crate::builds::{BuildError, BuildRequest, Progress};
use crate::images::Image;
use crate::tasks::plan::{Resources, Ulimit};

/// Pieces of a context, and steps, under way.
const UNDER_WAY: usize = 16;
/// Digits by which a step's container or image is known.
const SHORT_DIGITS: usize = 12;

pub(super) async fn build(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let wanted = wanted(&query)?;
    let is_quiet = query.is_set("q");
    let tags = wanted.tags.clone();
    let cancelled = CancellationToken::new();
    // A client that leaves drops this, and with it the build.
    let ends_with_us = cancelled.clone().drop_guard();
    let (sender, pieces) = mpsc::channel(UNDER_WAY);
    let (progress, mut told) = mpsc::channel(UNDER_WAY);
    let noun = engine.builds.clone();
    let mut building = Box::pin(async move {
        let (fed, built) =
            tokio::join!(feed(request.into_body(), sender), noun.build(wanted, pieces, progress, cancelled));
        fed.map(|()| built)
    });
    // Until there is something to tell, an error is the answer itself.
    let first = tokio::select! {
        biased;
        step = told.recv() => step,
        built = &mut building => match built? {
            Err(error) => return Err(error.into()),
            Ok(image) => return Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
                Teller::new(&pieces, is_quiet).built(&image, &tags).await;
            })),
        },
    };
    Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
        let _ends_with_us = ends_with_us;
        let mut teller = Teller::new(&pieces, is_quiet);
        let steps = async {
            if let Some(step) = first {
                teller.step(step).await;
            }
            while let Some(step) = told.recv().await {
                teller.step(step).await;
            }
            teller
        };
        let (built, teller) = tokio::join!(building, steps);
        match built {
            Ok(Ok(image)) => teller.built(&image, &tags).await,
            Ok(Err(error)) => teller.failed(error).await,
            Err(refusal) => teller.refused(1, refusal.message()).await,
        }
    }))
}

pub(super) async fn prune(State(engine): State<Arc<Engine>>) -> Answer {
    let (deleted, reclaimed) = engine.builds.prune().await?;
    Ok(answers::ok(&json!({"CachesDeleted": deleted, "SpaceReclaimed": reclaimed})))
}

/// A build is cancelled by closing its connection.
pub(super) async fn cancel() -> Answer {
    Ok(answers::empty(http::StatusCode::NO_CONTENT))
}

fn wanted(query: &Query) -> Result<BuildRequest, Refusal> {
    if query.text("version") == "2" {
        return Err(Refusal::bad("BuildKit's builder is not supported: build with DOCKER_BUILDKIT=0"));
    }
    if !query.text("remote").is_empty() {
        return Err(Refusal::not_implemented("a remote context is not supported: send it as a tar"));
    }
    if query.is_set("squash") {
        return Err(Refusal::not_implemented("squash is not supported"));
    }
    let hosts: Vec<String> = query.texts("extrahosts").map(str::to_owned).collect();
    let args: BTreeMap<String, Option<String>> = parsed(query, "buildargs")?.unwrap_or_default();
    let number = |name| Ok::<_, Refusal>(query.number(name)?.unwrap_or_default());
    let mut resources = Resources::default();
    resources.memory.memory_bytes = number("memory")?;
    resources.memory.memory_swap_bytes = number("memswap")?;
    resources.cpu.cpu_shares = number("cpushares")?.unsigned_abs();
    resources.cpu.cpu_period_us = number("cpuperiod")?.unsigned_abs();
    resources.cpu.cpu_quota_us = number("cpuquota")?;
    resources.cpu.cpuset_cpus = query.text("cpusetcpus").to_owned();
    resources.cpu.cpuset_mems = query.text("cpusetmems").to_owned();
    Ok(BuildRequest {
        dockerfile: query.text("dockerfile").to_owned(),
        tags: query.texts("t").filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        build_args: args,
        labels: parsed(query, "labels")?.unwrap_or_default(),
        target: query.text("target").to_owned(),
        no_cache: query.is_set("nocache"),
        pull: query.is_set("pull"),
        platform: platform(query.text("platform"))?,
        network: query.text("networkmode").to_owned(),
        extra_hosts: hosts,
        shm_size_bytes: number("shmsize")?.unsigned_abs(),
        ulimits: ulimits(query)?,
        resources,
        cgroup_parent: match query.text("cgroupparent") {
            // docker joins a name to its root.
            name if !name.is_empty() && !name.starts_with('/') && !name.ends_with(".slice") => {
                format!("/{name}")
            }
            path => path.to_owned(),
        },
        ..BuildRequest::default()
    })
}

/// A parameter that is JSON, if it is there.
fn parsed<T: serde::de::DeserializeOwned>(query: &Query, name: &str) -> Result<Option<T>, Refusal> {
    match query.text(name) {
        "" => Ok(None),
        text => {
            serde_json::from_str(text).map_err(|error| Refusal::bad(format!("error reading {name}: {error}")))
        }
    }
}

fn ulimits(query: &Query) -> Result<Vec<Ulimit>, Refusal> {
    let listed: Vec<Value> = parsed(query, "ulimits")?.unwrap_or_default();
    let bound = |value: &Value| value.as_i64().map(|bound| u64::try_from(bound).unwrap_or(u64::MAX));
    let ulimit = |one: &Value| {
        Some(Ulimit {
            name: one["Name"].as_str()?.to_owned(),
            soft: bound(&one["Soft"])?,
            hard: bound(&one["Hard"])?,
        })
    };
    let read = listed.iter().map(ulimit).collect::<Option<_>>();
    read.ok_or_else(|| Refusal::bad("error reading ulimits: each has a Name, Soft and Hard"))
}

async fn feed(mut body: Body, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad("cannot read the context: the request ended early"))?;
        if let Ok(data) = frame.into_data()
            && pieces.send(data.to_vec()).await.is_err()
        {
            // The build has failed and says why.
            return Ok(());
        }
    }
    Ok(())
}

/// Tells a build's steps in docker's words.
struct Teller<'a> {
    pieces: &'a Pieces,
    is_quiet: bool,
    running: Option<String>,
}

impl<'a> Teller<'a> {
    fn new(pieces: &'a Pieces, is_quiet: bool) -> Self {
        Self { pieces, is_quiet, running: None }
    }

    async fn say(&self, text: &str) {
        if !self.is_quiet {
            answers::send(self.pieces, progress_line(&json!({"stream": text}))).await;
        }
    }

    async fn step(&mut self, progress: Progress) {
        match progress {
            Progress::Step { number, total, text, .. } => {
                self.say(&format!("Step {number}/{total} : {text}")).await;
                self.say("\n").await;
            }
            Progress::Pulling { image } => self.say(&format!("Pulling {image}\n")).await,
            Progress::Note(text) => self.say(&format!("{text}\n")).await,
            Progress::Cached => self.say(" ---> Using cache\n").await,
            Progress::Running { id } => {
                let id = id[..SHORT_DIGITS.min(id.len())].to_owned();
                self.say(&format!(" ---> Running in {id}\n")).await;
                self.running = Some(id);
            }
            Progress::Output { stream, data } => {
                let text = String::from_utf8_lossy(&data);
                match stream {
                    Stream::Stdout => self.say(&text).await,
                    Stream::Stderr => self.say(&format!("\u{1b}[91m{text}\u{1b}[0m")).await,
                }
            }
            Progress::Done { id } => {
                if let Some(running) = self.running.take() {
                    self.say(&format!(" ---> Removed intermediate container {running}\n")).await;
                }
                self.say(&format!(" ---> {id}\n")).await;
            }
        }
    }

    async fn built(&self, image: &Image, tags: &[String]) {
        if self.is_quiet {
            let line = json!({"stream": format!("{}\n", image.id)});
            return answers::send(self.pieces, progress_line(&line)).await;
        }
        let aux = json!({"aux": {"ID": image.id.to_string()}});
        answers::send(self.pieces, progress_line(&aux)).await;
        self.say(&format!("Successfully built {}\n", &image.id.hex()[..SHORT_DIGITS])).await;
        for tag in tags {
            let full = crate::images::Images::full_reference(tag).unwrap_or_else(|_| tag.clone());
            self.say(&format!("Successfully tagged {}\n", short(&full))).await;
        }
    }

    async fn failed(&self, error: BuildError) {
        match &error {
            BuildError::Exit { command, code } => {
                let message = format!("The command '{command}' returned a non-zero code: {code}");
                self.refused(*code, &message).await;
            }
            _ => self.refused(1, Refusal::from(error).message()).await,
        }
    }

    async fn refused(&self, code: u32, message: &str) {
        let detail = match code {
            1 => json!({"message": message}),
            code => json!({"code": code, "message": message}),
        };
        let line = json!({"errorDetail": detail, "error": message});
        answers::send(self.pieces, progress_line(&line)).await;
    }
}
