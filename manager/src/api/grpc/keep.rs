//! What a container's shim does for it without being asked, from the API's messages to the noun's words and back. Pure.

use knarr_proto::keep::health::{Health, HealthStatus, ProbeResult};
use knarr_proto::keep::policy::{self, InvalidPolicy, RestartPolicy};
use knarr_proto::v1;

use super::translate::unix;
use crate::containers::{HealthRequest, HealthSpec};
use crate::time::UnixNs;

/// When the container is started again.
///
/// # Errors
/// [`InvalidPolicy`].
pub(in crate::api) fn policy(asked: &v1::RestartPolicy) -> Result<RestartPolicy, InvalidPolicy> {
    policy::policy(&asked.name, asked.max_retries)
}

/// Nothing for the default.
pub(super) fn policy_back(policy: RestartPolicy) -> Option<v1::RestartPolicy> {
    let max_retries = policy.max_retries().into();
    (policy != RestartPolicy::No).then(|| v1::RestartPolicy { name: policy.name().to_owned(), max_retries })
}

/// How its health is to be found out.
pub(super) fn health(asked: v1::HealthCheck) -> HealthRequest {
    HealthRequest {
        test: asked.test,
        interval_ns: asked.interval_ns,
        timeout_ns: asked.timeout_ns,
        start_period_ns: asked.start_period_ns,
        start_interval_ns: asked.start_interval_ns,
        retries: asked.retries,
        on_failure: asked.on_failure,
    }
}

/// The same together with what the image says; nothing for nothing.
pub(super) fn health_back(spec: &HealthSpec) -> Option<v1::HealthCheck> {
    let HealthSpec { test, check, on_unhealthy } = spec;
    let time = |nanoseconds| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
    (!test.is_empty()).then(|| v1::HealthCheck {
        test: test.clone(),
        interval_ns: time(check.interval_ns),
        timeout_ns: time(check.timeout_ns),
        start_period_ns: time(check.start_period_ns),
        start_interval_ns: time(check.start_interval_ns),
        retries: check.retries.into(),
        on_failure: on_unhealthy.name().to_owned(),
    })
}

/// In one word.
pub(super) fn summary_health(health: Option<&Health>) -> v1::HealthStatus {
    health.map_or(v1::HealthStatus::None, |health| health_status(health.status))
}

fn health_status(status: HealthStatus) -> v1::HealthStatus {
    match status {
        HealthStatus::Starting => v1::HealthStatus::Starting,
        HealthStatus::Healthy => v1::HealthStatus::Healthy,
        HealthStatus::Unhealthy => v1::HealthStatus::Unhealthy,
    }
}

pub(super) fn known_health(health: &Health) -> v1::Health {
    let result = |result: &ProbeResult| v1::ProbeResult {
        began_at: Some(unix(UnixNs(result.began_unix_ns))),
        ended_at: Some(unix(UnixNs(result.ended_unix_ns))),
        exit_code: result.code,
        output: result.output.clone(),
    };
    v1::Health {
        status: health_status(health.status).into(),
        failing_streak: health.failing_streak,
        results: health.results.iter().map(result).collect(),
    }
}
