//! The first process: what was asked for, laid over what the image says, by docker's rules. Pure. What was asked for and
//! cannot be is refused; what an image says and cannot be is left out with a warning where docker leaves it out, too.

use super::request::CreateRequest;
use super::signal::{self, InvalidSignal};
use super::spec::StopSettings;
use crate::tasks::plan::Process;
use crate::tasks::spec::key;
use crate::tasks::spec::volumes::usable_volumes;

/// The default PATH: docker's.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments, environment, user, directory and volumes together: execve(2) takes 2 MiB, and they are kept in memory.
const MAX_PROCESS_BYTES: usize = 1024 * 1024;

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
    /// Too much of it, the image's part included.
    #[error(
        "the command, environment and volumes of the container have {bytes} bytes together with the image's, more than {MAX_PROCESS_BYTES}"
    )]
    TooLarge { bytes: usize },
}

/// A process that can be run, and what of the image's configuration was left out.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) process: Process,
    pub(crate) stop: StopSettings,
    /// Directories that the image wants outside its layers.
    pub(crate) volumes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Lays `request` over `image`.
///
/// # Errors
/// [`InvalidProcess`] when what comes out cannot be run.
pub(crate) fn resolve(request: &CreateRequest, image: ImageDefaults) -> Result<Resolved, InvalidProcess> {
    let asked = &request.process;
    let entrypoint = asked.entrypoint.clone().unwrap_or(image.entrypoint);
    // Docker: a replaced entrypoint does not get the image's arguments for the old one.
    let cmd = match (&asked.entrypoint, asked.command.is_empty()) {
        (None, true) => image.cmd,
        (Some(_), true) => Vec::new(),
        (_, false) => asked.command.clone(),
    };
    let mut args: Vec<String> = entrypoint.into_iter().chain(cmd).collect();
    // `--entrypoint ""` clears it.
    if args.first().is_some_and(String::is_empty) && args.len() > 1 {
        args.remove(0);
    }
    if args.first().is_none_or(String::is_empty) {
        return Err(InvalidProcess::NoCommand);
    }
    let working_dir = [&asked.working_dir, &image.working_dir].into_iter().find(|text| !text.is_empty());
    let working_dir = working_dir.map_or_else(|| "/".to_owned(), Clone::clone);
    if !working_dir.starts_with('/') {
        return Err(InvalidProcess::WorkingDir(working_dir));
    }
    let (volumes, mut warnings) = usable_volumes(&image.volumes);
    let policy = &request.policy;
    let signal = match (policy.stop_signal.as_str(), image.stop_signal.as_str()) {
        ("", "") => signal::TERM,
        ("", of_image) => signal::parse(of_image).unwrap_or_else(|error| {
            warnings.push(format!("the image's stop signal is left out, SIGTERM is used: {error}"));
            signal::TERM
        }),
        (asked_for, _) => signal::parse(asked_for)?,
    };
    let user = if asked.user.is_empty() { image.user } else { asked.user.clone() };
    let env = environment(request, &image.env)?;
    let process = Process {
        args,
        env,
        working_dir,
        user,
        group_add: asked.group_add.clone(),
        oom_score_adj: asked.oom_score_adj,
        init: asked.init.unwrap_or(false),
    };
    check_texts(&process, &volumes)?;
    let (asked_signal, timeout_seconds) = (policy.stop_signal.clone(), policy.stop_timeout_seconds);
    let stop = StopSettings { signal, asked_signal, timeout_seconds };
    Ok(Resolved { process, stop, volumes, warnings })
}

/// What could not cross execve(2), or is too much.
fn check_texts(process: &Process, volumes: &[String]) -> Result<(), InvalidProcess> {
    let lists = [process.args.as_slice(), &process.env, volumes];
    let bytes = lists.into_iter().flatten().map(|text| text.len() + 1).sum::<usize>()
        + process.user.len()
        + process.working_dir.len();
    if bytes > MAX_PROCESS_BYTES {
        return Err(InvalidProcess::TooLarge { bytes });
    }
    for (what, texts) in [("the command", &process.args), ("the environment", &process.env)] {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(InvalidProcess::Nul { what });
        }
    }
    if process.working_dir.contains('\0') || process.user.contains('\0') {
        return Err(InvalidProcess::Nul { what: "the working directory or the user" });
    }
    Ok(())
}

