//! All decisions about a container, made before the host is touched.

use super::request::CreateRequest;
use crate::child::error::CreateError;
use crate::host::leave_out_own_namespaces;
use crate::plan::Plan;
use crate::process::policies::Policies;
use crate::resctrl::filesystem::Resctrl;
use crate::security::seccomp::{self, Program};
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;
use crate::state::record::{Process, State, VERSION};
use crate::{cgroup, hooks, resctrl};

/// Everything that was decided before the host is touched.
#[derive(Debug)]
pub(crate) struct CreateDecisions {
    pub(crate) spec: Spec,
    pub(crate) plan: Plan,
    pub(crate) seccomp: Option<Program>,
    pub(crate) policies: Policies,
    pub(crate) cgroups: cgroup::plan::CgroupPlan,
    pub(crate) resctrl: Option<resctrl::group::GroupPlan>,
}

pub(crate) fn decide(request: &CreateRequest<'_>, mut spec: Spec) -> Result<CreateDecisions, CreateError> {
    leave_out_own_namespaces(&mut spec);
    let plan = Plan::new(&spec, &request.bundle.path)?;
    hooks::check(&spec.hooks)?;
    if let Some(process) = &spec.process {
        crate::security::apparmor::check(&process.apparmor_profile)?;
        crate::security::selinux::check(&process.selinux_label)?;
    }
    let seccomp = spec.linux.seccomp.as_ref().map(seccomp::compile).transpose()?;
    let policies = Policies::parse(spec.process.as_deref(), &spec.linux)?;
    let cgroups = cgroup::plan::plan(&spec, request.id, request.host, request.driver)?;
    let resctrl = match &spec.linux.intel_rdt {
        Some(wanted) => Some(resctrl::group::GroupPlan::new(&Resctrl::find()?, wanted, request.id)?),
        None => None,
    };
    Ok(CreateDecisions { spec, plan, seccomp, policies, cgroups, resctrl })
}

pub(crate) fn first_state(
    request: &CreateRequest<'_>,
    decided: &CreateDecisions,
) -> Result<State, CreateError> {
    let spec = &decided.spec;
    Ok(State {
        version: VERSION,
        id: request.id.clone(),
        bundle: request.bundle.path.display().to_string(),
        rootfs: decided.plan.root.path.display().to_string(),
        created: crate::output::time::now_nanos(),
        owner: request.host.euid,
        annotations: spec.annotations.clone(),
        cgroups: decided.cgroups.paths.clone(),
        resctrl: decided.resctrl.as_ref().map(|wanted| wanted.group().clone()),
        creator: Some(Process::from_pid(std::process::id())?),
        init: None,
        has_pid_namespace: decided.plan.namespaces.makes(NamespaceKind::Pid),
        has_poststart_hooks: !spec.hooks.poststart.is_empty(),
        has_poststop_hooks: !spec.hooks.poststop.is_empty(),
        descriptors: match &spec.process {
            Some(process) if process.terminal => Vec::new(),
            _ => standard_streams(),
        },
    })
}

/// What our standard streams are, and so the container's: criu is told of pipes by these names.
pub(crate) fn standard_streams() -> Vec<String> {
    let target = |number| rustix::fs::readlink(format!("/proc/self/fd/{number}"), Vec::new());
    let name =
        |number| target(number).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
    (0..3).map(name).collect()
}
