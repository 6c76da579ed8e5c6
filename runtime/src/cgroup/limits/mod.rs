//! `linux.resources` as writes to cgroup files: planned and judged here without touching a cgroup, written by
//! [`write`] before any process enters. Devices are not limits; they are in [`super::devices`].
//!
//! Each controller's limits go to the hierarchy that has it. Errors name the field by its JSON path. Zero means "not
//! set" wherever it does for runc.

pub(crate) mod settings;
pub(crate) mod v1;
pub(crate) mod v2;
pub(crate) mod write;

use std::path::Path;

use super::error::CgroupError;
use super::layout::Version;
use super::paths::CgroupPaths;
use crate::spec::resources::{Memory, Resources};
use crate::sys::file;
use settings::{Fields, Knot, Limits, Setting};

/// Each is a write to a file of the kernel's, which may look through all that were made before.
const SETTINGS_MAX: usize = 10_000;

impl Limits {
    /// Judges `resources` for a container whose cgroups are `paths`.
    ///
    /// # Errors
    /// [`CgroupError::BadLimit`] for a value that makes no sense, [`CgroupError::NoController`] for one that no
    /// hierarchy of the container can take.
    pub(crate) fn plan(
        resources: &Resources,
        paths: &CgroupPaths,
        fields: Fields<'_>,
    ) -> Result<Self, CgroupError> {
        let mut planner = Planner { paths, fields, limits: Self::default() };
        if let Some(cpu) = &resources.cpu {
            let lists = v1::cpuset(cpu, fields)?;
            planner.put("cpuset", "cpuset", lists.clone(), lists)?;
        }
        if let Some(memory) = &resources.memory {
            planner.memory(memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            let shares = v1::shares(cpu, fields)?;
            planner.put("cpu", "cpu", v1::cpu(cpu, shares, fields), v2::cpu(cpu, shares, fields))?;
        }
        if let Some(pids) = &resources.pids {
            planner.put("pids", "pids", v1::pids(*pids, fields), v1::pids(*pids, fields))?;
        }
        if let Some(io) = &resources.block_io {
            planner.put("blkio", "io", v1::blkio(io, fields)?, v2::io(io, fields)?)?;
        }
        if !resources.hugepage_limits.is_empty() {
            let pages = &resources.hugepage_limits;
            let (v1, v2) =
                (v1::hugetlb(pages, "limit_in_bytes", fields)?, v1::hugetlb(pages, "max", fields)?);
            planner.put("hugetlb", "hugetlb", v1, v2)?;
        }
        if let Some(network) = &resources.network {
            planner.network(network)?;
        }
        if !resources.rdma.is_empty() {
            let rdma = v1::rdma(&resources.rdma, fields)?;
            planner.put("rdma", "rdma", rdma.clone(), rdma)?;
        }
        planner.unified(resources)?;
        planner.bounded()
    }

    /// All limits but those in one controller's files, whichever field asked for them.
    pub(super) fn without(&self, controller: &str) -> Self {
        let first = |knot: &Knot| knot.settings.first()?.choices.first().map(|(file, _)| file.clone());
        let is_its = |knot: &&Knot| first(knot).unwrap_or_default().split('.').next() == Some(controller);
        let knots = self.knots.iter().filter(|knot| !is_its(knot));
        Self { knots: knots.cloned().collect(), floors: self.floors.clone(), warnings: Vec::new() }
    }
}

struct Planner<'a> {
    paths: &'a CgroupPaths,
    fields: Fields<'a>,
    limits: Limits,
}

