//! The help and version texts, generated from the tables in [`super::verbs`] in the form that runc's users know.

use super::flags::{Flag, Takes};
use super::verbs::{GLOBAL_FLAGS, VERBS, Verb};
use crate::spec;

/// What callers of other runtimes ask about a bundle.
const NOTES: &str = "
NOTES:
   A bind mount that names no propagation has that of linux.rootfsPropagation, or is private.
   A hook without env has the environment of this program; one with env, even an empty one, has that alone.
";

/// Named `runc version` when called as runc, since go-runc looks for those words.
#[must_use]
pub(crate) fn version(program: &str) -> String {
    let mut text = format!("{program} version {}\n", env!("CARGO_PKG_VERSION"));
    // dockerd looks for the line, so that it is there for builds outside of a repository too.
    text.push_str(&format!("commit: {}\n", option_env!("KNARR_COMMIT").unwrap_or("unknown")));
    text.push_str(&format!("spec: {}\n", spec::VERSION));
    text
}

/// Help for the program as a whole.
#[must_use]
pub(crate) fn of_program(program: &str) -> String {
    let mut text = format!(
        "NAME:\n   {program} - Open Container Initiative runtime\n\nUSAGE:\n   {program} [global options] command \
         [command options] [arguments...]\n\nVERSION:\n   {}\n\nCOMMANDS:\n",
        version("knarr-runtime").trim_start_matches("knarr-runtime version ").trim_end()
    );
    for verb in VERBS {
        line(&mut text, verb.name, verb.usage);
    }
    line(&mut text, "help, h", "shows a list of commands or help for one command");
    text.push_str("\nGLOBAL OPTIONS:\n");
    flags(&mut text, GLOBAL_FLAGS);
    text
}

/// Help for one command.
#[must_use]
pub(crate) fn verb_help(program: &str, verb: &Verb) -> String {
    let mut text = format!(
        "NAME:\n   {program} {name} - {usage}\n\nUSAGE:\n   {program} {name} [command options] {operands}\n\nOPTIONS:\n",
        name = verb.name,
        usage = verb.usage,
        operands = verb.operands
    );
    flags(&mut text, verb.flags);
    line(&mut text, "--help, -h", "show help");
    if matches!(verb.name, "create" | "run" | "restore") {
        text.push_str(NOTES);
    }
    text
}

fn flags(text: &mut String, flags: &[Flag]) {
    for flag in flags.iter().filter(|flag| !flag.usage.is_empty()) {
        let value = if flag.takes == Takes::Value { " value" } else { "" };
        let short = flag.short.map_or_else(String::new, |short| format!(", -{short}{value}"));
        line(text, &format!("--{}{value}{short}", flag.name), flag.usage);
    }
}

fn line(text: &mut String, left: &str, right: &str) {
    text.push_str(&format!("   {left:<32} {right}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::build::DEFAULT_ROOT;

    #[test]
    fn where_containers_are_kept_is_told() {
        assert!(of_program("runc").contains(&format!("(default: {DEFAULT_ROOT},")));
    }
}
