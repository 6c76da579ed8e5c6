//! `knarr stats`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use knarr_proto::v1::{
    Container, ContainerStatsReply, ContainerStatsRequest, InspectContainerRequest, ListContainersRequest,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::each::DONE;
use crate::args::container::StatsArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::Format;
use crate::format::stats::{COLUMNS, Samples, row};
use crate::output;

/// How often the screen is written anew; samples come once a second.
const PERIOD: Duration = Duration::from_millis(500);
/// Clears the screen, and goes to its beginning.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Shows what containers use, once or again and again.
pub(super) async fn run(args: StatsArgs, address: &Address) -> Result<u8, Error> {
    let format = Format::parse(&args.format, COLUMNS.default)?;
    let client = Client::connect(address).await?;
    let watched = watched(&client, &args).await?;
    let (sender, mut samples) = mpsc::channel(watched.len().max(1));
    let mut seen: BTreeMap<String, Samples> = BTreeMap::new();
    for container in &watched {
        seen.insert(container.id.clone(), Samples::default());
        tokio::spawn(follow(client.clone(), container.id.clone(), sender.clone()));
    }
    drop(sender);
    let show = |seen: &BTreeMap<String, Samples>| {
        let rows = watched.iter().filter_map(|container| {
            seen.get(&container.id)
                .map(|samples| row(&container.id, &container.name, samples, !args.no_trunc))
        });
        format.render(COLUMNS, &rows.collect::<Vec<_>>()).map_err(Error::from)
    };
    if args.no_stream {
        // Two of each: a share of time needs two moments.
        while let Some((id, sample)) = samples.recv().await {
            seen.entry(id).or_default().add(sample);
            if seen.values().all(Samples::is_settled) {
                break;
            }
        }
        output::print(&show(&seen)?)?;
        return Ok(DONE);
    }
    let is_screen = std::io::stdout().is_terminal();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            sample = samples.recv() => match sample {
                Some((id, sample)) => seen.entry(id).or_default().add(sample),
                // None of them runs any more.
                None => {
                    output::print(&show(&seen)?)?;
                    return Ok(DONE);
                }
            },
            _ = ticks.tick() => {
                let clear = if is_screen { CLEAR } else { "" };
                output::print(&format!("{clear}{}", show(&seen)?))?;
            }
        }
    }
}

/// The containers that are asked for; without a name, all that run.
async fn watched(client: &Client, args: &StatsArgs) -> Result<Vec<Container>, Error> {
    let mut watched = Vec::new();
    for name in &args.containers {
        let request = InspectContainerRequest { container: name.clone(), size: false };
        let found = client.containers().inspect(request).await?.into_inner();
        watched.extend(found.container);
    }
    if args.containers.is_empty() {
        let request = ListContainersRequest { all: args.all, ..Default::default() };
        let mut replies = client.containers().list(request).await?.into_inner();
        while let Some(reply) = replies.message().await? {
            let of_summary = |summary: knarr_proto::v1::ContainerSummary| Container {
                id: summary.id,
                name: summary.name,
                ..Container::default()
            };
            watched.extend(reply.containers.into_iter().map(of_summary));
        }
    }
    Ok(watched)
}

/// Passes on what a container uses until it ends, which is told, too.
async fn follow(
    client: Client,
    container: String,
    sender: mpsc::Sender<(String, Option<ContainerStatsReply>)>,
) {
    let request = ContainerStatsRequest { container: container.clone(), follow: true };
    if let Ok(replies) = client.containers().stats(request).await {
        let mut replies = replies.into_inner();
        while let Ok(Some(sample)) = replies.message().await {
            if sender.send((container.clone(), Some(sample))).await.is_err() {
                return;
            }
        }
    }
    // When nobody listens any more, there is nobody to tell.
    drop(sender.send((container, None)).await);
}
