//! A knarrd, the docker CLI that speaks to it, and a client of its socket that sends what a test writes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Daemon, Image, Scratch, programs};
use serde_json::Value;

/// What every container here is made from, unless a test says otherwise.
pub(crate) const IMAGE: &str = "busybox:1";

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A knarrd whose API is docker's.
pub(crate) struct Engine<'a> {
    scratch: &'a Scratch,
    pub(crate) daemon: Daemon<'a>,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl<'a> Engine<'a> {
    #[track_caller]
    pub(crate) fn start(scratch: &'a Scratch) -> Self {
        Self { scratch, daemon: Daemon::start(scratch) }
    }

    /// With [`IMAGE`].
    #[track_caller]
    pub(crate) fn with_image(scratch: &'a Scratch) -> Self {
        let engine = Self::start(scratch);
        engine.load(&Image::busybox(), IMAGE);
        engine
    }

    #[track_caller]
    pub(crate) fn load(&self, image: &Image, reference: &str) {
        let archive = self.scratch.join("image.tar");
        image.write_docker_archive(&archive, &[reference]);
        self.docker(["load".as_ref(), "--input".as_ref(), archive.as_os_str()]).success();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.daemon.state().join("docker.sock")
    }

    /// `docker ARGS`, not run yet.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.scratch.command(programs::tool("docker"));
        command.env("DOCKER_CONFIG", self.scratch.path()).env_remove("DOCKER_HOST");
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(args);
        command
    }

    /// Runs `docker ARGS` to the end.
    #[track_caller]
    pub(crate) fn docker<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// What `docker ARGS` says, which must succeed.
    #[track_caller]
    pub(crate) fn say<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.docker(args).success().stdout.trim_end().to_owned()
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("knarrd listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a timeout");
        stream.set_write_timeout(Some(ANSWER_LIMIT)).expect("a timeout");
        stream
    }

    /// Sends these bytes and reads until the end.
    #[track_caller]
    pub(crate) fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A server that has answered before all of it was there may have closed.
        drop(stream.write_all(request));
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(!answer.is_empty(), "no answer: {ended:?}");
        Reply::parse(&String::from_utf8_lossy(&answer))
    }

    /// A request without a body.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// A request with a JSON body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        let length = body.len();
        self.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    }
}

impl Reply {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let head = head.to_ascii_lowercase();
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { whole(body) } else { body.to_owned() };
        Self { status: status.unwrap_or_else(|| panic!("no status: {text}")), head, body }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What an error says.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_else(|| panic!("no message: {self:?}")).to_owned()
    }
}

/// The chunks together.
fn whole(mut chunks: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        if length == 0 || rest.len() < length {
            break;
        }
        text.push_str(&rest[..length]);
        chunks = rest[length..].trim_start_matches("\r\n");
    }
    text
}
