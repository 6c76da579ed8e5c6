//! What is shown of a build: lines on standard error, as docker's plain progress has them.

use std::time::Instant;

use knarr_proto::v1::build_reply::Message;

use crate::output;

/// The lines of a build as it goes.
pub(super) struct Lines {
    is_quiet: bool,
    number: u32,
    began: Instant,
    /// The step has announced itself and is not done.
    is_open: bool,
    is_cached: bool,
    /// Output whose line has not ended yet.
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            number: 0,
            began: Instant::now(),
            is_open: false,
            is_cached: false,
            rest: Vec::new(),
        }
    }

    fn say(&self, text: &str) {
        if !self.is_quiet {
            output::note(&format!("#{} {text}", self.number));
        }
    }

    pub(super) fn tell(&mut self, message: Message) {
        match message {
            Message::Step(step) => {
                self.number += 1;
                (self.began, self.is_open, self.is_cached) = (Instant::now(), true, false);
                self.say(&format!("[{} {}/{}] {}", step.stage, step.number, step.total, step.text));
            }
            Message::Cached(_) => {
                self.is_cached = true;
                self.say("CACHED");
            }
            Message::Output(piece) => self.output(&piece.data),
            Message::Pulling(image) => self.say(&format!("pulling {image}")),
            Message::Note(text) => self.say(&text),
            Message::Done(_) => self.done(),
            Message::Running(_) | Message::Built(_) => {}
        }
    }

    fn output(&mut self, data: &[u8]) {
        self.rest.extend_from_slice(data);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(&line[..end]);
        }
    }

    fn line(&self, line: &[u8]) {
        let elapsed = self.began.elapsed().as_secs_f64();
        self.say(&format!("{elapsed:.3} {}", String::from_utf8_lossy(line).trim_end_matches('\r')));
    }

    fn done(&mut self) {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(&line);
        }
        if self.is_open && !self.is_cached {
            self.say(&format!("DONE {:.1}s", self.began.elapsed().as_secs_f64()));
        }
        self.is_open = false;
        if !self.is_quiet {
            output::note("");
        }
    }
}

impl Drop for Lines {
    /// What a command said last before it failed.
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(&line);
        }
    }
}

/// The image that was built.
pub(super) fn built(id: &str, tags: &[String]) {
    output::note(&format!("writing image {id} done"));
    for tag in tags {
        output::note(&format!("naming to {tag} done"));
    }
}