impl Planner<'_> {
    /// Keeps the settings that fit the hierarchy which has the controller.
    fn put(
        &mut self,
        v1_name: &'static str,
        v2_name: &'static str,
        v1: Vec<Vec<Setting>>,
        v2: Vec<Vec<Setting>>,
    ) -> Result<(), CgroupError> {
        let asked = v1.iter().chain(&v2).flatten().next().map(|setting| setting.field.clone());
        let Some(field) = asked else { return Ok(()) };
        let (controller, version, wanted) = match home(self.paths, v1_name, v2_name) {
            Some(Version::V1) => (v1_name, Version::V1, v1),
            Some(Version::V2) => (v2_name, Version::V2, v2),
            None => return Err(CgroupError::NoController { what: field, controller: v1_name.to_owned() }),
        };
        let full = wanted.into_iter().filter(|settings| !settings.is_empty());
        self.limits.knots.extend(full.map(|settings| Knot { controller, version, settings }));
        Ok(())
    }

    fn memory(&mut self, memory: &Memory) -> Result<(), CgroupError> {
        if memory.kernel.is_some() || memory.kernel_tcp.is_some() {
            self.limits.warnings.push("Kernel memory settings are ignored and will be removed".to_owned());
        }
        v1::check_memory(memory, self.fields)?;
        let is_v2 = home(self.paths, "memory", "memory") == Some(Version::V2);
        let v2 = if is_v2 { v2::memory(memory, self.fields)? } else { Vec::new() };
        if is_v2 {
            self.limits.floors = v2::floors(memory, self.fields);
            let ignored = [
                ("memory.swappiness", memory.swappiness.is_some()),
                ("memory.disableOOMKiller", memory.disable_oom_killer == Some(true)),
            ];
            for (field, _) in ignored.iter().filter(|(_, is_asked)| *is_asked) {
                let field = self.fields.name(field);
                self.limits.warnings.push(format!("{field} is ignored: cgroup v2 has nothing like it"));
            }
        }
        self.put("memory", "memory", v1::memory(memory, self.fields), v2)
    }

    fn network(&mut self, network: &crate::spec::resources::Network) -> Result<(), CgroupError> {
        if self.paths.is_unified() {
            // runc ignores both there; a network class has no meaning without the v1 controllers.
            let field = self.fields.name("network");
            self.limits.warnings.push(format!("{field} is ignored: cgroup v2 has no network classes"));
            return Ok(());
        }
        self.put("net_cls", "net_cls", v1::net_cls(network, self.fields), Vec::new())?;
        self.put("net_prio", "net_prio", v1::net_prio(network, self.fields)?, Vec::new())
    }

    fn bounded(self) -> Result<Limits, CgroupError> {
        let mut settings = self.limits.knots.iter().flat_map(|knot| &knot.settings);
        match settings.nth(SETTINGS_MAX) {
            None => Ok(self.limits),
            Some(first) => {
                let problem = format!("there are more than {SETTINGS_MAX} limits, each of which is a write");
                Err(CgroupError::BadLimit { what: first.field.clone(), problem })
            }
        }
    }

    fn unified(&mut self, resources: &Resources) -> Result<(), CgroupError> {
        if resources.unified.is_empty() {
            return Ok(());
        }
        if !self.paths.is_unified() {
            return Err(self.fields.bad("unified", "invalid configuration: cannot use unified on cgroup v1"));
        }
        let knots = v2::unified(&resources.unified, self.fields)?;
        self.limits.knots.extend(knots);
        Ok(())
    }
}

/// Which interface a controller of the container has. In a hybrid layout the v2 hierarchy has what v1 has not.
fn home(paths: &CgroupPaths, v1_name: &str, v2_name: &str) -> Option<Version> {
    if paths.v1(v1_name).is_some() {
        return Some(Version::V1);
    }
    let v2 = paths.v2()?;
    let has_it = || {
        let path = Path::new(&v2.mount).join("cgroup.controllers");
        let text = file::read_text(&path, file::MAX_PROC_BYTES).unwrap_or_default();
        text.split_whitespace().any(|name| name == v2_name)
    };
    // Where v2 is all there is, whether it has the controller is seen when the file is to be written.
    (paths.is_unified() || has_it()).then_some(Version::V2)
}

#[cfg(test)]
mod tests;
