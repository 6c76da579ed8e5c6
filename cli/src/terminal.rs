//! The terminal that a person sits at: its size, and raw mode, which is always undone.

use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use knarr_proto::v1::TerminalSize;

use crate::error::Error;

/// While it lives, standard input passes every key on: nothing is echoed, and Ctrl-C is a byte.
pub(crate) struct RawMode {
    original: Termios,
}

impl RawMode {
    /// Enters raw mode.
    ///
    /// # Errors
    /// [`Error::Terminal`] when standard input is no terminal.
    pub(crate) fn enter() -> Result<Self, Error> {
        let failed = |action| move |source| Error::Terminal { action, source };
        let original = tcgetattr(stdin()).map_err(failed("read the terminal's settings"))?;
        let mut raw = original.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed("put the terminal into raw mode"))?;
        Ok(Self { original })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Not after draining: output that Ctrl-S holds must not hold us. A terminal that has gone needs no repair.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.original);
    }
}

/// Whether keys can be read.
pub(crate) fn stdin_is_terminal() -> bool {
    isatty(stdin())
}

/// Whether a person sees standard output.
pub(crate) fn stdout_is_terminal() -> bool {
    isatty(stdout())
}

/// Whether a person sees standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    isatty(stderr())
}

/// The size of the terminal at standard output, or else at standard input.
pub(crate) fn size() -> Option<TerminalSize> {
    let window = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    (window.ws_row > 0 && window.ws_col > 0)
        .then(|| TerminalSize { rows: window.ws_row.into(), columns: window.ws_col.into() })
}
