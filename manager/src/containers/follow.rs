//! Following a shim that starts its container again by itself: what it has done since it was last looked at is recorded
//! and told, each end and each start once and in their order.

use std::sync::Arc;

use knarr_proto::keep::health::HealthStatus;
use knarr_proto::keep::{Kept, Now, Run};

use super::container::Container;
use super::end::{Ended, end};
use super::error::ContainerError;
use super::handle::Containers;
use super::life::{Durability, Event, Exit, Life, Phase, Refused};
use crate::error::Chain;
use crate::tasks::shims::TaskExit;
use crate::time::UnixNs;

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    GoesOn,
    IsOver,
}

/// What is told of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Start,
    Oom,
    Die { code: u32 },
}

/// A life that has caught up with its shim.
struct CaughtUp {
    life: Life,
    news: Vec<News>,
    /// The run that none follows.
    last: Option<Run>,
}

/// Records and tells what `kept` says. The caller has the turn.
///
/// # Errors
/// [`ContainerError`] when it cannot be recorded.
pub(super) async fn follow(
    containers: &Containers,
    container: &Arc<Container>,
    kept: &Kept,
) -> Result<Followed, ContainerError> {
    let before = container.life();
    if before.removed || !before.phase.holds_shim() {
        return Ok(Followed::IsOver);
    }
    let caught_up = catch_up(before.clone(), kept);
    let CaughtUp { life, news, last } = caught_up
        .map_err(|Refused { phase, doing }| ContainerError::State { doing, name: container.name(), phase })?;
    if life != before {
        // The shim's own record has it, and a power cut ends it all.
        let recorded = containers.records.write(container, &life, Durability::Unsynced).await;
        containers.records.show(container, life);
        if let Err(error) = recorded {
            tracing::error!(container = %container.id(), error = %Chain(&error), "a restart was not recorded");
        }
    }
    see_health(containers, container, kept);
    for news in news {
        tell(containers, container, &news);
    }
    match (last, kept.now) {
        (Some(run), _) => {
            let at = UnixNs(run.exited_at_unix_ns).to_system_time();
            end(containers, container, Ended::Seen(TaskExit { code: run.code, at })).await;
            Ok(Followed::IsOver)
        }
        (None, Now::Over) => {
            give_up(containers, container).await;
            Ok(Followed::IsOver)
        }
        (None, Now::Running { .. } | Now::Waiting { .. }) => Ok(Followed::GoesOn),
    }
}

/// Shows what is known of its health, and tells when that has become another.
fn see_health(containers: &Containers, container: &Container, kept: &Kept) {
    let Some(health) = &kept.health else { return };
    let before = container.set_health(Some(health.clone())).map(|before| before.status);
    if before.is_none_or(|before| before == health.status) {
        return;
    }
    match health.status {
        // A new run is not told, as docker has it.
        HealthStatus::Starting => {}
        HealthStatus::Healthy => containers.records.publish(container, "health_status: healthy", &[]),
        HealthStatus::Unhealthy => containers.records.publish(container, "health_status: unhealthy", &[]),
    }
}

/// A container between two runs, whose next one is not to be, has ended. The caller has the turn.
pub(super) async fn give_up(containers: &Containers, container: &Container) {
    if container.life().phase != Phase::Restarting {
        return;
    }
    if let Err(error) = containers.records.enter(container, Event::GivenUp).await {
        tracing::error!(container = %container.id(), error = %Chain(&error), "an end was not recorded");
        if let Ok(life) = container.after(Event::GivenUp) {
            containers.records.show(container, life);
        }
    }
    containers.execution.end_task(container).await;
}

/// Lays what the shim has done over what is known. Pure.
fn catch_up(mut life: Life, kept: &Kept) -> Result<CaughtUp, Refused> {
    let (mut news, mut last) = (Vec::new(), None);
    let seen = life.followed;
    for run in kept.runs.iter().filter(|run| run.number > seen) {
        let could_start = run.error.is_empty();
        if could_start && matches!(life.phase, Phase::Starting | Phase::Restarting) {
            if life.phase == Phase::Restarting {
                news.push(News::Start);
            }
            life = life.after(Event::Started { pid: run.pid, at: UnixNs(run.started_at_unix_ns) })?;
        }
        if !run.returns && could_start {
            last = Some(run.clone());
            break;
        }
        let exit = exit_of(run);
        life = match could_start {
            true => {
                news.extend(run.oom_killed.then_some(News::Oom));
                news.push(News::Die { code: run.code });
                life.after(Event::EndedToReturn(exit))?
            }
            false => life.after(Event::FailedToReturn(exit))?,
        };
        life.followed = run.number;
    }
    if last.is_none() {
        if let (Now::Running { pid, started_at_unix_ns }, Phase::Restarting) = (kept.now, life.phase) {
            life = life.after(Event::Started { pid, at: UnixNs(started_at_unix_ns) })?;
            news.push(News::Start);
        }
        // Of runs that were too many to be kept only the number is known.
        life.followed = kept.ended;
    }
    life.restarts = kept.restarts;
    Ok(CaughtUp { life, news, last })
}

