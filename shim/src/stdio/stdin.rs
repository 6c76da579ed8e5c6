//! The process's input: one pipe or terminal that the attach socket's clients, or the caller's fifo, write to. Closing it
//! lets what was accepted before arrive.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::descriptor::Descriptor;
use crate::flag::Flag;

/// The process's standard input, until it is closed.
#[derive(Debug)]
pub(crate) struct Stdin {
    state: Mutex<State>,
    /// True as soon as there is nothing more to wait for: ended, closed, or never there.
    closed: Flag,
    /// Writers take turns, so that two clients' frames do not mix.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum State {
    /// The terminal has not come yet.
    Awaited,
    Open {
        descriptor: Arc<Descriptor>,
        is_terminal: bool,
    },
    Closed,
}

impl Stdin {
    /// Input through our end of a pipe.
    pub(crate) fn pipe(descriptor: Descriptor) -> Self {
        Self::with(State::Open { descriptor: Arc::new(descriptor), is_terminal: false })
    }

    /// Input that will go to a terminal once the runtime has sent it.
    pub(crate) fn awaited() -> Self {
        Self::with(State::Awaited)
    }

    /// No input: /dev/null.
    pub(crate) fn none() -> Self {
        Self::with(State::Closed)
    }

    fn with(state: State) -> Self {
        let closed = Flag::default();
        if matches!(state, State::Closed) {
            closed.raise();
        }
        Self { state: Mutex::new(state), closed, turn: tokio::sync::Mutex::default() }
    }

    /// The terminal has come.
    pub(crate) fn connect(&self, terminal: Arc<Descriptor>) {
        let mut state = self.lock();
        if matches!(*state, State::Awaited) {
            *state = State::Open { descriptor: terminal, is_terminal: true };
        }
    }

    /// Writes to the process. Input is discarded once it is closed, and before it is connected.
    ///
    /// # Errors
    /// When the process has closed its side.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let descriptor = match &*self.lock() {
            State::Open { descriptor, .. } => Arc::clone(descriptor),
            State::Awaited | State::Closed => return Ok(()),
        };
        descriptor.write_all(bytes).await
    }

    /// No more input. A terminal has no such end and stays (Docker's rule, too); a write under way is finished first.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if !matches!(*state, State::Open { is_terminal: true, .. }) {
            *state = State::Closed;
        }
        drop(state);
        self.closed.raise();
    }

    /// Tells the pump that there is no more input: what is under way still arrives, and then it is
    /// closed.
    pub(crate) fn end(&self) {
        self.closed.raise();
    }

    /// Gives up the descriptor, terminal or not: the process has ended.
    pub(crate) fn release(&self) {
        *self.lock() = State::Closed;
        self.closed.raise();
    }

    /// Waits until [`Stdin::end`] or [`Stdin::close`] was called.
    pub(crate) async fn closed(&self) {
        self.closed.raised().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}
