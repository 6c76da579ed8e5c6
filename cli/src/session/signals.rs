//! Signals that are sent to knarr: passed on to the container, or the end of the session.

use knarr_proto::v1::KillContainerRequest;
use knarr_proto::v1::containers_client::ContainersClient;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::error::Error;

/// What is passed on. As with docker not CHLD, PIPE and URG, which are ours; nor TTIN and TTOU, which the terminal sends
/// because of what we do.
const FORWARDED: [(Signal, &str); 12] = [
    (Signal::HUP, "HUP"),
    (Signal::INT, "INT"),
    (Signal::QUIT, "QUIT"),
    (Signal::USR1, "USR1"),
    (Signal::USR2, "USR2"),
    (Signal::ALARM, "ALRM"),
    (Signal::TERM, "TERM"),
    (Signal::CONT, "CONT"),
    (Signal::TSTP, "TSTP"),
    (Signal::WINCH, "WINCH"),
    (Signal::IO, "IO"),
    (Signal::POWER, "PWR"),
];

/// What ends a session whose terminal must be restored first.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Signals waiting to be passed on; a person sends few, and one that finds the queue full is one of many.
const QUEUED_SIGNALS: usize = 16;

/// As many interrupts and terminations that a container does not end on are meant for us; docker's number.
const PATIENCE: usize = 3;

/// Signals that come are passed on to a container until this is dropped.
pub(crate) struct Forwarding {
    tasks: Vec<JoinHandle<()>>,
    enough: oneshot::Receiver<()>,
}

impl Forwarding {
    /// Catches signals from now on; they are passed on once `started` is told that the container runs.
    pub(crate) fn start(
        client: ContainersClient<Channel>,
        container: String,
        started: oneshot::Receiver<()>,
    ) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel(QUEUED_SIGNALS);
        let mut tasks = Vec::with_capacity(FORWARDED.len() + 1);
        for (number, name) in FORWARDED {
            tasks.push(tokio::spawn(collect(caught(number)?, name, sender.clone())));
        }
        let (sender, enough) = oneshot::channel();
        let passing = async {
            pass_on(client, container, started, receiver).await;
            // Nobody waits for it when the session has ended.
            let _unheard = sender.send(());
        };
        tasks.push(tokio::spawn(passing));
        Ok(Self { tasks, enough })
    }

    /// Returns when a person has lost patience with the container.
    pub(crate) async fn enough(&mut self) {
        if (&mut self.enough).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn collect(mut signal: unix::Signal, name: &'static str, sender: mpsc::Sender<&'static str>) {
    while signal.recv().await.is_some() {
        if sender.send(name).await.is_err() {
            return;
        }
    }
}

/// Passes signals on until there were too many that were to end the container.
async fn pass_on(
    mut client: ContainersClient<Channel>,
    container: String,
    started: oneshot::Receiver<()>,
    mut signals: mpsc::Receiver<&'static str>,
) {
    let mut endings = 0;
    if started.await.is_err() {
        // It did not start; how the session ends says why.
        return std::future::pending().await;
    }
    while let Some(signal) = signals.recv().await {
        endings += usize::from(matches!(signal, "INT" | "TERM"));
        if endings >= PATIENCE {
            return;
        }
        let request = KillContainerRequest { container: container.clone(), signal: signal.to_owned() };
        // A container that has just ended cannot be signalled; the session says how it ended.
        let _ended = client.kill(request).await;
    }
}

/// The signals that end a session in raw mode.
pub(super) struct Endings {
    signals: Option<[unix::Signal; 4]>,
}

impl Endings {
    /// Catches them, when the terminal is going to be raw; otherwise they end us as any program.
    pub(super) fn new(is_raw: bool) -> Result<Self, Error> {
        if !is_raw {
            return Ok(Self { signals: None });
        }
        let [hup, int, quit, term] = ENDING.map(caught);
        Ok(Self { signals: Some([hup?, int?, quit?, term?]) })
    }

    /// The next one's number; never, when they are not caught.
    pub(super) async fn next(&mut self) -> i32 {
        let Some([hup, int, quit, term]) = &mut self.signals else { return std::future::pending().await };
        tokio::select! {
            _ = hup.recv() => ENDING[0].as_raw(),
            _ = int.recv() => ENDING[1].as_raw(),
            _ = quit.recv() => ENDING[2].as_raw(),
            _ = term.recv() => ENDING[3].as_raw(),
        }
    }
}

fn caught(number: Signal) -> Result<unix::Signal, Error> {
    unix::signal(SignalKind::from_raw(number.as_raw()))
        .map_err(|source| Error::Stream { action: "watch for signals", source })
}
