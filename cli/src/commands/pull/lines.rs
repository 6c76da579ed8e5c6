//! Progress in a file or a pipe: one line when a layer is there, so that logs of builds stay short.

use std::collections::HashSet;

use knarr_proto::v1::{PullPhase, PullProgress};

use crate::format::reference::{is_digest, short_id};

/// Which blobs have had their line.
#[derive(Default)]
pub(in crate::commands) struct Lines {
    told: HashSet<String>,
}

impl Lines {
    /// The line for this step, when it deserves one.
    pub(super) fn show(&mut self, progress: &PullProgress) -> Option<String> {
        let words = words(progress.phase()).filter(|_| is_digest(&progress.digest))?;
        self.told.insert(progress.digest.clone()).then(|| format!("{}: {words}", short_id(&progress.digest)))
    }
}

/// Whether [`Lines`] could have something to say.
pub(super) fn is_worth_a_line(progress: &PullProgress) -> bool {
    words(progress.phase()).is_some() && is_digest(&progress.digest)
}

fn words(phase: PullPhase) -> Option<&'static str> {
    match phase {
        PullPhase::Complete => Some("Pull complete"),
        PullPhase::Exists => Some("Already exists"),
        PullPhase::Unspecified
        | PullPhase::Resolving
        | PullPhase::Waiting
        | PullPhase::Downloading
        | PullPhase::Downloaded
        | PullPhase::Unpacking => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_one_line() {
        let mut lines = Lines::default();
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let mut show = |phase: PullPhase| {
            lines.show(&PullProgress {
                digest: digest.clone(),
                phase: phase.into(),
                ..PullProgress::default()
            })
        };
        assert_eq!(show(PullPhase::Downloading), None);
        assert_eq!(show(PullPhase::Complete).as_deref(), Some("0123456789ab: Pull complete"));
        assert_eq!(show(PullPhase::Complete), None);
    }
}
