//! Containers: made from images, started under shims, watched until they end, removed. This noun orchestrates images,
//! snapshots and shims; none of them calls it back. Every change that takes several steps is first recorded as an
//! intent (a [`Phase`]), so that [`crate::recovery`] can finish or undo it after a kill -9 at any point.
//!
//! What is known of a container lives in memory ([`Container`]) and is written through to the table; readers never wait
//! for the disk.

mod attach;
mod census;
mod contact;
mod copy;
mod create;
mod end;
mod error;
mod exec;
mod execs;
mod life;
mod list;
mod logs;
mod name;
mod outcome;
mod pending;
mod process;
mod prune;
mod reconcile;
mod recover;
mod remove;
mod request;
mod resize;
mod restart;
mod signal;
mod spec;
mod start;
mod stop;
mod table;
mod tail;
mod upgrade;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use knarr_proto::id::ContainerId;
use rusqlite::Transaction;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use attach::{AttachOptions, Attachment, Input, InputSink, Piece, Session};
pub(crate) use error::ContainerError;
pub(crate) use exec::{ExecOptions, ExecStart, ExecVerbs, ExecView};
pub(crate) use execs::ExecState;
use execs::Execs;
#[cfg(test)]
pub(crate) use execs::TooManyExecs;
use life::{Durability, Event};
pub(crate) use life::{Exit, Life, Phase};
pub(crate) use list::FILTER_KEYS;
pub(crate) use logs::{LogOptions, LogPiece, LogReader};
pub(crate) use outcome::Outcome;
use pending::PendingClients;
pub(crate) use request::{CreateRequest, PolicyRequest, ProcessRequest};
#[cfg(test)]
pub(crate) use spec::ImageRef;
use spec::Record;
pub(crate) use spec::{Settings, Spec};
pub(crate) use table::SCHEMA_1;
pub(crate) use upgrade::SCHEMA_2;
pub(crate) use wait::WaitCondition;

use crate::events::{Events, Subject};
use crate::images::Images;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::tasks::plan::TaskPlan;
use crate::tasks::shims::Task;
use crate::tasks::{LogBounds, Tasks};

/// How long verbs under way may take when knarrd stops; a look at a directory of the host can take for ever.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// What the containers are made with.
pub(crate) struct Parts {
    pub(crate) tasks: Tasks,
    pub(crate) store: Store,
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) events: Arc<Events>,
    pub(crate) logs: LogBounds,
    /// The kernel's, so that a reboot is noticed.
    pub(crate) boot_id: String,
}

/// The containers; clones share them.
#[derive(Clone)]
pub(crate) struct Containers {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    registry: Mutex<Registry>,
    execs: Execs,
    /// Verbs and supervisors under way, awaited at the end.
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// How many containers have a process.
    live: watch::Sender<usize>,
}

#[derive(Default)]
struct Registry {
    by_id: BTreeMap<ContainerId, Arc<Container>>,
    id_by_name: HashMap<String, ContainerId>,
}

/// One container, in memory.
struct Container {
    spec: Arc<Spec>,
    settings: Arc<Settings>,
    bundle: PathBuf,
    life: watch::Sender<Life>,
    /// Held by start, by the clean-up after an end and by removal: one at a time. Never held while waiting for an end.
    turn: tokio::sync::Mutex<()>,
    link: Mutex<Link>,
    pending: PendingClients,
    /// Why only removing it makes sense, when its record could not be read.
    damage: Option<String>,
    /// SIGKILL was sent to it without its shim.
    is_killed: AtomicBool,
}

/// A container as seen from outside, all at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) spec: Arc<Spec>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) life: Life,
    pub(crate) bundle: PathBuf,
}

/// The way to a container's shim.
#[derive(Clone)]
enum Link {
    /// It has none.
    None,
    Task(Task),
    /// There may be one, but it does not answer; why, for people. It is asked again and again.
    Silent(String),
}

