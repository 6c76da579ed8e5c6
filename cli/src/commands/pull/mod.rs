//! `knarr pull`, and the pull that `run` and `create` do by themselves.

mod bars;
mod lines;

use indicatif::ProgressDrawTarget;
use knarr_proto::docker::reference::{familiar, short};
use knarr_proto::v1::pull_image_reply::Message;
use knarr_proto::v1::{Image, PullDone, PullImageRequest, PullProgress};

use super::each::DONE;
use crate::args::image::PullArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::reference::with_default_tag;
use crate::{output, terminal};
use bars::Bars;
use lines::Lines;

/// Fetches an image and prints its full name.
pub(super) async fn run(args: PullArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let wanted = Wanted { reference: &args.image, platform: &args.platform, is_missing: false };
    let done = fetch(&client, wanted, View::of_stdout(args.quiet)).await?;
    output::line(&full_name(&args.image, &done.image.unwrap_or_default()))?;
    Ok(DONE)
}

/// What is to be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a str,
    /// Empty for this machine's.
    pub(super) platform: &'a str,
    /// Nobody asked for it; it was found missing.
    pub(super) is_missing: bool,
}

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

/// How progress is shown.
pub(super) enum View {
    /// Not at all.
    Quiet,
    /// To a person, moving.
    Bars(Bars, Output),
    /// To a file or a pipe.
    Lines(Lines, Output),
}

impl View {
    /// On standard output.
    pub(super) fn of_stdout(quiet: bool) -> Self {
        match (quiet, terminal::stdout_is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bars(Bars::new(ProgressDrawTarget::stdout()), Output::Stdout),
            (false, false) => Self::Lines(Lines::default(), Output::Stdout),
        }
    }

    /// On standard error: standard output is the container's.
    pub(super) fn of_stderr(quiet: bool) -> Self {
        match (quiet, terminal::stderr_is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bars(Bars::new(ProgressDrawTarget::stderr()), Output::Stderr),
            (false, false) => Self::Lines(Lines::default(), Output::Stderr),
        }
    }

    /// Before anything else is shown.
    fn begin(&mut self, wanted: Wanted<'_>) -> Result<(), Error> {
        match self {
            Self::Quiet => Ok(()),
            Self::Bars(bars, _) => {
                for line in heading(wanted) {
                    bars.note(&line);
                }
                Ok(())
            }
            Self::Lines(_, output) => heading(wanted).iter().try_for_each(|line| output.line(line)),
        }
    }

    fn show(&mut self, progress: &PullProgress) -> Result<(), Error> {
        match self {
            Self::Quiet => Ok(()),
            Self::Bars(bars, _) => {
                bars.show(progress);
                Ok(())
            }
            Self::Lines(lines, output) => match lines.show(progress) {
                Some(line) => output.line(&line),
                None => Ok(()),
            },
        }
    }

    fn end(self, wanted: Wanted<'_>, done: &PullDone) -> Result<(), Error> {
        let output = match self {
            Self::Quiet => return Ok(()),
            Self::Bars(_, output) | Self::Lines(_, output) => output,
        };
        let name = with_default_tag(wanted.reference);
        output.line(&format!("Digest: {}", done.digest))?;
        output.line(&match done.changed {
            true => format!("Status: Downloaded newer image for {name}"),
            false => format!("Status: Image is up to date for {name}"),
        })
    }
}

impl Output {
    fn line(self, text: &str) -> Result<(), Error> {
        match self {
            Self::Stdout => output::line(text),
            Self::Stderr => {
                output::note(text);
                Ok(())
            }
        }
    }
}

/// Fetches an image and shows how it goes. Until the registry has answered nothing is said, so that an image that is not
/// there is told in one sentence.
pub(super) async fn fetch(client: &Client, wanted: Wanted<'_>, mut view: View) -> Result<PullDone, Error> {
    let request = PullImageRequest {
        reference: wanted.reference.to_owned(),
        platform: wanted.platform.to_owned(),
        auth: None,
    };
    let mut replies = client.images().pull(request).await?.into_inner();
    let mut begun = false;
    while let Some(reply) = replies.message().await? {
        let shown = match &reply.message {
            Some(Message::Progress(progress)) => lines::is_worth_a_line(progress),
            Some(Message::Done(_)) => true,
            None => false,
        };
        if shown && !begun {
            begun = true;
            view.begin(wanted)?;
        }
        match reply.message {
            Some(Message::Progress(progress)) => view.show(&progress)?,
            Some(Message::Done(done)) => {
                view.end(wanted, &done)?;
                return Ok(done);
            }
            None => {}
        }
    }
    Err(Error::Contract { call: "pull", missing: "end" })
}

fn heading(wanted: Wanted<'_>) -> Vec<String> {
    let name = with_default_tag(wanted.reference);
    let parts = familiar(&name);
    let what = parts.digest.or(parts.tag).unwrap_or_default();
    let mut lines = Vec::new();
    if wanted.is_missing {
        lines.push(format!("Unable to find image '{name}' locally"));
    }
    lines.push(format!("{what}: Pulling from {}", parts.repository));
    lines
}

/// The image's full name for what was typed: `docker.io/library/alpine:latest`.
fn full_name(typed: &str, image: &Image) -> String {
    let wanted = short(&with_default_tag(typed));
    let mut names = image.references.iter().chain(&image.repo_digests);
    names.find(|name| short(name) == wanted).cloned().unwrap_or_else(|| typed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_is_the_one_that_was_meant() {
        let image = Image {
            references: ["localhost:5000/a:latest", "docker.io/library/alpine:latest"]
                .map(str::to_owned)
                .to_vec(),
            repo_digests: vec!["docker.io/library/alpine@sha256:11".to_owned()],
            ..Image::default()
        };
        for (typed, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("docker.io/library/alpine", "docker.io/library/alpine:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("alpine@sha256:11", "docker.io/library/alpine@sha256:11"),
            ("other", "other"),
        ] {
            assert_eq!(full_name(typed, &image), full);
        }
    }

    #[test]
    fn the_heading_is_dockers() {
        let wanted = Wanted { reference: "alpine", platform: "", is_missing: true };
        assert_eq!(
            heading(wanted),
            ["Unable to find image 'alpine:latest' locally", "latest: Pulling from alpine"]
        );
    }
}