fn environment(request: &CreateRequest, image: &[String]) -> Result<Vec<String>, InvalidProcess> {
    let mut env = vec![DEFAULT_PATH.to_owned()];
    if request.streams.tty {
        env.push("TERM=xterm".to_owned());
    }
    // Entries of an image without a name are left out.
    for entry in image.iter().filter(|entry| entry.contains('=') && !entry.starts_with('=')) {
        set(&mut env, entry);
    }
    overlay(&mut env, &request.process.env)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn running_x() -> CreateRequest {
        let mut request = CreateRequest::default();
        request.process.command = strings(&["x"]);
        request
    }

    fn args(entrypoint: Option<&[&str]>, command: &[&str]) -> Result<Vec<String>, InvalidProcess> {
        let mut request = CreateRequest::default();
        request.process.entrypoint = entrypoint.map(strings);
        request.process.command = strings(command);
        let image = ImageDefaults {
            entrypoint: strings(&["/ep"]),
            cmd: strings(&["cmd"]),
            ..ImageDefaults::default()
        };
        resolve(&request, image).map(|resolved| resolved.process.args)
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
        let mut request = running_x();
        request.streams.tty = true;
        request.process.env = strings(&["A=2", "GONE", "NEW=n=m"]);
        let image =
            ImageDefaults { env: strings(&["PATH=/p", "A=1", "GONE=x", "junk", "=j"]), ..Default::default() };
        let process = resolve(&request, image).expect("ok").process;
        assert_eq!(process.env, ["PATH=/p", "TERM=xterm", "A=2", "NEW=n=m"]);
    }

    #[test]
    fn what_could_not_cross_execve_is_refused() {
        let with = |change: fn(&mut CreateRequest)| {
            let mut request = running_x();
            change(&mut request);
            resolve(&request, ImageDefaults::default())
        };
        assert!(with(|request| request.process.command = vec!["a\0b".into()]).is_err());
        assert!(with(|request| request.process.env = vec!["=x".into()]).is_err());
        assert!(with(|request| request.process.env = vec!["A=\0".into()]).is_err());
        assert!(with(|request| request.process.working_dir = "relative".into()).is_err());
        assert!(with(|request| request.process.user = "a\0".into()).is_err());
        assert!(with(|request| request.policy.stop_signal = "SIGNOPE".into()).is_err());
        assert_eq!(with(|request| request.policy.stop_signal = "INT".into()).expect("ok").stop.signal, 2);
    }

    #[test]
    fn an_images_odd_fields_are_left_out_or_refused_by_name() {
        let image = |change: fn(&mut ImageDefaults)| {
            let mut image = ImageDefaults::default();
            change(&mut image);
            resolve(&running_x(), image)
        };
        let odd_signal = image(|image| image.stop_signal = "SIGNOPE".into()).expect("taken, as docker does");
        assert_eq!(odd_signal.stop.signal, signal::TERM);
        assert!(odd_signal.warnings[0].contains("SIGNOPE"), "{:?}", odd_signal.warnings);
        let odd_volume = image(|image| image.volumes = strings(&["/sys", "/data/"])).expect("taken");
        assert_eq!(odd_volume.volumes, ["/data"]);
        assert!(odd_volume.warnings[0].contains("/sys"), "{:?}", odd_volume.warnings);
        let relative = image(|image| image.working_dir = "w".into());
        assert!(matches!(relative, Err(InvalidProcess::WorkingDir(_))));
        let nul = image(|image| image.env = vec!["A=\0".into()]);
        assert!(matches!(nul, Err(InvalidProcess::Nul { .. })));
    }

    #[test]
    fn what_an_image_adds_counts_as_what_was_asked_for() {
        let sized = |bytes: usize| {
            resolve(
                &running_x(),
                ImageDefaults { env: vec![format!("A={}", "v".repeat(bytes))], ..Default::default() },
            )
        };
        assert!(sized(MAX_PROCESS_BYTES - 1024).is_ok());
        assert!(matches!(sized(MAX_PROCESS_BYTES), Err(InvalidProcess::TooLarge { .. })));
        let many = ImageDefaults { cmd: vec![String::from("a"); MAX_PROCESS_BYTES], ..Default::default() };
        assert!(matches!(resolve(&CreateRequest::default(), many), Err(InvalidProcess::TooLarge { .. })));
    }
}