impl Containers {
    /// Nothing is loaded yet: [`Containers::recover`] does that.
    pub(crate) fn new(parts: Parts) -> Self {
        let shared = Shared {
            parts,
            registry: Mutex::default(),
            execs: Execs::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            live: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many containers have a process, now and as it changes.
    pub(crate) fn live(&self) -> watch::Receiver<usize> {
        self.shared.live.subscribe()
    }

    /// Everything about one container at this moment.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`].
    pub(crate) fn inspect(&self, text: &str) -> Result<View, ContainerError> {
        self.find(text).map(|container| container.view())
    }

    /// The verbs of execs.
    pub(crate) fn execs(&self) -> ExecVerbs {
        ExecVerbs(self.clone())
    }

    /// Stops watching; containers go on. Returns when verbs under way are done, or hang: recovery then undoes them.
    pub(crate) async fn close(&self) {
        self.shared.stopping.cancel();
        let is_first = self.shared.tasks.close();
        if is_first && tokio::time::timeout(CLOSE_LIMIT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(verbs = self.shared.tasks.len(), "stopping in the middle of what does not end");
        }
    }

    fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic while it was held cannot have left it half changed: every change is one insert or remove.
        self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container that `text` names: full id, name, or unambiguous prefix of an id.
    fn find(&self, text: &str) -> Result<Arc<Container>, ContainerError> {
        let registry = self.registry();
        let exact = text.parse::<ContainerId>().ok().and_then(|id| registry.by_id.get(&id));
        let named = || registry.id_by_name.get(text).and_then(|id| registry.by_id.get(id));
        if let Some(container) = exact.or_else(named) {
            return Ok(Arc::clone(container));
        }
        let mut beginning =
            registry.by_id.values().filter(|container| container.id().as_str().starts_with(text));
        match (beginning.next(), beginning.next()) {
            (Some(container), None) if !text.is_empty() => Ok(Arc::clone(container)),
            (Some(_), Some(_)) if !text.is_empty() => Err(ContainerError::Ambiguous(text.to_owned())),
            _ => Err(ContainerError::NotFound(text.chars().take(256).collect())),
        }
    }

    /// Runs a verb to its end even when the client that asked for it goes away in the middle.
    async fn to_the_end<T: Send + 'static>(
        &self,
        verb: impl Future<Output = Result<T, ContainerError>> + Send + 'static,
    ) -> Result<T, ContainerError> {
        if self.shared.stopping.is_cancelled() {
            return Err(ContainerError::Stopping);
        }
        self.shared.tasks.spawn(verb).await?
    }

    /// Records what has happened to `container`, on disk and then in memory.
    async fn enter(&self, container: &Container, event: Event) -> Result<(), ContainerError> {
        let durability = event.durability(container.settings.auto_remove);
        let life = container.after(event)?;
        self.record(container, &life, durability).await?;
        self.show(container, life);
        Ok(())
    }

    async fn record(
        &self,
        container: &Container,
        life: &Life,
        durability: Durability,
    ) -> Result<(), ContainerError> {
        let (id, row) = (container.id().clone(), life.clone());
        let store = self.parts().store.for_removal();
        let doing = "record a container's state";
        let updated = move |tx: &Transaction<'_>| table::update(tx, &id, &row);
        match durability {
            Durability::Unsynced => store.write_unsynced(doing, updated).await?,
            Durability::Synced => store.write(doing, updated).await?,
        }
        Ok(())
    }

    /// Publishes the new state of `container` to readers and waiters.
    fn show(&self, container: &Container, life: Life) {
        let now = life.phase.is_live();
        let before = container.life.send_replace(life).phase.is_live();
        if now != before {
            self.shared.live.send_modify(|live| *live = if now { *live + 1 } else { live.saturating_sub(1) });
        }
    }

    fn publish(&self, container: &Container, action: &'static str, more: &[(&str, String)]) {
        let mut attributes = container.settings.labels.clone();
        attributes.insert("name".to_owned(), container.name());
        attributes.insert("image".to_owned(), container.spec.image.reference.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.parts().events.publish(Subject::Container, action, container.id().as_str(), attributes);
    }
}

impl Container {
    fn new(record: Record, life: Life, bundle: PathBuf) -> Self {
        let (spec, settings) = (Arc::new(record.spec), Arc::new(record.settings));
        let life = watch::Sender::new(life);
        let (turn, link) = (tokio::sync::Mutex::default(), Mutex::new(Link::None));
        let (pending, is_killed) = (PendingClients::default(), AtomicBool::new(false));
        Self { spec, settings, bundle, life, turn, link, pending, damage: None, is_killed }
    }

    fn view(&self) -> View {
        View {
            spec: Arc::clone(&self.spec),
            settings: Arc::clone(&self.settings),
            life: self.life(),
            bundle: self.bundle.clone(),
        }
    }

    fn record(&self) -> Record {
        Record { spec: Spec::clone(&self.spec), settings: Settings::clone(&self.settings) }
    }

    /// What its task is made of.
    fn task_plan(&self) -> TaskPlan {
        spec::task_plan(&self.spec, &self.settings)
    }

    /// Its life once `event` has happened.
    fn after(&self, event: Event) -> Result<Life, ContainerError> {
        let refused =
            |life::Refused { phase, doing }| ContainerError::State { doing, name: self.name(), phase };
        self.life.borrow().after(event).map_err(refused)
    }

    fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    fn id(&self) -> &ContainerId {
        &self.spec.id
    }

    fn name(&self) -> String {
        self.settings.name.clone()
    }

    fn link(&self) -> Link {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_link(&self, link: Link) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn task(&self) -> Option<Task> {
        match self.link() {
            Link::Task(task) => Some(task),
            Link::None | Link::Silent(_) => None,
        }
    }

    /// Its shim, for a verb that needs a running process.
    fn running_task(&self) -> Result<Task, ContainerError> {
        let running = self.life.borrow().phase == Phase::Running;
        match self.link() {
            Link::Task(task) if running => Ok(task),
            Link::Silent(cause) if running => Err(ContainerError::NotReached { name: self.name(), cause }),
            _ => Err(ContainerError::NotRunning(self.name())),
        }
    }
}
