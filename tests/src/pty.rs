//! A program on a terminal: what a person at a keyboard sees and types. The program leads a session of its own, with the
//! terminal as its controlling one (by util-linux' `setsid --ctty`).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::process;
use crate::programs;

/// A running program and the terminal's other end.
#[derive(Debug)]
pub struct Pty {
    master: File,
    child: Child,
    seen: Vec<u8>,
}

impl Pty {
    /// Starts the command on a terminal of 80 columns and 24 rows.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    #[must_use]
    #[track_caller]
    pub fn spawn(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a pseudo terminal");
        rustix::pty::grantpt(&master).expect("the terminal's other end is ours");
        rustix::pty::unlockpt(&master).expect("the terminal's other end can be opened");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("the terminal's other end has a name");
        let open_flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave =
            File::from(rustix::fs::open(name.as_c_str(), open_flags, Mode::empty()).expect("it opens"));
        let mut wrapped = Command::new(programs::tool("setsid"));
        wrapped.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        wrapped.env("TERM", "xterm").current_dir("/");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let end = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
        wrapped.stdin(end(&slave)).stdout(end(&slave)).stderr(end(&slave));
        let child = wrapped.spawn().expect("setsid starts");
        let pty = Self { master: File::from(master), child, seen: Vec::new() };
        pty.resize(80, 24);
        pty
    }

    /// Changes the terminal's size, of which the kernel tells the program (SIGWINCH).
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("the terminal has a size");
    }

    /// Types these bytes; `\x03` is Ctrl-C.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Reads until the text is seen, which stays to be expected, or for so long.
    pub fn shows(&mut self, text: &str, within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.position_of(text).is_none() && Instant::now() < end && self.read_some(end) {}
        self.position_of(text).is_some()
    }

    /// Reads until the text was seen after all earlier calls' texts, and returns what came before its end.
    ///
    /// # Panics
    /// When it is not seen in time.
    #[track_caller]
    pub fn expect(&mut self, text: &str, deadline: Duration) -> String {
        let end = Instant::now() + deadline;
        loop {
            if let Some(position) = self.position_of(text) {
                let taken: Vec<u8> = self.seen.drain(..position + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let open = self.read_some(end);
            let so_far = String::from_utf8_lossy(&self.seen);
            assert!(open, "the terminal ended before {text:?}; it showed {so_far:?}");
            assert!(Instant::now() < end, "no {text:?} within {deadline:?}; the terminal showed {so_far:?}");
        }
    }

    /// Reads all that is left and waits for the program's end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn finish(mut self, deadline: Duration) -> (ExitStatus, String) {
        let end = Instant::now() + deadline;
        while Instant::now() < end && self.read_some(end) {}
        let status = process::wait(&mut self.child, end.saturating_duration_since(Instant::now()));
        let text = String::from_utf8_lossy(&self.seen).into_owned();
        (status.unwrap_or_else(|| panic!("still running after {deadline:?}; it showed {text:?}")), text)
    }

    fn position_of(&self, text: &str) -> Option<usize> {
        self.seen.windows(text.len()).position(|window| window == text.as_bytes())
    }

    /// Waits for output until `end`; `false` when the terminal has no other end any more.
    fn read_some(&mut self, end: Instant) -> bool {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).expect("a short time");
        let mut polled = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        if rustix::event::poll(&mut polled, Some(&left)).unwrap_or(0) == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if process::wait(&mut self.child, Duration::ZERO).is_none() {
            // Its session hangs up with the terminal; this is for what does not listen.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
