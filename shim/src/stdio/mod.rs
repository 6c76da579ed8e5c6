//! A process's three streams: where the caller wants them, the pipes or the terminal between, and the tasks that move the
//! bytes. `target` reads the request, `pump` moves output, `stdin` input, `attach` and `fanout` serve knarrd's clients.

pub(crate) mod attach;
mod fanout;
mod pump;
mod stdin;
mod target;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use knarr_proto::frame::Stream;
use rustix::process::{Gid, Uid};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::attach::Attach;
use self::pump::{LINGER_LIMIT, Signals, Sink, pump};
use self::stdin::Stdin;
pub(crate) use self::target::{BadTarget, Request, Target};
use crate::descriptor::Descriptor;
use crate::flag::Flag;
use crate::runtime::ContainerStreams;

/// A process's streams cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StdioError {
    /// What was asked for makes no sense.
    #[error("cannot tell where the streams are to go")]
    Target(#[source] BadTarget),
    /// The place is clear but cannot be used.
    #[error("cannot open {}", path.display())]
    Open {
        /// A fifo, file, socket or log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No pipe.
    #[error("cannot make the process's pipes")]
    Pipe(#[source] io::Error),
}

/// The owner of the process's ends of the pipes; a user in the container may have to reopen /dev/stdout.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PipeOwner {
    /// User, host numbers; 0 leaves it.
    pub(crate) uid: u32,
    /// Group, likewise.
    pub(crate) gid: u32,
}

/// The streams of one process, from before it is made until it is deleted.
#[derive(Debug)]
pub(crate) struct Streams {
    stdin: Arc<Stdin>,
    /// Whether input comes through the caller's fifo.
    has_fifo: bool,
    /// Whether output may have to wait for somebody to read it.
    waits_for_reader: bool,
    attach: Option<Arc<Attach>>,
    /// With a terminal, what is to be pumped when it comes.
    awaited: Mutex<Option<(Sink, EndSenders)>>,
    started: Flag,
    exited: Flag,
    drained: Mutex<Option<mpsc::Receiver<()>>>,
    pumps: Mutex<JoinSet<()>>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// Nothing is ever sent through these; a gate opens when the last pump has dropped its sender.
#[derive(Clone, Debug)]
struct EndSenders {
    /// All that the process itself wrote has been taken.
    drained: mpsc::Sender<()>,
    /// The stream has ended.
    ended: mpsc::Sender<()>,
}

impl Streams {
    /// Opens everything that `target` names, and returns with it the process's own ends. With a terminal there are none:
    /// [`Streams::connect`] follows. The attach socket can be connected to when this returns.
    pub(crate) fn open(
        target: &Target,
        has_terminal: bool,
        owner: PipeOwner,
        bundle: &Path,
    ) -> Result<(Arc<Self>, ContainerStreams), StdioError> {
        let mut ends = ContainerStreams::default();
        let stdin = Arc::new(if !target.has_stdin() {
            Stdin::none()
        } else if has_terminal {
            Stdin::awaited()
        } else {
            let (theirs, ours) = pipe(owner, PipeEnd::Read)?;
            ends.stdin = Some(theirs);
            Stdin::pipe(ours)
        });
        let opened = target.open(&stdin, bundle)?;
        let (drained, drained_gate) = mpsc::channel(1);
        let (ended, ended_gate) = mpsc::channel(1);
        let senders = EndSenders { drained, ended };
        let streams = Arc::new(Self {
            stdin: Arc::clone(&stdin),
            has_fifo: opened.input.is_some(),
            waits_for_reader: [&opened.stdout, &opened.stderr]
                .into_iter()
                .flatten()
                .any(Sink::waits_for_reader),
            serving: Mutex::new(opened.attach.clone().map(|attach| tokio::spawn(serve(attach, ended_gate)))),
            attach: opened.attach,
            awaited: Mutex::new(None),
            started: Flag::default(),
            exited: Flag::default(),
            drained: Mutex::new(Some(drained_gate)),
            pumps: Mutex::new(JoinSet::new()),
        });
        if let Some(input) = opened.input {
            lock(&streams.pumps).spawn(input.pump(stdin));
        }
        if has_terminal {
            *lock(&streams.awaited) = opened.stdout.map(|sink| (sink, senders));
            return Ok((streams, ends));
        }
        for (stream, sink, end) in [
            (Stream::Stdout, opened.stdout, &mut ends.stdout),
            (Stream::Stderr, opened.stderr, &mut ends.stderr),
        ] {
            let Some(sink) = sink else { continue };
            let (theirs, ours) = pipe(owner, PipeEnd::Write)?;
            *end = Some(theirs);
            streams.pump(Arc::new(ours), stream, sink, senders.clone());
        }
        Ok((streams, ends))
    }

    /// The terminal has come: input and output begin.
    pub(crate) fn connect(&self, terminal: &Arc<Descriptor>) {
        self.stdin.connect(Arc::clone(terminal));
        let awaited = lock(&self.awaited).take();
        if let Some((sink, senders)) = awaited {
            self.pump(Arc::clone(terminal), Stream::Stdout, sink, senders);
        }
    }

    fn pump(&self, source: Arc<Descriptor>, stream: Stream, sink: Sink, senders: EndSenders) {
        let EndSenders { drained, ended } = senders;
        let signals = Signals { started: self.started.clone(), exited: self.exited.clone(), drained };
        lock(&self.pumps).spawn(async move {
            pump(source, stream, sink, signals).await;
            drop(ended);
        });
    }

    /// The process is about to be told to go: clients that have connected will see its output from the first byte.
    pub(crate) fn starting(&self) {
        if let Some(attach) = &self.attach {
            attach.accept_waiting();
        }
        self.started.raise();
    }

    /// The process has ended. Returns when all that it wrote has been delivered or recorded; a reader that holds things up,
    /// or has not come, is given [`LINGER_LIMIT`], as containerd's own shim gives it.
    pub(crate) async fn process_exited(&self) {
        self.started.raise();
        self.exited.raise();
        self.stdin.release();
        // A terminal that has not come will not come any more.
        drop(lock(&self.awaited).take());
        let drained = lock(&self.drained).take();
        let Some(mut drained) = drained else { return };
        if self.waits_for_reader {
            timeout(LINGER_LIMIT, drained.recv()).await.ok();
        } else {
            drained.recv().await;
        }
    }

    /// Makes the attach socket anew if its name is gone.
    pub(crate) fn renew_socket(&self) -> io::Result<()> {
        self.attach.as_ref().map_or(Ok(()), |attach| attach.renew())
    }

    /// No more input, but for what its writers have on the way in a fifo.
    pub(crate) fn close_stdin(&self) {
        if self.has_fifo {
            self.stdin.end();
        } else {
            self.stdin.close();
        }
    }

    /// The process is being deleted, or was never made: what is under way may end within [`LINGER_LIMIT`], the rest is
    /// given up. The returned task, if any, ends when the attach socket's clients have read what is queued for them.
    pub(crate) async fn close(&self) -> Option<JoinHandle<()>> {
        self.stdin.release();
        drop(lock(&self.awaited).take());
        let mut pumps = std::mem::take(&mut *lock(&self.pumps));
        let all = async { while pumps.join_next().await.is_some() {} };
        if timeout(LINGER_LIMIT, all).await.is_err() {
            pumps.shutdown().await;
        }
        lock(&self.serving).take()
    }
}

/// Serves the attach socket until the last of its streams has ended.
async fn serve(attach: Arc<Attach>, mut ended: mpsc::Receiver<()>) {
    let end = async {
        ended.recv().await;
        attach.end();
    };
    tokio::join!(Arc::clone(&attach).serve(), end);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under these locks")
}

/// Which end of a pipe the process gets.
#[derive(Clone, Copy)]
enum PipeEnd {
    Read,
    Write,
}

/// A pipe: the process's end and ours.
fn pipe(owner: PipeOwner, theirs: PipeEnd) -> Result<(OwnedFd, Descriptor), StdioError> {
    let (reader, writer) = io::pipe().map_err(StdioError::Pipe)?;
    let (theirs, ours) = match theirs {
        PipeEnd::Read => (OwnedFd::from(reader), OwnedFd::from(writer)),
        PipeEnd::Write => (OwnedFd::from(writer), OwnedFd::from(reader)),
    };
    let uid = (owner.uid != 0).then(|| Uid::from_raw(owner.uid));
    let gid = (owner.gid != 0).then(|| Gid::from_raw(owner.gid));
    if uid.is_some() || gid.is_some() {
        rustix::fs::fchown(&theirs, uid, gid).map_err(|errno| StdioError::Pipe(errno.into()))?;
    }
    Ok((theirs, Descriptor::new(ours).map_err(StdioError::Pipe)?))
}