fn exit_of(run: &Run) -> Exit {
    Exit {
        code: run.code,
        finished_at: UnixNs(run.exited_at_unix_ns),
        oom_killed: run.oom_killed,
        error: run.error.clone(),
    }
}

fn tell(containers: &Containers, container: &Container, news: &News) {
    match news {
        News::Start => containers.records.publish(container, "start", &[]),
        News::Oom => containers.records.publish(container, "oom", &[]),
        News::Die { code } => {
            containers.records.publish(container, "die", &[("exitCode", code.to_string())]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Life {
        let asked = Event::StartAsked { boot_id: "boot".into(), restarts: 0 };
        let events = [Event::Made, asked, Event::Started { pid: 5, at: UnixNs(1) }];
        events.into_iter().try_fold(Life::creating(), |life, event| life.after(event)).expect("allowed")
    }

    fn run(number: u64, code: u32) -> Run {
        Run {
            number,
            pid: 10,
            started_at_unix_ns: number * 10,
            exited_at_unix_ns: number * 10 + 5,
            code,
            oom_killed: false,
            error: String::new(),
            returns: true,
        }
    }

    fn kept(runs: &[Run], now: Now) -> Kept {
        let mut kept = Kept::new(0, now);
        for run in runs {
            kept.end(run.clone(), run.returns.then_some(0));
        }
        kept.now = now;
        kept
    }

    #[test]
    fn a_shim_that_was_not_looked_at_is_caught_up_with_once() {
        let now = Now::Running { pid: 30, started_at_unix_ns: 30 };
        let kept = kept(&[run(1, 1), run(2, 2)], now);
        let CaughtUp { life, news, last } = catch_up(running(), &kept).expect("allowed");
        let die = |code| News::Die { code };
        assert_eq!(news, [die(1), News::Start, die(2), News::Start]);
        assert_eq!((life.phase, life.pid, life.ends, life.restarts), (Phase::Running, 30, 2, 2));
        assert_eq!(last, None);
        let again = catch_up(life.clone(), &kept).expect("allowed");
        assert_eq!((again.life, again.news), (life, Vec::new()));
    }

    #[test]
    fn the_last_run_is_left_to_its_end() {
        let mut over = run(2, 0);
        over.returns = false;
        let kept = kept(&[run(1, 1), over.clone()], Now::Over);
        let CaughtUp { life, news, last } = catch_up(running(), &kept).expect("allowed");
        assert_eq!(news, [News::Die { code: 1 }, News::Start]);
        assert_eq!((life.phase, last), (Phase::Running, Some(over)));
    }

    #[test]
    fn a_run_that_could_not_be_started_is_no_start() {
        let mut failed = run(2, 127);
        (failed.error, failed.pid) = ("no such file".into(), 0);
        let kept = kept(&[run(1, 1), failed], Now::Waiting { until_unix_ns: 9 });
        let CaughtUp { life, news, .. } = catch_up(running(), &kept).expect("allowed");
        assert_eq!(news, [News::Die { code: 1 }]);
        assert_eq!((life.phase, life.ends), (Phase::Restarting, 2));
        assert_eq!(life.exit.map(|exit| (exit.code, exit.error)), Some((127, "no such file".into())));
    }

    #[test]
    fn of_very_many_runs_the_last_are_told_and_all_are_counted() {
        let runs: Vec<Run> = (1..=100).map(|number| run(number, 1)).collect();
        let kept = kept(&runs, Now::Waiting { until_unix_ns: 9 });
        let CaughtUp { life, news, .. } = catch_up(running(), &kept).expect("allowed");
        assert_eq!((life.restarts, life.followed, life.phase), (100, 100, Phase::Restarting));
        assert_eq!(news.len(), 63, "32 ends, and a start between two of them");
    }
}
