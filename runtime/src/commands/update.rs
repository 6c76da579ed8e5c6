//! `update`: new limits for a container that is there. What it has is merged with what is asked, judged as a whole, and
//! written; when a part is refused, the old limits come back.

use std::path::{Path, PathBuf};

use knarr_proto::status::Status;
use serde_json::Value;

use super::error::CommandError;
use crate::args::command::UpdateArgs;
use crate::cgroup::fence::Fence;
use crate::cgroup::update::merge;
use crate::output::log::Log;
use crate::resctrl::error::ResctrlError;
use crate::resctrl::filesystem::Resctrl;
use crate::resctrl::group::Group;
use crate::resctrl::schema::Schemata;
use crate::spec::field_names::field;
use crate::spec::linux::IntelRdt;
use crate::spec::load::SpecError;
use crate::spec::resources::Resources;
use crate::state::names::CONFIG;
use crate::state::record::State;

/// Why the limits cannot be updated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum UpdateError {
    #[error("invalid value for {flag}: {value:?} is no {what}")]
    Value { flag: &'static str, value: String, what: &'static str },
    #[error("{0}")]
    Rdt(&'static str),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("cannot read {path}")]
    Kept { path: PathBuf, source: std::io::Error },
    #[error("{path} is not the configuration that was kept there")]
    Parse { path: PathBuf, source: serde_json::Error },
}

#[inline(never)]
pub(super) fn run(root: &Path, args: &UpdateArgs, log: &Log) -> Result<(), CommandError> {
    let state = State::load(root, &args.id)?;
    let wanted = match args.resources.as_deref() {
        Some("-") => Resources::load_stdin().map_err(UpdateError::from)?,
        Some(path) => Resources::load(Path::new(path)).map_err(UpdateError::from)?,
        None => from_flags(args)?,
    };
    check_shares(args)?;
    if matches!(state.observe(root)?.status, Status::Stopped | Status::Creating) {
        return Err(CommandError::NotRunning);
    }
    let kept = state.spec(root).map_err(UpdateError::from)?.linux;
    let shares = Shares::new(&state, kept.intel_rdt.as_ref(), args)?;
    let mut old = kept.resources;
    let mut new = old.clone();
    merge(&mut new, wanted);

    let fence = Fence::open(&state.cgroups)?;
    let limits = fence.judge(&mut new)?;
    limits.warnings.iter().for_each(|warning| log.warning(warning));
    let changed = fence.update(&new, &limits).map_err(CommandError::from);
    let changed = changed.and_then(|()| shares.iter().try_for_each(|shares| Ok(shares.set()?)));
    if let Err(error) = changed {
        let back = fence.judge(&mut old).and_then(|limits| fence.update(&old, &limits));
        if let Err(back) = back {
            log.warning(&format!("the limits before this update could not all be set again: {back}"));
        }
        return Err(error);
    }
    keep(&state, root, &new, args)
}

/// The kept configuration gets the new limits: the next update begins with them.
fn keep(state: &State, root: &Path, resources: &Resources, args: &UpdateArgs) -> Result<(), CommandError> {
    let path = root.join(state.id.as_str()).join(CONFIG);
    let failed = |source| UpdateError::Parse { path: path.clone(), source };
    let text = std::fs::read(&path).map_err(|source| UpdateError::Kept { path: path.clone(), source })?;
    let mut config: Value = serde_json::from_slice(&text).map_err(failed)?;
    let linux = field(&mut config, "linux");
    *field(linux, "resources") = serde_json::to_value(resources).map_err(failed)?;
    for (name, line) in [("l3CacheSchema", &args.l3_cache_schema), ("memBwSchema", &args.mem_bw_schema)] {
        if let Some(line) = line {
            *field(field(linux, "intelRdt"), name) = line.clone().into();
        }
    }
    let text = serde_json::to_vec(&config).map_err(failed)?;
    Ok(state.keep_config(root, &text)?)
}

/// Shares of a resctrl group; the kernel takes all of the new ones or none.
struct Shares<'a> {
    group: &'a Group,
    schemata: Schemata,
}

impl<'a> Shares<'a> {
    /// None when none are asked for.
    fn new(
        state: &'a State,
        kept: Option<&IntelRdt>,
        args: &UpdateArgs,
    ) -> Result<Option<Self>, CommandError> {
        if args.l3_cache_schema.is_none() && args.mem_bw_schema.is_none() {
            return Ok(None);
        }
        let (Some(group), Some(kept)) = (&state.resctrl, kept) else {
            return Err(
                UpdateError::Rdt("updating a non-existent Intel RDT configuration is not supported").into()
            );
        };
        let mut wanted = kept.clone();
        wanted.l3_cache_schema = args.l3_cache_schema.clone().unwrap_or(wanted.l3_cache_schema);
        wanted.mem_bw_schema = args.mem_bw_schema.clone().unwrap_or(wanted.mem_bw_schema);
        Ok(Some(Self { group, schemata: Schemata::new(&wanted, &group.resctrl())? }))
    }

