//! A container's cgroup directories: made, opened, entered. Limits are written before any process enters.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode};
use rustix::io::Errno;

use super::controllers::Obstacle;
use super::directory::{Cgroup, open_directory, open_tasks};
use super::error::CgroupError;
use super::layout::Version;
use super::limits::settings::{Fields, Limits};
use super::members::collect;
use super::paths::{CgroupPath, CgroupPaths};
use super::plan::CgroupPlan;
use super::systemd::manager::Manager;
use super::systemd::placeholder::Placeholder;
use super::systemd::{Scope, ScopePlan};
use crate::cgroup::{owner, systemd};
use crate::spec::resources::Resources;
use crate::sys::file;

/// The cgroups of one container.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    pub(super) paths: CgroupPaths,
    /// The directory of each of `paths.hierarchies`.
    directories: Vec<OnceCell<OwnedFd>>,
    /// Controllers that could not be handed down to them.
    pub(super) obstacles: Vec<Obstacle>,
    /// Holds systemd's scope open until the container is in.
    pub(super) placeholder: Option<Placeholder>,
}

/// What the container's first process needs to get in.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// For `CLONE_INTO_CGROUP`.
    pub(crate) v2: Option<OwnedFd>,
    /// Each a v1 `tasks` file: the single-threaded child writes `0` into every one of them, and moves itself.
    pub(crate) v1: Vec<OwnedFd>,
    /// Where a user may not enter v2 by itself.
    pub(crate) mover: Option<SystemdMover>,
}

impl Entrance {
    /// Opens what a process needs to enter the cgroups of an existing container. Those that are gone are left out.
    ///
    /// # Errors
    /// [`CgroupError::Open`]; [`CgroupError::Gone`] when none is left.
    pub(crate) fn open(paths: &CgroupPaths) -> Result<Self, CgroupError> {
        let opened = present(paths, |path, directory| open_way_in(path.version, CWD, directory))?;
        let mut entrance = Self::default();
        or_gone(opened, paths)?
            .into_iter()
            .for_each(|(path, opened)| entrance.add(path, opened, paths.mover("")));
        Ok(entrance)
    }

    /// Moves the calling process, which must have one thread, into the v1 cgroups: that spares the wait for an RCU
    /// grace period. The v2 cgroup is entered by clone3.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn enter_v1(&self) -> Result<(), Errno> {
        self.v1.iter().try_for_each(|tasks| rustix::io::write(tasks, b"0").map(drop))
    }

    fn add(&mut self, path: &CgroupPath, opened: OwnedFd, mover: Option<SystemdMover>) {
        match path.version {
            Version::V2 => (self.v2, self.mover) = (Some(opened), mover),
            Version::V1 => self.v1.push(opened),
        }
    }
}

fn open_way_in(version: Version, at: impl AsFd, cgroup: &Path) -> Result<OwnedFd, Errno> {
    match version {
        Version::V2 => open_directory(at, cgroup),
        Version::V1 => open_tasks(at, cgroup),
    }
}

impl CgroupPaths {
    /// What moves processes into the cgroup `below` its own, where they cannot enter by themselves.
    fn mover(&self, below: &str) -> Option<SystemdMover> {
        let scope = self.scope.as_ref().filter(|scope| scope.manager == Manager::User)?;
        Some(SystemdMover { scope: scope.clone(), below: below.to_owned() })
    }
}

/// A user's systemd, which moves processes into a container's cgroup.
#[derive(Debug)]
pub(crate) struct SystemdMover {
    scope: Scope,
    /// The cgroup below the container's.
    below: String,
}

impl SystemdMover {
    /// Has the process moved there.
    pub(crate) fn move_process(&self, pid: u32) -> Result<(), CgroupError> {
        self.scope.attach(&self.below, pid)
    }
}

