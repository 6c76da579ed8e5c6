//! The command line that containerd's shim contract prescribes: Go's flag style (`-name value`, `-name=value`, one dash
//! or two), then an action. It decides nothing about containers.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the shim was called to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a server for a new container and print its address.
    Start,
    /// Clean up after a server that has died.
    Delete,
    /// Be the server; `start` calls it so.
    Serve,
    /// Print the version.
    Version,
    /// Print a `RuntimeInfo` message.
    Info,
}

/// The command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// What to do.
    pub(crate) action: Action,
    /// containerd's namespace; `default` when it is not given.
    pub(crate) namespace: String,
    /// The container's id.
    pub(crate) id: String,
    /// containerd's own gRPC socket; only its hash matters here.
    pub(crate) address: String,
    /// The bundle directory; the working directory when it is not given.
    pub(crate) bundle: Option<PathBuf>,
    /// Log more.
    pub(crate) debug: bool,
}

/// The command line is not the contract's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadArgs {
    /// A flag that the contract does not have.
    #[error("unknown flag {0:?}")]
    Unknown(String),
    /// A flag at the end of the line that needs a value.
    #[error("flag -{0} needs a value")]
    NoValue(String),
    /// Not UTF-8.
    #[error("argument {0:?} is not UTF-8")]
    NotText(OsString),
    /// No action, or one that is not known.
    #[error("unknown action {0:?}: containerd calls a shim with start or delete")]
    Action(String),
    /// An action that is about a container, without -id.
    #[error("no container named: give -id")]
    NoId,
}

impl Args {
    /// Reads the arguments, the program's name left out.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, BadArgs> {
        let mut args = Self {
            action: Action::Serve,
            namespace: "default".to_owned(),
            id: String::new(),
            address: String::new(),
            bundle: None,
            debug: false,
        };
        let mut action = None;
        let mut arguments =
            arguments.into_iter().map(|argument| argument.into_string().map_err(BadArgs::NotText));
        while let Some(argument) = arguments.next().transpose()? {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                action = Some(action_named(&argument)?);
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "v" | "version" => action = Some(Action::Version),
                "info" => action = Some(Action::Info),
                "debug" => args.debug = inline.is_none_or(|value| value != "false"),
                _ => {
                    let value =
                        inline.map_or_else(|| arguments.next().transpose(), |value| Ok(Some(value)))?;
                    args.set(name, value.ok_or_else(|| BadArgs::NoValue(name.to_owned()))?)?;
                }
            }
        }
        args.action = action.ok_or_else(|| BadArgs::Action(String::new()))?;
        match args.action {
            Action::Start | Action::Delete | Action::Serve if args.id.is_empty() => Err(BadArgs::NoId),
            _ => Ok(args),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), BadArgs> {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => {
                self.bundle = Some(value.into()).filter(|path: &PathBuf| !path.as_os_str().is_empty());
            }
            // Events go to TTRPC_ADDRESS, the server gets its socket as stdin, and there is none for debugging.
            "publish-binary" | "socket" | "debug-socket" => {}
            _ => return Err(BadArgs::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn action_named(name: &str) -> Result<Action, BadArgs> {
    match name {
        "start" => Ok(Action::Start),
        "delete" => Ok(Action::Delete),
        "serve" => Ok(Action::Serve),
        _ => Err(BadArgs::Action(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, BadArgs> {
        Args::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn containerds_own_lines_are_understood() {
        let args = parse(
            "-namespace k8s.io -address /c.sock -publish-binary /usr/bin/containerd -id web -debug start",
        )
        .expect("the line that containerd 1.6 writes");
        assert_eq!(
            (args.action, args.id.as_str(), args.namespace.as_str()),
            (Action::Start, "web", "k8s.io")
        );
        assert!(args.debug && args.bundle.is_none());

        let args =
            parse("--namespace=moby -id web -bundle /b delete").expect("two dashes and = are Go's too");
        assert_eq!(args.action, Action::Delete);
        assert_eq!(args.bundle, Some(PathBuf::from("/b")));
        assert_eq!(parse("-v").map(|args| args.action), Ok(Action::Version));
    }

    #[test]
    fn what_the_contract_does_not_have_is_refused() {
        assert_eq!(parse("start"), Err(BadArgs::NoId));
        assert_eq!(parse("-id web"), Err(BadArgs::Action(String::new())));
        assert_eq!(parse("-id web restart"), Err(BadArgs::Action("restart".to_owned())));
        assert_eq!(parse("-nope x start"), Err(BadArgs::Unknown("nope".to_owned())));
        assert_eq!(parse("start -id"), Err(BadArgs::NoValue("id".to_owned())));
    }
}
