//! `events`: statistics once or again and again, and a line for every time the container ran out of memory.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::error::CommandError;
use super::print::print;
use crate::args::command::EventsArgs;
use crate::cgroup::fence::Fence;
use crate::cgroup::stats::usage::Stats;
use crate::state::record::State;

/// Why events cannot be told.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum EventsError {
    #[error("duration interval must be greater than 0")]
    NoInterval,
    #[error("container with id {0} is not running")]
    NotRunning(ContainerId),
    #[error("cannot wait for events")]
    Wait { source: Errno },
}

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

#[inline(never)]
pub(super) fn run(root: &Path, args: &EventsArgs) -> Result<(), CommandError> {
    if args.interval.is_zero() {
        return Err(EventsError::NoInterval.into());
    }
    let state = State::load(root, &args.id)?;
    if state.observe(root)?.status == Status::Stopped {
        return Err(EventsError::NotRunning(args.id.clone()).into());
    }
    let fence = Fence::open(&state.cgroups)?;
    if args.stats {
        return say("stats", &args.id, Some(stats(&state, &fence)?));
    }
    follow(&state, &fence, args.interval)
}

/// Until the container ends.
fn follow(state: &State, fence: &Fence, interval: Duration) -> Result<(), CommandError> {
    let Some(init) = state.open_init()? else { return Ok(()) };
    let mut oom = fence.watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = Timespec::try_from(next.saturating_duration_since(Instant::now()));
        let (descriptor, flags) = oom.poll_on();
        let mut waiting = [
            PollFd::from_borrowed_fd(descriptor, flags),
            PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waiting, left.ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(source) => return Err(EventsError::Wait { source }.into()),
        }
        let (has_news, has_ended) = (!waiting[0].revents().is_empty(), !waiting[1].revents().is_empty());
        // The first process may have been the one that was killed for it: this comes first.
        if (has_news || has_ended) && oom.has_happened() {
            say("oom", &state.id, None)?;
        }
        if has_ended {
            return Ok(());
        }
        if Instant::now() >= next {
            say("stats", &state.id, Some(stats(state, fence)?))?;
            next = Instant::now() + interval;
        }
    }
}

fn stats(state: &State, fence: &Fence) -> Result<Stats, CommandError> {
    let mut stats = fence.stats()?;
    if let Some(group) = &state.resctrl {
        stats.intel_rdt = group.stats()?;
    }
    Ok(stats)
}

fn say(kind: &'static str, id: &ContainerId, data: Option<Stats>) -> Result<(), CommandError> {
    let event = Event { kind, id: id.as_str(), data };
    let mut line = serde_json::to_vec(&event).expect("plain data becomes JSON");
    line.push(b'\n');
    print(&line)
}
