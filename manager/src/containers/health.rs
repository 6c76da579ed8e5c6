//! How a container's health is to be found out: what was asked for, laid over what the image says, by docker's rules.
//! Pure. What was asked for and cannot be is refused; what an image says and cannot be is left out with a warning.

use knarr_proto::keep::health::{HealthCheck, OnUnhealthy};

use super::request::HealthRequest;
use super::spec::HealthSpec;
use crate::images::ImageHealth;

/// Docker's shortest time, in nanoseconds.
const SHORTEST_NS: i64 = 1_000_000;
/// What runs a command that is one text.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The check cannot be what was asked for; docker's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidHealth {
    #[error("{0} in Healthcheck cannot be less than 1ms")]
    TooShort(&'static str),
    #[error("Retries in Healthcheck cannot be negative")]
    Retries,
    #[error("Retries in Healthcheck cannot be more than 4294967295")]
    TooManyRetries,
    #[error("unknown healthcheck type {0:?}: it is CMD, CMD-SHELL or NONE")]
    Kind(String),
    #[error("the healthcheck {0} has no command: add one")]
    NoCommand(String),
    #[error("the healthcheck's command contains a NUL byte")]
    Nul,
    #[error("unknown action on an unhealthy container {0:?}: it is none, restart, stop or kill")]
    Action(String),
    #[error("an action on an unhealthy container needs a healthcheck: add one, by --health-cmd for example")]
    NothingToActOn,
}

/// Lays `asked` over `image`. With what is left out of the image's.
///
/// # Errors
/// [`InvalidHealth`].
pub(super) fn resolve(
    asked: &HealthRequest,
    image: ImageHealth,
) -> Result<(HealthSpec, Option<String>), InvalidHealth> {
    check(asked)?;
    let on_unhealthy = OnUnhealthy::of_name(&asked.on_failure)
        .ok_or_else(|| InvalidHealth::Action(asked.on_failure.chars().take(64).collect()))?;
    let ImageHealth { check: of_image, shell } = image;
    let is_own = !asked.test.is_empty();
    let test = if is_own { asked.test.clone() } else { of_image.test };
    let (args, warning) = match command(&test, &shell) {
        Ok(args) => (args, None),
        Err(error) if is_own => return Err(error),
        Err(error) => (Vec::new(), Some(format!("the image's healthcheck is left out: {error}"))),
    };
    if args.is_empty() && on_unhealthy != OnUnhealthy::None {
        return Err(InvalidHealth::NothingToActOn);
    }
    let time = |asked: i64, of_image: i64| {
        let time = if asked == 0 { of_image } else { asked };
        u64::try_from(time).unwrap_or(0)
    };
    let retries = if asked.retries == 0 { of_image.retries } else { asked.retries };
    let check = HealthCheck {
        args,
        interval_ns: time(asked.interval_ns, of_image.interval_ns),
        timeout_ns: time(asked.timeout_ns, of_image.timeout_ns),
        start_period_ns: time(asked.start_period_ns, of_image.start_period_ns),
        start_interval_ns: time(asked.start_interval_ns, of_image.start_interval_ns),
        retries: u32::try_from(retries).unwrap_or(0),
    };
    let test = if warning.is_some() { Vec::new() } else { test };
    Ok((HealthSpec { test, check, on_unhealthy }, warning))
}

fn check(asked: &HealthRequest) -> Result<(), InvalidHealth> {
    for (name, time) in [
        ("Interval", asked.interval_ns),
        ("Timeout", asked.timeout_ns),
        ("StartPeriod", asked.start_period_ns),
        ("StartInterval", asked.start_interval_ns),
    ] {
        if time != 0 && time < SHORTEST_NS {
            return Err(InvalidHealth::TooShort(name));
        }
    }
    match asked.retries {
        ..0 => Err(InvalidHealth::Retries),
        retries if u32::try_from(retries).is_err() => Err(InvalidHealth::TooManyRetries),
        _ => Ok(()),
    }
}

