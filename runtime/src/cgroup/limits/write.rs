//! Limits written to the files of a container's cgroups. Decides nothing about values.

use std::path::Path;

use rustix::io::Errno;

use super::settings::{Knot, Limits, Setting};
use crate::cgroup::directory::Cgroup;
use crate::cgroup::error::CgroupError;
use crate::cgroup::fence::Fence;
use crate::cgroup::layout::Version;
use crate::sys::file;

impl Fence {
    /// Writes the limits.
    ///
    /// # Errors
    /// [`CgroupError::Limit`], which names the field; [`CgroupError::NoController`] when the container is in no
    /// cgroup that could take it.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), CgroupError> {
        self.check_floors(limits)?;
        limits.knots.iter().try_for_each(|knot| self.tie(knot))
    }

    pub(in super::super) fn check_floors(&self, limits: &Limits) -> Result<(), CgroupError> {
        let Some(cgroup) = self.v2().filter(|_| !limits.floors.is_empty()) else { return Ok(()) };
        // A cgroup that tells no usage is taken for empty.
        let Ok(text) = cgroup.read("memory.current") else { return Ok(()) };
        let usage: u64 = text.trim().parse().unwrap_or(0);
        for floor in &limits.floors {
            if floor.bytes <= usage {
                let what = if floor.field.ends_with("swap") { "memory+swap limit" } else { "memory limit" };
                let problem = format!("rejecting {what} {} <= usage {usage}", floor.bytes);
                return Err(CgroupError::BadLimit { what: floor.field.clone(), problem });
            }
        }
        Ok(())
    }

    /// Writes the settings; those that the kernel refuses as invalid are tried again after the others, for as long as
    /// that helps (a memory limit above the old limit of memory and swap, a period that the old quota does not fit).
    fn tie(&self, knot: &Knot) -> Result<(), CgroupError> {
        let found = match knot.version {
            Version::V1 => self.v1(knot.controller),
            Version::V2 => self.v2(),
        };
        let Some(cgroup) = found else {
            let what = knot.settings.first().map(|setting| setting.field.clone()).unwrap_or_default();
            return Err(CgroupError::NoController { what, controller: knot.controller.to_owned() });
        };
        let mut pending: Vec<&Setting> = knot.settings.iter().collect();
        loop {
            let mut refused = Vec::new();
            let mut first = None;
            for setting in &pending {
                match self.set(knot, setting, cgroup) {
                    Ok(()) => {}
                    Err(error @ CgroupError::Limit { source: Errno::INVAL, .. }) => {
                        refused.push(*setting);
                        first.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            match first {
                None => return Ok(()),
                Some(error) if refused.len() == pending.len() => return Err(error),
                Some(_) => pending = refused,
            }
        }
    }

    fn set(&self, knot: &Knot, setting: &Setting, cgroup: Cgroup<'_>) -> Result<(), CgroupError> {
        let directory = cgroup.directory()?;
        for (name, value) in &setting.choices {
            let source = match file::write_at(directory, Path::new(name), value.as_bytes()) {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT) => continue,
                Err(source) => source,
            };
            if source == Errno::BUSY && name == "memory.limit_in_bytes" {
                return Err(below_usage(setting, value, cgroup));
            }
            return Err(CgroupError::Limit {
                field: setting.field.clone(),
                path: cgroup.file(name),
                value: value.clone(),
                source,
            });
        }
        if setting.may_be_missing { Ok(()) } else { Err(self.missing(knot, setting, cgroup)) }
    }

    /// Why a cgroup has no such file.
    fn missing(&self, knot: &Knot, setting: &Setting, cgroup: Cgroup<'_>) -> CgroupError {
        let (file, value) = setting.choices.last().cloned().unwrap_or_default();
        let controller = match knot.controller {
            super::v2::UNIFIED => file.split('.').next().unwrap_or_default().to_owned(),
            named => named.to_owned(),
        };
        let has_controller = cgroup.path.version == Version::V1 || controller == "cgroup" || {
            let here = cgroup.read("cgroup.controllers").unwrap_or_default();
            here.split_whitespace().any(|name| name == controller)
        };
        if has_controller {
            let path = cgroup.file(&file);
            return CgroupError::Limit { field: setting.field.clone(), path, value, source: Errno::NOENT };
        }
        match self.obstacle(&controller) {
            Some((above, source)) => CgroupError::Enable {
                controller,
                what: setting.field.clone(),
                path: above.join("cgroup.subtree_control"),
                source,
            },
            None => CgroupError::NoController { what: setting.field.clone(), controller },
        }
    }
}

fn below_usage(setting: &Setting, value: &str, cgroup: Cgroup<'_>) -> CgroupError {
    let number = |name| cgroup.read(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let (usage, peak) = (number("memory.usage_in_bytes"), number("memory.max_usage_in_bytes"));
    let problem =
        format!("unable to set memory limit to {value} (current usage: {usage}, peak usage: {peak})");
    CgroupError::BadLimit { what: setting.field.clone(), problem }
}
