//! What docker has of restarts and health, to and from the API's messages.

use serde_json::{Map, Value, json};

use super::fields::{Fields, InvalidBody};
use super::time::rfc3339;
use crate::v1::{ContainerConfig, Health, HealthCheck, HealthStatus, RestartPolicy};

/// `HostConfig.RestartPolicy`; nothing for one without a name.
///
/// # Errors
/// [`InvalidBody`].
pub(super) fn restart(host: &Fields) -> Result<Option<RestartPolicy>, InvalidBody> {
    let asked = host.object("RestartPolicy")?;
    let policy = RestartPolicy { name: asked.text("Name")?, max_retries: asked.number("MaximumRetryCount")? };
    Ok((policy != RestartPolicy::default()).then_some(policy))
}

/// The same, back.
pub(super) fn restart_back(config: &ContainerConfig) -> Value {
    match &config.restart {
        Some(policy) => json!({"Name": policy.name, "MaximumRetryCount": policy.max_retries}),
        None => json!({"Name": "no", "MaximumRetryCount": 0}),
    }
}

/// `Healthcheck`; nothing for one that says nothing. What is to be done about one that fails is not docker's.
///
/// # Errors
/// [`InvalidBody`].
pub(super) fn health(body: &Fields) -> Result<Option<HealthCheck>, InvalidBody> {
    let asked = body.object("Healthcheck")?;
    let check = HealthCheck {
        test: asked.texts("Test")?,
        interval_ns: asked.number("Interval")?,
        timeout_ns: asked.number("Timeout")?,
        start_period_ns: asked.number("StartPeriod")?,
        start_interval_ns: asked.number("StartInterval")?,
        retries: asked.number("Retries")?,
        on_failure: String::new(),
    };
    Ok((check != HealthCheck::default()).then_some(check))
}

/// The same, back: zeros are left out.
pub(super) fn health_back(check: &HealthCheck) -> Value {
    let mut object = Map::new();
    if !check.test.is_empty() {
        object.insert("Test".to_owned(), json!(check.test));
    }
    for (name, number) in [
        ("Interval", check.interval_ns),
        ("Timeout", check.timeout_ns),
        ("StartPeriod", check.start_period_ns),
        ("StartInterval", check.start_interval_ns),
        ("Retries", check.retries),
    ] {
        if number != 0 {
            object.insert(name.to_owned(), json!(number));
        }
    }
    Value::Object(object)
}

/// `State.Health`. One that does not run is unhealthy to docker.
pub(super) fn health_known(health: &Health, is_running: bool) -> Value {
    let status = match health.status() {
        _ if !is_running => "unhealthy",
        HealthStatus::None => "none",
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    };
    let log = health.results.iter().map(|result| {
        json!({
            "Start": rfc3339(result.began_at.as_ref()),
            "End": rfc3339(result.ended_at.as_ref()),
            "ExitCode": result.exit_code,
            "Output": result.output,
        })
    });
    json!({"Status": status, "FailingStreak": health.failing_streak, "Log": log.collect::<Vec<_>>()})
}
