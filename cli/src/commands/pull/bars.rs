//! Progress for a person: one moving line for each layer, in docker's words.

use std::collections::HashMap;
use std::fmt::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use knarr_proto::escape;
use knarr_proto::v1::{PullPhase, PullProgress};

use crate::format::reference::{is_digest, short_id};
use crate::format::units::decimal_size;

/// While bytes are counted: `0123456789ab: Downloading [=====>    ] 12.3MB/45MB`
const COUNTING: &str = "{prefix}: {msg:11} [{bar:40}] {done}/{total}";
/// Otherwise.
const PLAIN: &str = "{prefix}: {msg}";

/// A line for each blob, in the order in which they were first heard of.
pub(in crate::commands) struct Bars {
    all: MultiProgress,
    by_digest: HashMap<String, ProgressBar>,
}

impl Bars {
    /// Draws on this terminal.
    pub(super) fn new(target: ProgressDrawTarget) -> Self {
        Self { all: MultiProgress::with_draw_target(target), by_digest: HashMap::new() }
    }

    /// Prints a line above the bars.
    pub(super) fn note(&self, line: &str) {
        // A terminal that has gone needs no line.
        let _gone = self.all.println(escape::line(line));
    }

    /// Shows one step.
    pub(super) fn show(&mut self, progress: &PullProgress) {
        // Until the registry has answered, a step is about the reference, and there is no blob to show.
        if !is_digest(&progress.digest) {
            return;
        }
        let bar = self.by_digest.entry(progress.digest.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length().with_style(plain()));
            bar.set_prefix(short_id(&progress.digest).to_owned());
            bar
        });
        let words = match progress.phase() {
            PullPhase::Unspecified | PullPhase::Resolving | PullPhase::Waiting => "Waiting",
            PullPhase::Downloading => "Downloading",
            PullPhase::Downloaded => "Download complete",
            PullPhase::Unpacking => "Extracting",
            PullPhase::Complete => "Pull complete",
            PullPhase::Exists => "Already exists",
        };
        if matches!(progress.phase(), PullPhase::Complete | PullPhase::Exists) {
            bar.set_style(plain());
            bar.finish_with_message(words);
            return;
        }
        let counts = matches!(progress.phase(), PullPhase::Downloading | PullPhase::Unpacking)
            && progress.total_bytes > 0;
        if counts {
            bar.set_style(counting());
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.current_bytes);
        } else {
            bar.set_style(plain());
        }
        bar.set_message(words);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.by_digest.values().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
    }
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template(PLAIN).expect("our own template")
}

fn counting() -> ProgressStyle {
    ProgressStyle::with_template(COUNTING)
        .expect("our own template")
        .with_key("done", |state: &ProgressState, out: &mut dyn Write| size(state.pos(), out))
        .with_key("total", |state: &ProgressState, out: &mut dyn Write| {
            size(state.len().unwrap_or_default(), out);
        })
        .progress_chars("=> ")
}

fn size(bytes: u64, out: &mut dyn Write) {
    // What indicatif writes into is a String.
    let _infallible = out.write_str(&decimal_size(bytes));
}
