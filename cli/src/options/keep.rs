//! Restart policies and health checks, as they are typed.

use std::time::Duration;

use knarr_proto::duration;
use knarr_proto::keep::policy::{InvalidPolicy, RestartPolicy as Policy};
use knarr_proto::v1::{HealthCheck, RestartPolicy};

use super::BadOption;
use crate::args::container_options::ContainerOptions;
use crate::args::keep_options::HealthOptions;

/// `--restart`
pub(crate) fn restart(text: &str) -> Result<RestartPolicy, InvalidPolicy> {
    let policy: Policy = text.parse()?;
    Ok(RestartPolicy { name: policy.name().to_owned(), max_retries: policy.max_retries().into() })
}

/// What contradicts itself.
///
/// # Errors
/// `--rm` and `--restart` exclude each other.
pub(crate) fn check(options: &ContainerOptions) -> Result<(), BadOption> {
    let restarts = options.keep.restart.as_ref().is_some_and(|policy| policy.name != Policy::No.name());
    match restarts && options.identity.rm {
        true => Err(BadOption::Conflict("cannot specify both --restart and --rm")),
        false => Ok(()),
    }
}

/// A time of `--health-…`, in nanoseconds; docker refuses those below 0 by name.
pub(crate) fn nanoseconds(text: &str) -> Result<i64, BadOption> {
    let bad = || BadOption::form(text, "a time such as 500ms, 30s or 1m30s");
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let time = if text == "0" { Duration::ZERO } else { duration::parse(text).ok_or_else(bad)? };
    if is_negative && !time.is_zero() {
        return Err(BadOption::form(&format!("-{text}"), "a time that is not negative"));
    }
    i64::try_from(time.as_nanos()).map_err(|_| bad())
}

/// `--health-retries`
pub(crate) fn retries(text: &str) -> Result<i64, BadOption> {
    let retries = text.parse::<u32>().map(i64::from);
    retries.map_err(|_| BadOption::form(text, "a number of failures that is not negative"))
}

/// How health is to be found out; nothing when nothing is said.
///
/// # Errors
/// `--no-healthcheck` excludes all others.
pub(crate) fn health(options: &HealthOptions) -> Result<Option<HealthCheck>, BadOption> {
    let command = |command: &str| vec!["CMD-SHELL".to_owned(), command.to_owned()];
    let check = HealthCheck {
        test: if options.health_cmd.is_empty() { Vec::new() } else { command(&options.health_cmd) },
        interval_ns: options.health_interval.unwrap_or(0),
        timeout_ns: options.health_timeout.unwrap_or(0),
        start_period_ns: options.health_start_period.unwrap_or(0),
        start_interval_ns: options.health_start_interval.unwrap_or(0),
        retries: options.health_retries.unwrap_or(0),
        on_failure: options.health_on_failure.clone().unwrap_or_default(),
    };
    let says_something = check != HealthCheck::default();
    match options.no_healthcheck {
        true if says_something => {
            Err(BadOption::Conflict("--no-healthcheck conflicts with --health-* options"))
        }
        true => Ok(Some(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() })),
        false => Ok(says_something.then_some(check)),
    }
}
