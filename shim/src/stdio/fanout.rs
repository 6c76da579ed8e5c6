//! The queues between a process's output and the clients of its attach socket: what waits, for how long, and what is
//! dropped and counted. Pure bookkeeping; time comes in from outside and nothing here does I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use knarr_proto::frame::{FrameKind, Stream};

/// Output that waits for one client. Eight reads: enough that a client on the same machine never stalls for being
/// scheduled late, little enough that a hundred stalled ones do not matter.
pub(crate) const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// How long a client that does not read may hold up the process's output. Long enough for a laptop's short sleep or a
/// manager's restart, short enough that a client that reads nothing never stops a container for good.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Clients at a time. One manager holds one for each person that watches; far more is a leak on its side.
pub(crate) const MAX_CLIENTS: usize = 64;

/// A client's name among the clients of a socket.
pub(crate) type ClientId = u64;

/// A frame to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// What it carries.
    pub(crate) kind: FrameKind,
    /// Its payload; shared between clients.
    pub(crate) payload: Arc<[u8]>,
}

/// All clients' queues.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    clients: BTreeMap<ClientId, Queue>,
    next: ClientId,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Outgoing>,
    bytes: usize,
    stalled_since: Option<Instant>,
    /// It used up its time: output passes it by until it has read what is queued.
    lagging: bool,
    dropped: u64,
}

/// Whether a chunk may be pushed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Push.
    Now,
    /// Ask again when a client has read something, at the latest at this time.
    Until(Instant),
}

impl Fanout {
    /// A new client; `None` when there are [`MAX_CLIENTS`].
    pub(crate) fn join(&mut self) -> Option<ClientId> {
        if self.clients.len() >= MAX_CLIENTS {
            return None;
        }
        self.next += 1;
        self.clients.insert(self.next, Queue::default());
        Some(self.next)
    }

    /// The client has gone; the pumps no longer wait for it.
    pub(crate) fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Whether `length` bytes may be pushed at `now`. A client without room is waited for until its [`STALL_LIMIT`] is
    /// used up, and then not again before it has read all that is queued for it.
    pub(crate) fn room(&mut self, length: usize, now: Instant) -> Room {
        let mut until: Option<Instant> = None;
        for queue in self.clients.values_mut().filter(|queue| !queue.lagging) {
            if queue.has_room(length) {
                queue.stalled_since = None;
                continue;
            }
            let deadline = *queue.stalled_since.get_or_insert(now) + STALL_LIMIT;
            if deadline <= now {
                queue.lagging = true;
                queue.stalled_since = None;
            } else {
                until = Some(until.map_or(deadline, |earlier| earlier.min(deadline)));
            }
        }
        until.map_or(Room::Now, Room::Until)
    }

    /// Queues a chunk for every client; an empty one says that the stream has ended. Clients that lag miss it, and what
    /// they missed is counted. Call [`Fanout::room`] first.
    pub(crate) fn push(&mut self, stream: Stream, chunk: &Arc<[u8]>) {
        for queue in self.clients.values_mut() {
            let ends = chunk.is_empty();
            if queue.lagging && !ends && !queue.frames.is_empty() {
                queue.dropped += u64::try_from(chunk.len()).expect("a chunk's length fits");
                continue;
            }
            queue.report_dropped();
            queue.put(FrameKind::Output(stream), Arc::clone(chunk));
        }
    }

    /// The next frame for a client.
    pub(crate) fn next(&mut self, client: ClientId) -> Option<Outgoing> {
        self.clients.get(&client)?.frames.front().cloned()
    }

    /// The frame that [`Fanout::next`] gave has been sent.
    pub(crate) fn sent(&mut self, client: ClientId) {
        if let Some(queue) = self.clients.get_mut(&client)
            && let Some(frame) = queue.frames.pop_front()
        {
            queue.bytes -= frame.payload.len();
        }
    }
}

impl Queue {
    fn has_room(&self, length: usize) -> bool {
        self.bytes == 0 || self.bytes + length <= MAX_QUEUED_BYTES
    }

    fn put(&mut self, kind: FrameKind, payload: Arc<[u8]>) {
        self.bytes += payload.len();
        self.frames.push_back(Outgoing { kind, payload });
    }

    fn report_dropped(&mut self) {
        self.lagging = false;
        if self.dropped > 0 {
            self.put(FrameKind::Dropped, Arc::from(self.dropped.to_be_bytes()));
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(length: usize) -> Arc<[u8]> {
        vec![b'x'; length].into()
    }

    fn drain(fanout: &mut Fanout, client: ClientId) -> Vec<(FrameKind, usize)> {
        let mut frames = Vec::new();
        while let Some(frame) = fanout.next(client) {
            fanout.sent(client);
            frames.push((frame.kind, frame.payload.len()));
        }
        frames
    }

    #[test]
    fn a_stalled_client_is_waited_for_and_then_passed_by_and_told() {
        let mut fanout = Fanout::default();
        let (slow, fast) = (fanout.join().expect("room"), fanout.join().expect("room"));
        let start = Instant::now();
        let full = chunk(MAX_QUEUED_BYTES);
        assert_eq!(fanout.room(full.len(), start), Room::Now);
        fanout.push(Stream::Stdout, &full);
        drain(&mut fanout, fast);

        assert_eq!(fanout.room(1, start), Room::Until(start + STALL_LIMIT));
        assert_eq!(fanout.room(1, start + STALL_LIMIT), Room::Now);
        fanout.push(Stream::Stdout, &chunk(1));
        fanout.push(Stream::Stdout, &chunk(2));
        assert_eq!(drain(&mut fanout, fast).len(), 2, "others miss nothing");

        assert_eq!(drain(&mut fanout, slow), [(FrameKind::Output(Stream::Stdout), MAX_QUEUED_BYTES)]);
        assert_eq!(fanout.room(1, start + STALL_LIMIT), Room::Now);
        fanout.push(Stream::Stdout, &chunk(7));
        let frames = [(FrameKind::Dropped, 8), (FrameKind::Output(Stream::Stdout), 7)];
        assert_eq!(drain(&mut fanout, slow), frames, "3 bytes were missed, and it is told before it goes on");
    }

    #[test]
    fn a_lagging_client_is_told_at_the_end_too() {
        let mut fanout = Fanout::default();
        let client = fanout.join().expect("room");
        let start = Instant::now();
        fanout.push(Stream::Stdout, &chunk(MAX_QUEUED_BYTES));
        fanout.room(1, start);
        fanout.room(1, start + STALL_LIMIT);
        fanout.push(Stream::Stdout, &chunk(5));
        fanout.push(Stream::Stdout, &chunk(0));
        let kinds: Vec<_> = drain(&mut fanout, client).into_iter().map(|(kind, _)| kind).collect();
        let output = FrameKind::Output(Stream::Stdout);
        assert_eq!(kinds, [output, FrameKind::Dropped, output]);
    }

    #[test]
    fn a_client_that_leaves_holds_nobody_up() {
        let mut fanout = Fanout::default();
        let client = fanout.join().expect("room");
        fanout.push(Stream::Stderr, &chunk(MAX_QUEUED_BYTES));
        assert!(matches!(fanout.room(1, Instant::now()), Room::Until(_)));
        fanout.leave(client);
        assert_eq!(fanout.room(1, Instant::now()), Room::Now);
    }

    #[test]
    fn clients_have_a_bound() {
        let mut fanout = Fanout::default();
        for _ in 0..MAX_CLIENTS {
            assert!(fanout.join().is_some());
        }
        assert_eq!(fanout.join(), None);
    }
}