    fn set(&self) -> Result<(), ResctrlError> {
        self.group.share(&self.schemata)
    }
}

/// runc's sentences for machines that have nothing to share.
fn check_shares(args: &UpdateArgs) -> Result<(), UpdateError> {
    let has = |name: &str| Resctrl::find().is_ok_and(|resctrl| resctrl.shares(name));
    if args.l3_cache_schema.is_some() && !has("L3") {
        return Err(UpdateError::Rdt("Intel RDT/CAT: l3 cache schema is not enabled"));
    }
    if args.mem_bw_schema.is_some() && !has("MB") {
        return Err(UpdateError::Rdt("Intel RDT/MBA: memory bandwidth schema is not enabled"));
    }
    Ok(())
}

fn from_flags(args: &UpdateArgs) -> Result<Resources, UpdateError> {
    let mut resources = Resources::default();
    let cpu = resources.cpu.get_or_insert_default();
    cpu.period = number("cpu-period", args.cpu_period.as_ref())?;
    cpu.quota = number("cpu-quota", args.cpu_quota.as_ref())?;
    cpu.burst = number("cpu-burst", args.cpu_burst.as_ref())?;
    cpu.shares = number("cpu-share", args.cpu_share.as_ref())?;
    cpu.realtime_period = number("cpu-rt-period", args.cpu_rt_period.as_ref())?;
    cpu.realtime_runtime = number("cpu-rt-runtime", args.cpu_rt_runtime.as_ref())?;
    cpu.idle = number("cpu-idle", args.cpu_idle.as_ref())?;
    cpu.cpus = args.cpuset_cpus.clone().unwrap_or_default();
    cpu.mems = args.cpuset_mems.clone().unwrap_or_default();
    let memory = resources.memory.get_or_insert_default();
    memory.kernel = size("kernel-memory", args.kernel_memory.as_ref())?;
    memory.kernel_tcp = size("kernel-memory-tcp", args.kernel_memory_tcp.as_ref())?;
    memory.limit = size("memory", args.memory.as_ref())?;
    memory.reservation = size("memory-reservation", args.memory_reservation.as_ref())?;
    memory.swap = size("memory-swap", args.memory_swap.as_ref())?;
    resources.pids.get_or_insert_default().limit = args.pids_limit;
    resources.block_io.get_or_insert_default().weight = args.blkio_weight.filter(|weight| *weight != 0);
    Ok(resources)
}

fn number<T: std::str::FromStr>(flag: &'static str, text: Option<&String>) -> Result<Option<T>, UpdateError> {
    let bad = |text: &str| UpdateError::Value { flag, value: text.to_owned(), what: "number in range" };
    text.map(|text| text.parse().map_err(|_| bad(text))).transpose()
}

/// `-1`, or bytes as Docker's tools write them: `67108864`, `50M`, `1.5gb`, `2GiB`.
fn size(flag: &'static str, text: Option<&String>) -> Result<Option<i64>, UpdateError> {
    let bad = |text: &str| UpdateError::Value { flag, value: text.to_owned(), what: "size" };
    text.map(|text| if text == "-1" { Ok(-1) } else { bytes(text).ok_or_else(|| bad(text)) }).transpose()
}

fn bytes(text: &str) -> Option<i64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number = &text[..end];
    let unit = text[end..].trim_start_matches(' ').to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)? * 10;
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(1 << shift);
    }
    let scaled = number.parse::<f64>().ok()? * f64::from(2_u8).powi(i32::try_from(shift).ok()?);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "judged in this line")]
    let bytes = (scaled < i64::MAX as f64).then_some(scaled as i64);
    bytes
}

#[cfg(test)]
mod tests {
    use crate::commands::update::bytes;

    #[test]
    fn sizes_are_written_as_for_docker() {
        for (text, expected) in [
            ("67108864", 67_108_864),
            ("50M", 50 << 20),
            ("50mb", 50 << 20),
            ("2GiB", 2 << 30),
            ("1.5k", 1536),
            ("1 t", 1 << 40),
            ("0", 0),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "M", "-5", "5x", "1.2.3k", "9999999999999p", "5 5"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