/// What is executed; nothing for none.
fn command(test: &[String], shell: &[String]) -> Result<Vec<String>, InvalidHealth> {
    let Some((kind, command)) = test.split_first() else { return Ok(Vec::new()) };
    if command.iter().any(|text| text.contains('\0')) {
        return Err(InvalidHealth::Nul);
    }
    let has_command = command.first().is_some_and(|program| !program.is_empty());
    match kind.as_str() {
        "NONE" => Ok(Vec::new()),
        "CMD" | "CMD-SHELL" if !has_command => Err(InvalidHealth::NoCommand(kind.clone())),
        "CMD" => Ok(command.to_vec()),
        "CMD-SHELL" if shell.is_empty() => {
            Ok(SHELL.into_iter().map(str::to_owned).chain(command.iter().cloned()).collect())
        }
        "CMD-SHELL" => Ok(shell.iter().chain(command).cloned().collect()),
        _ => Err(InvalidHealth::Kind(kind.chars().take(64).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageCheck;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn image(test: &[&str]) -> ImageHealth {
        let check =
            ImageCheck { test: texts(test), interval_ns: 7_000_000, retries: 5, ..ImageCheck::default() };
        ImageHealth { check, shell: Vec::new() }
    }

    fn asking(test: &[&str]) -> HealthRequest {
        HealthRequest { test: texts(test), ..HealthRequest::default() }
    }

    #[test]
    fn what_is_asked_for_is_laid_over_the_image_s() {
        let (spec, _) = resolve(&asking(&[]), image(&["CMD", "check"])).expect("the image's");
        assert_eq!((spec.check.args, spec.check.retries), (texts(&["check"]), 5));
        let asked = HealthRequest { retries: 1, ..asking(&["CMD-SHELL", "a | b"]) };
        let (spec, _) = resolve(&asked, image(&["CMD", "check"])).expect("both");
        assert_eq!(spec.check.args, texts(&["/bin/sh", "-c", "a | b"]));
        assert_eq!((spec.check.interval_ns, spec.check.retries), (7_000_000, 1));
        let (spec, _) = resolve(&asking(&["NONE"]), image(&["CMD", "check"])).expect("none");
        assert_eq!((spec.active(), &spec.test), (None, &texts(&["NONE"])));
        let own_shell = ImageHealth { shell: texts(&["/bash", "-ec"]), ..image(&["CMD-SHELL", "x"]) };
        let (spec, _) = resolve(&asking(&[]), own_shell).expect("by its shell");
        assert_eq!(spec.check.args, texts(&["/bash", "-ec", "x"]));
    }

    #[test]
    fn what_cannot_be_is_refused_and_of_an_image_left_out() {
        for (asked, words) in [
            (HealthRequest { interval_ns: 999_999, ..asking(&["CMD", "x"]) }, "Interval"),
            (HealthRequest { timeout_ns: -1, ..asking(&["CMD", "x"]) }, "Timeout"),
            (HealthRequest { start_period_ns: 1, ..asking(&["CMD", "x"]) }, "StartPeriod"),
            (HealthRequest { start_interval_ns: 1, ..asking(&["CMD", "x"]) }, "StartInterval"),
            (HealthRequest { retries: -1, ..asking(&["CMD", "x"]) }, "negative"),
            (HealthRequest { retries: 1 << 40, ..asking(&["CMD", "x"]) }, "more than"),
            (asking(&["SHELL", "x"]), "\"SHELL\""),
            (asking(&["CMD"]), "no command"),
            (asking(&["CMD-SHELL", ""]), "no command"),
            (asking(&["CMD", "a\0"]), "NUL"),
            (HealthRequest { on_failure: "panic".into(), ..asking(&["CMD", "x"]) }, "\"panic\""),
            (HealthRequest { on_failure: "kill".into(), ..asking(&["NONE"]) }, "needs a healthcheck"),
        ] {
            let error = resolve(&asked, ImageHealth::default()).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        let (spec, warning) = resolve(&asking(&[]), image(&["WHAT", "x"])).expect("taken, as docker does");
        assert_eq!(spec.active(), None);
        assert!(warning.expect("told").contains("WHAT"));
    }
}