impl Fence {
    /// Makes the directories and writes the limits. What was made is removed again when anything fails.
    ///
    /// # Errors
    /// [`CgroupError`]; [`CgroupError::Frozen`] and [`CgroupError::NotEmpty`] for a cgroup that existed before and is
    /// in use.
    pub(crate) fn create(plan: &CgroupPlan) -> Result<Self, CgroupError> {
        let placeholder = plan.scope.as_ref().map(ScopePlan::start).transpose()?;
        let mut fence = Self { placeholder, ..Self::default() };
        fence.paths.scope.clone_from(&plan.paths.scope);
        let mut made = Vec::new();
        match fence.build(plan, &mut made) {
            Ok(()) => Ok(fence),
            Err(error) => Err(fence.unmake(&made, error)),
        }
    }

    /// Refuses cgroups that are in use, before the state names them: what it names, `delete` ends.
    ///
    /// # Errors
    /// As [`Fence::create`].
    pub(crate) fn check(plan: &CgroupPlan) -> Result<(), CgroupError> {
        present(&plan.paths, |_, directory| rustix::fs::access(directory, Access::EXISTS))?
            .into_iter()
            .filter(|(path, ())| !is_anothers(plan, path))
            .try_for_each(|(path, ())| check_unused(Cgroup::new(path, &OnceCell::new())))
    }

