//! The log: logrus' two formats, since containerd, conmon and Podman read them, and its third for people at a terminal.
//! It is open only while something is said: a descriptor that stayed would be among those that `--preserve-fds` means.
//! An error goes to the log, and when that is a file, once more to stderr.

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chain::Chain;
use super::facts::Facts;
use crate::args::globals::{Globals, LogFormat};
use crate::output::{refusals, time};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// How it went, with `--debug` only.
    Debug,
    /// Done, but not as asked.
    Warning,
    /// Not done.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// At a terminal: what it is called there, in its colour.
    fn coloured(self) -> &'static str {
        match self {
            Self::Debug => "\x1b[37mDEBU\x1b[0m",
            Self::Warning => "\x1b[33mWARN\x1b[0m",
            Self::Error => "\x1b[31mERRO\x1b[0m",
        }
    }
}

/// The log that was asked for cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the log {path}")]
pub(crate) struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    file: Option<PathBuf>,
    format: LogFormat,
    is_debug: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    level: Level,
    msg: &'a str,
    time: &'a str,
    #[serde(flatten)]
    facts: &'a Facts,
}

impl Log {
    /// The log that the command line asks for.
    #[must_use]
    pub(crate) fn new(globals: &Globals) -> Self {
        Self { file: globals.log.clone(), format: globals.log_format, is_debug: globals.debug }
    }

    /// Makes the file, so that the caller that asked for it finds it whatever comes. A fifo is there already, and to
    /// open and close it would tell its reader that nothing is to come.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn make(&self) -> Result<(), LogError> {
        match &self.file {
            Some(path) if path.metadata().is_ok_and(|found| !found.is_file()) => Ok(()),
            Some(path) => append(path, ""),
            None => Ok(()),
        }
    }

    /// Says why the program fails; programs that read JSON get the facts as fields of their own.
    pub(crate) fn error(&self, error: &(dyn Error + 'static), facts: &Facts) {
        let message = format!("{}{}", Chain(error), refusals::explain(facts.errno));
        if self.line(Level::Error, &message, facts) {
            to_stderr(&message);
        }
    }

    /// Says what was done otherwise than asked.
    pub(crate) fn warning(&self, message: &str) {
        self.line(Level::Warning, message, &Facts::default());
    }

    /// Says how it goes.
    pub(crate) fn debug(&self, message: &str) {
        if self.is_debug {
            self.line(Level::Debug, message, &Facts::default());
        }
    }

    /// Returns whether it is in a file. When it cannot be, that is said on stderr, and the line too.
    fn line(&self, level: Level, message: &str, facts: &Facts) -> bool {
        let text = match self.is_read_by_a_person() {
            true => format!("{}[0000] {}", level.coloured(), escaped(message)),
            false => self.render(level, message, &time::now_seconds(), facts),
        };
        let appended = self.file.as_ref().map(|path| append(path, &format!("{text}\n")));
        if let Some(Err(error)) = &appended {
            to_stderr(&Chain(error).to_string());
        }
        let is_in_file = matches!(appended, Some(Ok(())));
        if !is_in_file {
            to_stderr(&text);
        }
        is_in_file
    }

    fn is_read_by_a_person(&self) -> bool {
        self.file.is_none() && self.format == LogFormat::Text && io::stderr().is_terminal()
    }

    fn render(&self, level: Level, message: &str, time: &str, facts: &Facts) -> String {
        match self.format {
            LogFormat::Json => {
                let line = Line { level, msg: message, time, facts };
                serde_json::to_string(&line).expect("text always becomes JSON")
            }
            LogFormat::Text => format!("time=\"{time}\" level={} msg={}", level.name(), quoted(message)),
        }
    }
}

fn append(path: &Path, text: &str) -> Result<(), LogError> {
    let mut options = File::options();
    options.append(true).create(true).mode(0o644).custom_flags(libc::O_SYNC | libc::O_CLOEXEC);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| LogError { path: path.to_owned(), source })
}

/// logrus leaves a word bare when it has only these characters, and quotes anything else as Go does.
fn quoted(message: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !message.is_empty() && message.chars().all(is_plain) {
        return message.to_owned();
    }
    format!("\"{}\"", escaped(&message.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A message cannot fake a line, or talk to the terminal.
fn escaped(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// There is nowhere left to say that stderr is closed.
fn to_stderr(line: &str) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(format: LogFormat) -> Log {
        Log { file: None, format, is_debug: false }
    }

    #[test]
    fn lines_are_those_of_logrus() {
        let time = "2026-11-24T00:03:53Z";
        assert_eq!(
            log(LogFormat::Text).render(
                Level::Error,
                "runc: \"state\" requires exactly 1 argument(s)",
                time,
                &Facts::default()
            ),
            "time=\"2026-11-24T00:03:53Z\" level=error msg=\"runc: \\\"state\\\" requires exactly 1 argument(s)\""
        );
        assert_eq!(
            log(LogFormat::Json).render(Level::Error, "container does not exist", time, &Facts::default()),
            "{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"2026-11-24T00:03:53Z\"}"
        );
    }

    #[test]
    fn a_message_cannot_fake_a_second_line() {
        let line =
            log(LogFormat::Text).render(Level::Error, "a\nlevel=error msg=b\u{1b}", "t", &Facts::default());
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        assert_eq!(escaped("\\ \"a\n\u{1b}[2J"), r#"\ "a\n\u001b[2J"#);
    }
}
