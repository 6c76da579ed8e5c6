//! Dockerfiles: text becomes instructions, instructions become a plan of stages. Pure: nothing is read, run or kept here.
//! What depends on an image or on earlier instructions (most variables) is left to whoever carries the plan out.
//!
//! ```text
//! text ─ lines (directives, comments, continuations, heredocs) ─▶ instruction (words, flags, JSON) ─▶ plan (stages)
//! ```

mod error;
pub(crate) mod expand;
mod flags;
mod healthcheck;
mod heredoc;
pub(crate) mod instruction;
mod lines;
pub(crate) mod mount;
mod pairs;
mod pattern;
pub(crate) mod plan;
#[cfg(test)]
mod tests;

pub(crate) use error::DockerfileError;
pub(crate) use healthcheck::Healthcheck;
pub(crate) use heredoc::{Heredoc, heredoc};

use instruction::Instruction;

/// More of a file is no Dockerfile.
pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;

/// A file's instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// The escape token.
    pub(crate) escape: char,
    pub(crate) instructions: Vec<Instruction>,
}

/// Reads a Dockerfile.
///
/// # Errors
/// [`DockerfileError`].
pub(crate) fn parse(text: &[u8]) -> Result<Dockerfile, DockerfileError> {
    let text = String::from_utf8_lossy(text);
    let (directives, lines) = lines::read(&text)?;
    if let Some(syntax) = &directives.syntax {
        check_syntax(syntax)?;
    }
    if lines.is_empty() {
        return Err(DockerfileError::of_file("file with no instructions"));
    }
    let read = |line| instruction::instruction(line, directives.escape);
    let instructions = lines.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Dockerfile { escape: directives.escape, instructions })
}

/// Reads the one instruction of a trigger, as an image keeps it.
///
/// # Errors
/// [`DockerfileError`].
pub(crate) fn parse_trigger(text: &str, escape: char) -> Result<Instruction, DockerfileError> {
    let (_, lines) = lines::read(text)?;
    match lines.as_slice() {
        [line] => instruction::instruction(line, escape),
        _ => Err(DockerfileError::of_file(format!("the trigger {text:?} is not one instruction"))),
    }
}

/// Other front ends than docker's are programs in images, which are not run.
fn check_syntax(syntax: &str) -> Result<(), DockerfileError> {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let image = image.trim_start_matches("docker.io/");
    let name = image.split(['@', ':']).next().unwrap_or_default();
    match name {
        "docker/dockerfile" | "docker/dockerfile-upstream" => Ok(()),
        _ => Err(DockerfileError::of_file(format!(
            "the syntax {syntax:?} is a front end of its own, which knarr does not run: only docker/dockerfile is understood"
        ))),
    }
}