    /// Makes and furnishes the cgroups, with what was made so far in `made`, also when it fails.
    fn build<'plan>(
        &mut self,
        plan: &'plan CgroupPlan,
        made: &mut Vec<&'plan CgroupPath>,
    ) -> Result<(), CgroupError> {
        for path in &plan.paths.hierarchies {
            match make(path, made) {
                Ok(false) if is_anothers(plan, path) => {}
                Ok(is_new) => {
                    let directory = OnceCell::new();
                    // What systemd has made has the placeholder in it.
                    if !is_new && plan.scope.is_none() {
                        check_unused(Cgroup::new(path, &directory))?;
                    }
                    self.paths.hierarchies.push(path.clone());
                    self.directories.push(directory);
                }
                Err(CgroupError::Make { source: Errno::ACCESS | Errno::PERM | Errno::ROFS, .. })
                    if plan.forgives(path) => {}
                Err(error) => return Err(error),
            }
        }
        self.furnish(plan)
    }

    /// Puts the limits in force while the cgroups are empty.
    fn furnish(&mut self, plan: &CgroupPlan) -> Result<(), CgroupError> {
        self.enable_controllers(&plan.limits)?;
        if let (Some(user), Some(cgroup)) = (plan.owner, self.v2()) {
            owner::give(cgroup, user)?;
        }
        match self.allow_devices(&plan.devices) {
            // Without root no device nodes can be made either.
            Err(_) if plan.is_rootless => {}
            allowed => allowed?,
        }
        match &self.placeholder {
            None => self.limit(&plan.limits),
            // Where one task is allowed, the placeholder would be that one.
            Some(_) => self.limit(&plan.limits.without("pids")),
        }
    }

    /// The container's first process is in: nothing else needs to be.
    ///
    /// # Errors
    /// Those of writing limits.
    pub(crate) fn settle(&mut self, plan: &CgroupPlan) -> Result<(), CgroupError> {
        let (Some(placeholder), Some(scope)) = (self.placeholder.take(), &plan.scope) else { return Ok(()) };
        placeholder.end();
        scope.limit_tasks()?;
        // systemd has written all files of the cgroup again: a period without a quota, of which it makes nothing, is
        // lost.
        self.limit(&plan.limits)
    }

    /// Judges new limits, which are made to what systemd can hold if the cgroups are its.
    ///
    /// # Errors
    /// Those of [`Limits::plan`].
    pub(crate) fn judge(&self, resources: &mut Resources) -> Result<Limits, CgroupError> {
        let version = self.paths.version();
        let warning = self.paths.scope.as_ref().and_then(|_| systemd::properties::fit(resources, version));
        let mut limits = Limits::plan(resources, &self.paths, Fields(""))?;
        limits.warnings.extend(warning.map(str::to_owned));
        Ok(limits)
    }

    /// Tells systemd, if the cgroups are its, and writes the limits as [`Fence::judge`] has made them.
    ///
    /// # Errors
    /// Those of [`Fence::limit`], and [`CgroupError::Unit`].
    pub(crate) fn update(&self, resources: &Resources, limits: &Limits) -> Result<(), CgroupError> {
        if let Some(scope) = &self.paths.scope {
            self.check_floors(limits)?;
            scope.update(resources, self.paths.version())?;
        }
        self.limit(limits)
    }

    /// Takes back what was made and passes on why. The first error is the one to tell.
    fn unmake(mut self, made: &[&CgroupPath], error: CgroupError) -> CgroupError {
        if let Some(placeholder) = self.placeholder.take() {
            placeholder.end();
        }
        if let Some(scope) = &self.paths.scope {
            scope.stop().ok();
        }
        for path in made {
            rustix::fs::unlinkat(CWD, path.directory(), AtFlags::REMOVEDIR).ok();
        }
        error
    }

    /// Opens the cgroups of an existing container. Those that are gone are left out.
    ///
    /// # Errors
    /// [`CgroupError::Open`]; [`CgroupError::Gone`] when none is left.
    pub(crate) fn open(paths: &CgroupPaths) -> Result<Self, CgroupError> {
        let mut fence = Self::default();
        fence.paths.scope.clone_from(&paths.scope);
        let opened = present(paths, |_, directory| open_directory(CWD, directory))?;
        for (path, opened) in or_gone(opened, paths)? {
            fence.paths.hierarchies.push(path.clone());
            fence.directories.push(opened.into());
        }
        Ok(fence)
    }

    /// Where the cgroups are.
    #[must_use]
    pub(crate) fn paths(&self) -> &CgroupPaths {
        &self.paths
    }

    /// Where the container is in each hierarchy; with the caller where nothing could be made for it.
    #[must_use]
    pub(crate) fn actual_paths(&self, plan: &CgroupPlan) -> CgroupPaths {
        let mut paths = self.paths.clone();
        let is_left = |own: &&CgroupPath| self.paths.hierarchies.iter().all(|path| path.mount != own.mount);
        paths.hierarchies.extend(plan.own.hierarchies.iter().filter(is_left).cloned());
        paths
    }

    /// Opens what a process needs to enter.
    ///
    /// # Errors
    /// [`CgroupError::Open`].
    pub(crate) fn entrance(&self) -> Result<Entrance, CgroupError> {
        self.entrance_below(|_| "")
    }

    /// The same for the cgroup `below(path)` inside each of the container's cgroups; empty for the cgroup itself.
    ///
    /// # Errors
    /// [`CgroupError::Open`].
    pub(crate) fn entrance_below<'a>(
        &self,
        below: impl Fn(&CgroupPath) -> &'a str,
    ) -> Result<Entrance, CgroupError> {
        let mut entrance = Entrance::default();
        for cgroup in self.cgroups() {
            let path = cgroup.path;
            let inner = below(path).trim_start_matches('/');
            let directory = if inner.is_empty() { path.directory() } else { path.directory().join(inner) };
            let opened = match inner {
                "" => open_way_in(path.version, CWD, &directory),
                inner => open_way_in(path.version, cgroup.directory()?, Path::new(inner)),
            };
            let opened = opened.map_err(|source| CgroupError::Open { path: directory, source })?;
            entrance.add(path, opened, self.paths.mover(inner));
        }
        Ok(entrance)
    }

    /// Each cgroup.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = Cgroup<'_>> {
        self.paths.hierarchies.iter().zip(&self.directories).map(|(path, opened)| Cgroup::new(path, opened))
    }

    /// The v2 cgroup.
    pub(super) fn v2(&self) -> Option<Cgroup<'_>> {
        self.cgroups().find(|cgroup| cgroup.path.version == Version::V2)
    }

    /// The v1 cgroup that has `controller`.
    pub(super) fn v1(&self, controller: &str) -> Option<Cgroup<'_>> {
        self.cgroups().find(|cgroup| cgroup.path.controllers.iter().any(|name| name == controller))
    }
}

/// A cgroup of that name is there which we may not enter, and nothing there was asked for (rootless): like one that we
/// may not make, it is left out.
fn is_anothers(plan: &CgroupPlan, path: &CgroupPath) -> bool {
    let may_enter = || {
        rustix::fs::accessat(CWD, path.directory().join("cgroup.procs"), Access::WRITE_OK, AtFlags::EACCESS)
    };
    plan.forgives(path) && may_enter().is_err()
}

