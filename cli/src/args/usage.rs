//! Reads the command line; what is wrong with it is said in one sentence and docker's words, with the way to the help
//! below. Only clap's errors are translated here, nothing is decided.

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::{Cli, absent};
use crate::output;

/// Docker's exit code for flags that are not understood.
const BAD_FLAG: u8 = 125;
/// And for a missing argument or an unknown command.
const BAD_COMMAND: u8 = 1;

/// A command line that leads to no command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Help or the version was asked for.
    Asked(String),
    /// A group of commands without the command: its help.
    Incomplete(String),
    /// It cannot be understood.
    Wrong { sentence: String, command: String, code: u8 },
}

/// Reads the whole command line, the program's name included.
///
/// # Errors
/// [`Refused`], to be shown.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, Refused> {
    Cli::try_parse_from(arguments).map_err(|error| refused(&error, arguments))
}

impl Refused {
    /// Shows it, and says how to exit.
    pub(crate) fn show(self) -> ExitCode {
        match self {
            Self::Asked(text) => match output::print(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => ExitCode::from(error.exit_code(crate::error::Verb::Other)),
            },
            Self::Incomplete(text) => {
                output::note(text.trim_end());
                ExitCode::SUCCESS
            }
            Self::Wrong { sentence, command, code } => {
                output::note(&format!("knarr: {sentence}\nSee '{command} --help'."));
                ExitCode::from(code)
            }
        }
    }
}

fn refused(error: &clap::Error, arguments: &[OsString]) -> Refused {
    let command = command_of(arguments);
    let (code, sentence) = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Refused::Asked(error.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Refused::Incomplete(error.to_string()),
        ErrorKind::MissingSubcommand => (BAD_COMMAND, format!("'{command}' needs a command")),
        ErrorKind::InvalidSubcommand => (BAD_COMMAND, unknown_command(error, &command)),
        ErrorKind::UnknownArgument => unknown_argument(error, &command),
        ErrorKind::MissingRequiredArgument => (BAD_COMMAND, missing_arguments(error, &command)),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => (BAD_FLAG, bad_value(error)),
        ErrorKind::TooManyValues => {
            (BAD_FLAG, format!("{:?} is too much for {}", one(error, ContextKind::InvalidValue), flag(error)))
        }
        ErrorKind::InvalidUtf8 => (BAD_FLAG, "an argument is not UTF-8".to_owned()),
        _ => (BAD_FLAG, first_line(error)),
    };
    Refused::Wrong { sentence, command, code }
}

/// `knarr image pull`: as far as the command line names a command.
fn command_of(arguments: &[OsString]) -> String {
    let mut names = vec!["knarr".to_owned()];
    let mut at = &Cli::command();
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(command) = at.find_subcommand(argument) {
            names.push(argument.to_owned());
            at = command;
        }
    }
    names.join(" ")
}

fn unknown_command(error: &clap::Error, command: &str) -> String {
    let typed = one(error, ContextKind::InvalidSubcommand);
    if let Some(reason) = absent::command(&typed) {
        return format!("'{command} {typed}' is docker's: {reason}");
    }
    let sentence = format!("'{command} {typed}' is no command");
    match one(error, ContextKind::SuggestedSubcommand).as_str() {
        "" => sentence,
        near => format!("{sentence}, did you mean '{command} {near}'?"),
    }
}

fn unknown_argument(error: &clap::Error, command: &str) -> (u8, String) {
    let typed = one(error, ContextKind::InvalidArg);
    if !typed.starts_with('-') {
        return (
            BAD_COMMAND,
            format!("'{command}' does not take so many arguments: {typed:?} is one too many"),
        );
    }
    let name = typed.split('=').next().unwrap_or_default();
    if let Some(reason) = absent::flag(name) {
        return (BAD_FLAG, format!("the flag {name} is docker's: {reason}"));
    }
    let sentence = format!("unknown flag: {typed}");
    match one(error, ContextKind::SuggestedArg).split(' ').next().unwrap_or_default() {
        "" => (BAD_FLAG, sentence),
        near => (BAD_FLAG, format!("{sentence}, did you mean {near}?")),
    }
}

fn missing_arguments(error: &clap::Error, command: &str) -> String {
    let missing: Vec<String> = many(error, ContextKind::InvalidArg)
        .iter()
        .map(|name| name.trim_end_matches("...").trim_matches(['<', '>']).to_owned())
        .collect();
    format!("'{command}' needs more arguments: {} is missing", missing.join(" "))
}

