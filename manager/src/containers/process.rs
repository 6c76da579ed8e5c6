//! The first process: what was asked for, laid over what the image says, by docker's rules. Pure.

use super::model::{Config, Process};
use super::signal::{self, InvalidSignal};

/// What a program finds in PATH when nobody says otherwise: docker's.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The runtime half of an image's configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageDefaults {
    pub(crate) user: String,
    pub(crate) env: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) stop_signal: String,
    pub(crate) volumes: Vec<String>,
}

/// The process cannot be what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidProcess {
    /// Neither image nor request has a command.
    #[error("no command specified, and the image has none: add one")]
    NoCommand,
    /// A text that cannot cross execve(2).
    #[error("{what} contains a NUL byte")]
    Nul { what: &'static str },
    /// Not `KEY=VALUE`.
    #[error("invalid environment variable {0:?}: it has no name")]
    Env(String),
    /// Where to start must be said from the root.
    #[error("the working directory {0:?} is invalid: it needs to be an absolute path")]
    WorkingDir(String),
    /// The stop signal is none.
    #[error("the stop signal cannot be used")]
    Signal(#[from] InvalidSignal),
}

/// Lays `config` over `image`.
///
/// # Errors
/// [`InvalidProcess`] when what comes out cannot be run.
pub(crate) fn resolve(config: &Config, image: ImageDefaults) -> Result<Process, InvalidProcess> {
    let entrypoint = config.entrypoint.clone().unwrap_or(image.entrypoint);
    // Docker: whoever replaces the entrypoint does not want the image's arguments for the old one.
    let cmd = match (&config.entrypoint, config.command.is_empty()) {
        (None, true) => image.cmd,
        (Some(_), true) => Vec::new(),
        (_, false) => config.command.clone(),
    };
    let mut args: Vec<String> = entrypoint.into_iter().chain(cmd).collect();
    // `--entrypoint ""` clears it.
    if args.first().is_some_and(String::is_empty) && args.len() > 1 {
        args.remove(0);
    }
    if args.first().is_none_or(String::is_empty) {
        return Err(InvalidProcess::NoCommand);
    }
    let working_dir = [&config.working_dir, &image.working_dir].into_iter().find(|text| !text.is_empty());
    let working_dir = working_dir.map_or_else(|| "/".to_owned(), Clone::clone);
    if !working_dir.starts_with('/') {
        return Err(InvalidProcess::WorkingDir(working_dir));
    }
    let signal = [&config.stop_signal, &image.stop_signal].into_iter().find(|text| !text.is_empty());
    let user = if config.user.is_empty() { image.user } else { config.user.clone() };
    let process = Process {
        args,
        env: environment(config, &image.env)?,
        working_dir,
        user,
        stop_signal: signal.map_or(Ok(signal::TERM), |text| signal::parse(text))?,
        volumes: image.volumes,
    };
    for (what, texts) in [("the command", &process.args), ("the environment", &process.env)] {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(InvalidProcess::Nul { what });
        }
    }
    if process.working_dir.contains('\0') || process.user.contains('\0') {
        return Err(InvalidProcess::Nul { what: "the working directory or the user" });
    }
    Ok(process)
}

fn environment(config: &Config, image: &[String]) -> Result<Vec<String>, InvalidProcess> {
    let mut env = vec![DEFAULT_PATH.to_owned()];
    if config.tty {
        env.push("TERM=xterm".to_owned());
    }
    // An image's nameless entries are nobody's wish: left out.
    for entry in image.iter().filter(|entry| entry.contains('=') && !entry.starts_with('=')) {
        set(&mut env, entry);
    }
    overlay(&mut env, &config.env)?;
    Ok(env)
}

/// Lays `changes` over `env`: `KEY=VALUE` sets, a bare `KEY` removes.
///
/// # Errors
/// [`InvalidProcess::Env`] for an entry without a name.
pub(crate) fn overlay(env: &mut Vec<String>, changes: &[String]) -> Result<(), InvalidProcess> {
    for entry in changes {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(InvalidProcess::Env(entry.clone()));
        }
        if entry.contains('=') {
            set(env, entry);
        } else {
            env.retain(|old| key(old) != entry);
        }
    }
    Ok(())
}

fn set(env: &mut Vec<String>, entry: &str) {
    match env.iter_mut().find(|old| key(old) == key(entry)) {
        Some(old) => entry.clone_into(old),
        None => env.push(entry.to_owned()),
    }
}

/// The name of an environment entry.
pub(crate) fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn args(entrypoint: Option<&[&str]>, command: &[&str]) -> Result<Vec<String>, InvalidProcess> {
        let config =
            Config { entrypoint: entrypoint.map(strings), command: strings(command), ..Config::default() };
        let image = ImageDefaults {
            entrypoint: strings(&["/ep"]),
            cmd: strings(&["cmd"]),
            ..ImageDefaults::default()
        };
        resolve(&config, image).map(|process| process.args)
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        assert_eq!(args(None, &[]).expect("ok"), ["/ep", "cmd"]);
        assert_eq!(args(None, &["x", "y"]).expect("ok"), ["/ep", "x", "y"]);
        assert_eq!(args(Some(&["/my"]), &[]).expect("ok"), ["/my"]);
        assert_eq!(args(Some(&["/my"]), &["x"]).expect("ok"), ["/my", "x"]);
        assert_eq!(args(Some(&[]), &["x"]).expect("ok"), ["x"]);
        assert_eq!(args(Some(&[""]), &["x"]).expect("ok"), ["x"]);
        assert!(matches!(args(Some(&[]), &[]), Err(InvalidProcess::NoCommand)));
    }

    #[test]
    fn the_environment_is_overlaid_key_by_key() {
        let config = Config {
            command: strings(&["x"]),
            tty: true,
            env: strings(&["A=2", "GONE", "NEW=n=m"]),
            ..Config::default()
        };
        let image =
            ImageDefaults { env: strings(&["PATH=/p", "A=1", "GONE=x", "junk", "=j"]), ..Default::default() };
        let process = resolve(&config, image).expect("ok");
        assert_eq!(process.env, ["PATH=/p", "TERM=xterm", "A=2", "NEW=n=m"]);
    }

    #[test]
    fn what_could_not_cross_execve_is_refused() {
        let config = |change: fn(&mut Config)| {
            let mut config = Config { command: strings(&["x"]), ..Config::default() };
            change(&mut config);
            resolve(&config, ImageDefaults::default())
        };
        assert!(config(|config| config.command = vec!["a\0b".into()]).is_err());
        assert!(config(|config| config.env = vec!["=x".into()]).is_err());
        assert!(config(|config| config.env = vec!["A=\0".into()]).is_err());
        assert!(config(|config| config.working_dir = "relative".into()).is_err());
        assert!(config(|config| config.user = "a\0".into()).is_err());
        assert!(config(|config| config.stop_signal = "SIGNOPE".into()).is_err());
        assert_eq!(config(|config| config.stop_signal = "INT".into()).expect("ok").stop_signal, 2);
    }
}