/// A cgroup that was there before must be empty and running, and so must those inside it: ours would mix with whatever
/// uses it, and end it when it ends.
fn check_unused(cgroup: Cgroup<'_>) -> Result<(), CgroupError> {
    let mut pids = BTreeSet::new();
    collect(cgroup, &mut pids)?;
    if !pids.is_empty() {
        return Err(CgroupError::NotEmpty { path: cgroup.path.directory(), count: pids.len() });
    }
    let only = CgroupPaths { hierarchies: vec![cgroup.path.clone()], scope: None };
    if only.is_frozen()? { Err(CgroupError::Frozen(cgroup.path.directory())) } else { Ok(()) }
}

/// Those cgroups that are there, with what is found or opened of each.
fn present<T>(
    paths: &CgroupPaths,
    open: impl Fn(&CgroupPath, &Path) -> Result<T, Errno>,
) -> Result<Vec<(&CgroupPath, T)>, CgroupError> {
    let mut present = Vec::with_capacity(paths.hierarchies.len());
    for path in &paths.hierarchies {
        let directory = path.directory();
        match open(path, &directory) {
            Ok(opened) => present.push((path, opened)),
            Err(Errno::NOENT | Errno::NODEV) => {}
            Err(source) => return Err(CgroupError::Open { path: directory, source }),
        }
    }
    Ok(present)
}

/// A container that has cgroups has one of them left.
fn or_gone<T>(present: Vec<T>, paths: &CgroupPaths) -> Result<Vec<T>, CgroupError> {
    if present.is_empty() && !paths.hierarchies.is_empty() { Err(CgroupError::Gone) } else { Ok(present) }
}

/// Makes one cgroup and the missing ones above it; false when it was there.
fn make<'plan>(path: &'plan CgroupPath, made: &mut Vec<&'plan CgroupPath>) -> Result<bool, CgroupError> {
    let directory = path.directory();
    let failed = |source| CgroupError::Make { path: directory.clone(), source };
    if path.controllers.iter().any(|name| name == "cpuset") {
        make_above(path)?;
    }
    let make = || rustix::fs::mkdirat(CWD, &directory, Mode::from_raw_mode(0o755));
    let is_new = match make() {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(Errno::NOENT) => {
            make_above(path)?;
            make().map_err(failed)?;
            true
        }
        Err(source) => return Err(failed(source)),
    };
    made.extend(is_new.then_some(path));
    inherit_cpuset(path, &directory, is_new).map_err(failed)?;
    Ok(is_new)
}

/// A new v1 cpuset has no CPU and no memory node, and takes no process in (ENOSPC): it begins with its parent's.
fn inherit_cpuset(path: &CgroupPath, directory: &Path, is_new: bool) -> Result<(), Errno> {
    let is_cpuset = path.version == Version::V1 && path.controllers.iter().any(|name| name == "cpuset");
    let (true, Some(parent)) = (is_cpuset, directory.parent()) else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = directory.join(name);
        if is_new || file::read_text(&own, file::MAX_PROC_BYTES)?.trim().is_empty() {
            let value = file::read_text(&parent.join(name), file::MAX_PROC_BYTES)?;
            file::write_at(CWD, &own, value.trim().as_bytes())?;
        }
    }
    Ok(())
}

fn make_above(path: &CgroupPath) -> Result<(), CgroupError> {
    let mut directory = PathBuf::from(&path.mount);
    let names: Vec<&str> = path.path.split('/').filter(|name| !name.is_empty()).collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        directory.push(name);
        match rustix::fs::mkdirat(CWD, &directory, Mode::from_raw_mode(0o755)) {
            made @ (Ok(()) | Err(Errno::EXIST)) => inherit_cpuset(path, &directory, made.is_ok())
                .map_err(|source| CgroupError::Make { path: directory.clone(), source })?,
            Err(source) => return Err(CgroupError::Make { path: directory, source }),
        }
    }
    Ok(())
}