fn bad_value(error: &clap::Error) -> String {
    let (value, flag) = (one(error, ContextKind::InvalidValue), flag(error));
    let valid = many(error, ContextKind::ValidValue);
    match error.source() {
        // clap says an empty value also when there is none.
        None if value.is_empty() => format!("flag needs an argument: {flag}"),
        None => format!("invalid argument {value:?} for {flag}: must be one of {}", valid.join(", ")),
        Some(reason) => {
            let reason_text = reason.to_string();
            let mut sentence = match reason_text.contains(&value) {
                true => format!("invalid argument for {flag}: {reason_text}"),
                false => format!("invalid argument {value:?} for {flag}: {reason_text}"),
            };
            let mut cause = reason.source();
            while let Some(error) = cause {
                sentence.push_str(&format!(": {error}"));
                cause = error.source();
            }
            sentence
        }
    }
}

/// The flag that an error is about, as it is typed: `--memory`.
fn flag(error: &clap::Error) -> String {
    let argument = one(error, ContextKind::InvalidArg);
    argument.split([' ', '=', '[']).next().unwrap_or_default().trim_matches(['<', '>']).to_owned()
}

fn one(error: &clap::Error, kind: ContextKind) -> String {
    many(error, kind).into_iter().next().unwrap_or_default()
}

fn many(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command;
    use crate::args::container::ContainerVerb;

    fn read(line: &str) -> Result<Cli, Refused> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&arguments)
    }

    fn said(line: &str) -> (u8, String, String) {
        match read(line) {
            Err(Refused::Wrong { sentence, command, code }) => (code, sentence, command),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        for (line, code, sentence, command) in [
            ("knarr run --no-such-flag a", 125, "unknown flag: --no-such-flag", "knarr run"),
            (
                "knarr run --entrypont a",
                125,
                "unknown flag: --entrypont, did you mean --entrypoint?",
                "knarr run",
            ),
            (
                "knarr run",
                1,
                "'knarr run' needs more arguments: IMAGE [COMMAND] [ARG...] is missing",
                "knarr run",
            ),
            (
                "knarr image pull",
                1,
                "'knarr image pull' needs more arguments: NAME[:TAG|@DIGEST] is missing",
                "knarr image pull",
            ),
            (
                "knarr pull a b",
                1,
                "'knarr pull' does not take so many arguments: \"b\" is one too many",
                "knarr pull",
            ),
            ("knarr rum a", 1, "'knarr rum' is no command, did you mean 'knarr run'?", "knarr"),
            (
                "knarr run --pull sometimes a",
                125,
                "invalid argument \"sometimes\" for --pull: must be one of always, missing, never",
                "knarr run",
            ),
            ("knarr run --memory", 125, "flag needs an argument: --memory", "knarr run"),
        ] {
            assert_eq!(said(line), (code, sentence.to_owned(), command.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_bad_value_is_told_with_its_flag_and_the_reason() {
        for (line, words) in [
            ("knarr run --memory 12q a", ["12q", "--memory"]),
            ("knarr run -v /tmp:relative a", ["relative", "--volume"]),
            ("knarr run --pid moon a", ["moon", "--pid"]),
            ("knarr stop -t soon a", ["soon", "--timeout"]),
        ] {
            let (code, sentence, _) = said(line);
            assert_eq!(code, 125, "{line}");
            for word in words {
                assert!(sentence.contains(word), "{sentence}");
            }
        }
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in ["knarr --help", "knarr -v", "knarr help", "knarr help run", "knarr run --help"] {
            assert!(matches!(read(line), Err(Refused::Asked(_))), "{line}");
        }
        assert!(matches!(read("knarr container"), Err(Refused::Incomplete(_))));
    }

    #[test]
    fn flags_behind_the_image_are_the_commands() {
        let command_line = read("knarr run -it --rm -h web -e A=1 alpine ls -l --rm").expect("it is right");
        let Command::ContainerVerb(verb) = command_line.command else { panic!("no verb") };
        let ContainerVerb::Run(run) = *verb else { panic!("not run") };
        assert_eq!(run.create.image_and_command, ["alpine", "ls", "-l", "--rm"]);
        assert_eq!(run.create.options.identity.hostname, "web");
        assert!(run.create.options.streams.tty && run.create.options.streams.interactive);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
