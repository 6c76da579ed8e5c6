//! One container in memory: what it is, what verbs change, its life, and the way to its shim.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use knarr_proto::id::ContainerId;
use knarr_proto::keep::health::Health;
use tokio::sync::watch;

use super::error::ContainerError;
use super::life::{self, Event, Life, Phase};
use super::pending::PendingClients;
use super::spec::{self, Record, Settings, Spec};
use crate::tasks::plan::TaskPlan;
use crate::tasks::shims::Task;

/// One container, in memory.
pub(super) struct Container {
    pub(super) spec: Arc<Spec>,
    settings: Mutex<Arc<Settings>>,
    pub(super) bundle: PathBuf,
    pub(super) life: watch::Sender<Life>,
    /// Held by start, by the clean-up after an end and by removal: one at a time. Never held while waiting for an end.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) pending: PendingClients,
    shim: ShimState,
    /// Why only removing it makes sense, when its record could not be read.
    damage: Option<String>,
}

/// What is known of a container's shim.
#[derive(Default)]
struct ShimState {
    link: Mutex<Link>,
    /// SIGKILL was sent to the container without it.
    is_bypassed: AtomicBool,
    /// What it has found out of the container's health.
    health: Mutex<Option<Arc<Health>>>,
}

/// The way to a container's shim.
#[derive(Clone, Default)]
pub(super) enum Link {
    /// It has none.
    #[default]
    None,
    Task(Task),
    /// There may be one, but it does not answer; why, for people. It is asked again and again.
    Silent(String),
}

/// A container as seen from outside, all at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) spec: Arc<Spec>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) life: Life,
    pub(crate) bundle: PathBuf,
    /// Of one whose health is found out.
    pub(crate) health: Option<Arc<Health>>,
}

impl Container {
    pub(super) fn new(record: Record, life: Life, bundle: PathBuf) -> Self {
        Self {
            spec: Arc::new(record.spec),
            settings: Mutex::new(Arc::new(record.settings)),
            bundle,
            life: watch::Sender::new(life),
            turn: tokio::sync::Mutex::default(),
            pending: PendingClients::default(),
            shim: ShimState::default(),
            damage: None,
        }
    }

    /// The same container, of which this much is lost.
    pub(super) fn with_damage(self, damage: Option<String>) -> Self {
        Self { damage, ..self }
    }

    pub(super) fn view(&self) -> View {
        View {
            spec: Arc::clone(&self.spec),
            settings: self.settings(),
            life: self.life(),
            bundle: self.bundle.clone(),
            health: self.health(),
        }
    }

    pub(super) fn health(&self) -> Option<Arc<Health>> {
        self.shim.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was known before.
    pub(super) fn set_health(&self, health: Option<Health>) -> Option<Arc<Health>> {
        let mut known = self.shim.health.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, health.map(Arc::new))
    }

    pub(super) fn record(&self) -> Record {
        Record { spec: Spec::clone(&self.spec), settings: Settings::clone(&self.settings()) }
    }

    /// What its task is made of.
    pub(super) fn task_plan(&self) -> TaskPlan {
        spec::task_plan(&self.spec, &self.settings())
    }

    pub(super) fn id(&self) -> &ContainerId {
        &self.spec.id
    }

    pub(super) fn name(&self) -> String {
        self.settings().name.clone()
    }

    /// What verbs may change, as it is now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For verbs that have recorded them.
    pub(super) fn set_settings(&self, settings: Arc<Settings>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// For verbs that hold its turn.
    ///
    /// # Errors
    /// [`ContainerError::State`] when it is being made or removed, [`ContainerError::NotFound`] when it is gone.
    pub(super) fn check_there(&self, doing: &'static str) -> Result<(), ContainerError> {
        self.check_whole()?;
        let life = self.life.borrow();
        match life.phase {
            _ if life.removed => Err(ContainerError::NotFound(self.spec.id.to_string())),
            phase @ (Phase::Creating | Phase::Removing) => {
                Err(ContainerError::State { doing, name: self.name(), phase })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    /// Its life once `event` has happened.
    pub(super) fn after(&self, event: Event) -> Result<Life, ContainerError> {
        let refused =
            |life::Refused { phase, doing }| ContainerError::State { doing, name: self.name(), phase };
        self.life.borrow().after(event).map_err(refused)
    }

    /// # Errors
    /// [`ContainerError::Damaged`] when it can only be removed.
    pub(super) fn check_whole(&self) -> Result<(), ContainerError> {
        match &self.damage {
            Some(cause) => Err(ContainerError::Damaged { name: self.name(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn link(&self) -> Link {
        self.shim.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_link(&self, link: Link) {
        *self.shim.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// Whether SIGKILL was sent to it without its shim, in this run.
    pub(super) fn is_bypassed(&self) -> bool {
        self.shim.is_bypassed.load(Ordering::Relaxed)
    }

    pub(super) fn set_bypassed(&self, is_bypassed: bool) {
        self.shim.is_bypassed.store(is_bypassed, Ordering::Relaxed);
    }

    pub(super) fn task(&self) -> Option<Task> {
        match self.link() {
            Link::Task(task) => Some(task),
            Link::None | Link::Silent(_) => None,
        }
    }

    /// Its shim, for a verb that needs a process, be it frozen.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`], [`ContainerError::NotReached`].
    pub(super) fn process_task(&self) -> Result<Task, ContainerError> {
        let holds_process = self.life.borrow().phase.holds_process();
        match self.link() {
            Link::Task(task) if holds_process => Ok(task),
            Link::Silent(cause) if holds_process => {
                Err(ContainerError::NotReached { name: self.name(), cause })
            }
            _ => Err(ContainerError::NotRunning(self.name())),
        }
    }

    /// Its shim, for a verb that needs a process that answers.
    ///
    /// # Errors
    /// As [`Container::process_task`], and [`ContainerError::State`] while it is paused or between two runs.
    pub(super) fn running_task(&self, doing: &'static str) -> Result<Task, ContainerError> {
        self.check_answers(doing)?;
        self.process_task()
    }

    /// # Errors
    /// [`ContainerError::State`] while it is paused or between two runs, [`ContainerError::NotRunning`] otherwise.
    pub(super) fn check_answers(&self, doing: &'static str) -> Result<(), ContainerError> {
        let phase = self.life.borrow().phase;
        match phase {
            phase if phase.may_exec() => Ok(()),
            phase if phase.is_up() => Err(ContainerError::State { doing, name: self.name(), phase }),
            _ => Err(ContainerError::NotRunning(self.name())),
        }
    }
}
