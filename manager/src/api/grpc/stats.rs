//! Stats: one look, or one a second for as long as the client listens and the container runs.

use std::time::Duration;

use knarr_proto::v1;
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use super::replies::{Replies, Sender, replies};
use crate::containers::{self, ContainerError, Containers, Sample};

/// Docker's.
const PERIOD: Duration = Duration::from_secs(1);

/// The first look is taken before anything is answered, so that an error is the answer.
pub(super) async fn stats(
    containers: &Containers,
    request: v1::ContainerStatsRequest,
) -> Result<Replies<v1::ContainerStatsReply>, Status> {
    let first = containers::stats(containers, &request.container).await?;
    let this = containers.clone();
    Ok(replies(move |sender| send(this, request, first, sender)))
}

async fn send(
    containers: Containers,
    request: v1::ContainerStatsRequest,
    first: Sample,
    sender: Sender<v1::ContainerStatsReply>,
) -> Result<(), ContainerError> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now.
    ticks.tick().await;
    let mut sample = first;
    while sender.send(Ok(reply(&sample))).await.is_ok() && request.follow {
        ticks.tick().await;
        sample = match containers::stats(&containers, &request.container).await {
            Ok(sample) => sample,
            Err(ContainerError::NotRunning(_) | ContainerError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

pub(in crate::api) fn reply(sample: &Sample) -> v1::ContainerStatsReply {
    let usage = &sample.usage;
    v1::ContainerStatsReply {
        read_at: Some(sample.read_at.into()),
        cpu_ns: usage.cpu_ns,
        cpu_user_ns: usage.cpu_user_ns,
        cpu_system_ns: usage.cpu_system_ns,
        machine_cpu_ns: sample.system_cpu_ns,
        machine_cpus: sample.cpus,
        periods: usage.periods,
        throttled_periods: usage.throttled_periods,
        throttled_ns: usage.throttled_ns,
        memory_bytes: usage.memory_bytes,
        memory_inactive_file_bytes: usage.memory_inactive_file_bytes,
        memory_limit_bytes: usage.memory_limit_bytes,
        pids: usage.pids,
        pids_limit: usage.pids_limit,
        read_bytes: usage.read_bytes,
        written_bytes: usage.written_bytes,
        oom_kills: usage.oom_kills,
    }
}
