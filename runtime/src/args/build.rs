//! From flags and operands to a [`Command`]: the only place that knows what each flag's text becomes.

use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;

use super::command::{
    CheckpointArgs, Command, CreateArgs, DeleteArgs, EventsArgs, ExecArgs, KillArgs, ListArgs, ListFormat,
    PsArgs, RestoreArgs, RunArgs, SpecArgs, UpdateArgs,
};
use super::duration::duration;
use super::error::UsageError;
use super::flags::Matches;
use super::globals::{Globals, LogFormat, Rootless};
use crate::checkpoint::options::{CgroupMode, DumpOptions, Options, RestoreOptions};

/// Where the state of all containers is kept unless `--root` says otherwise.
pub(crate) const DEFAULT_ROOT: &str = "/run/knarr/runtime";

/// Where a checkpoint's images are unless `--image-path` says otherwise: runc's.
const DEFAULT_IMAGES: &str = "checkpoint";

pub(super) fn globals(matches: &Matches) -> Result<Globals, UsageError> {
    let rootless = match matches.text("rootless") {
        None | Some("" | "auto") => Rootless::Auto,
        Some(text) => match matches.parsed::<bool>("rootless") {
            Ok(Some(true)) => Rootless::Yes,
            Ok(_) => Rootless::No,
            Err(_) => return Err(UsageError::bad_value("rootless", text)),
        },
    };
    let log_format = match matches.text("log-format") {
        None | Some("" | "text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => return Err(UsageError::LogFormat(other.to_owned())),
    };
    Ok(Globals {
        debug: matches.is_on("debug")?,
        log: path(matches, "log"),
        log_format,
        root: root(matches.text("root"))?,
        has_own_root: matches.text("root").is_some(),
        systemd_cgroup: matches.is_on("systemd-cgroup")?,
        rootless,
    })
}

/// `--root` made absolute; a user other than root keeps state below `$XDG_RUNTIME_DIR`.
fn root(given: Option<&str>) -> Result<PathBuf, UsageError> {
    let chosen = match given {
        Some(path) => PathBuf::from(path),
        None => match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
            Some(runtime_dir) if !rustix::process::geteuid().is_root() => {
                Path::new(&runtime_dir).join("knarr/runtime")
            }
            _ => PathBuf::from(DEFAULT_ROOT),
        },
    };
    let absolute = std::path::absolute(&chosen)
        .map_err(|source| UsageError::RootPath { root: chosen.clone(), source })?;
    let mut names = Vec::new();
    for component in absolute.components() {
        match component {
            std::path::Component::Normal(name) => names.push(name),
            std::path::Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    if names.is_empty() {
        return Err(UsageError::RootIsSlash(chosen));
    }
    Ok(Path::new("/").join(names.iter().collect::<PathBuf>()))
}

pub(super) fn id(matches: &Matches) -> Result<ContainerId, UsageError> {
    Ok(matches.operands.first().map_or("", String::as_str).parse()?)
}

fn format(matches: &Matches) -> Result<ListFormat, UsageError> {
    match matches.text("format") {
        None | Some("table") => Ok(ListFormat::Table),
        Some("json") => Ok(ListFormat::Json),
        Some(_) => Err(UsageError::ListFormat),
    }
}

fn path(matches: &Matches, name: &str) -> Option<PathBuf> {
    matches.text(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn owned(matches: &Matches, name: &str) -> Option<String> {
    matches.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn create_args(matches: &Matches) -> Result<CreateArgs, UsageError> {
    Ok(CreateArgs {
        id: matches.operands.first().cloned().unwrap_or_default(),
        bundle: path(matches, "bundle"),
        console_socket: path(matches, "console-socket"),
        pidfd_socket: path(matches, "pidfd-socket"),
        pid_file: path(matches, "pid-file"),
        no_pivot: matches.is_on("no-pivot")?,
        no_new_keyring: matches.is_on("no-new-keyring")?,
        preserve_fds: matches.parsed("preserve-fds")?.unwrap_or(0),
    })
}

pub(super) fn create(matches: &Matches) -> Result<Command, UsageError> {
    create_args(matches).map(Command::Create)
}

pub(super) fn run(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Run(RunArgs {
        create: create_args(matches)?,
        detach: matches.is_on("detach")?,
        keep: matches.is_on("keep")?,
    }))
}

pub(super) fn delete(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Delete(DeleteArgs { id: id(matches)?, force: matches.is_on("force")? }))
}

pub(super) fn events(matches: &Matches) -> Result<Command, UsageError> {
    let text = matches.text("interval").unwrap_or("5s");
    let interval = duration(text).ok_or_else(|| UsageError::bad_value("interval", text))?;
    Ok(Command::Events(EventsArgs { id: id(matches)?, interval, stats: matches.is_on("stats")? }))
}

/// What follows the id. As with runc 1.5, flags may be ended there, too.
fn behind_id(matches: &Matches) -> Vec<String> {
    let behind = matches.operands.get(1..).unwrap_or_default();
    match behind.split_first() {
        Some((end, behind)) if end == "--" => behind.to_vec(),
        _ => behind.to_vec(),
    }
}

pub(super) fn kill(matches: &Matches) -> Result<Command, UsageError> {
    let signal = matches.operands.get(1).filter(|signal| !signal.is_empty());
    let signal = signal.map_or("SIGTERM", String::as_str).to_owned();
    Ok(Command::Kill(KillArgs { id: id(matches)?, signal, all: matches.is_on("all")? }))
}

pub(super) fn list(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::List(ListArgs { format: format(matches)?, quiet: matches.is_on("quiet")? }))
}

pub(super) fn ps(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Ps(PsArgs { id: id(matches)?, format: format(matches)?, options: behind_id(matches) }))
}

pub(super) fn spec(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Spec(SpecArgs { bundle: path(matches, "bundle"), rootless: matches.is_on("rootless")? }))
}

pub(super) fn exec(matches: &Matches) -> Result<Command, UsageError> {
    let mut additional_gids = Vec::new();
    for text in matches.texts("additional-gids") {
        let gid = text.parse().map_err(|_| UsageError::bad_value("additional-gids", &text))?;
        additional_gids.push(gid);
    }
    let no_new_privs = matches.text("no-new-privs").is_some().then(|| matches.is_on("no-new-privs"));
    Ok(Command::Exec(Box::new(ExecArgs {
        id: matches.operands.first().cloned().unwrap_or_default(),
        command: behind_id(matches),
        console_socket: path(matches, "console-socket"),
        pidfd_socket: path(matches, "pidfd-socket"),
        cwd: owned(matches, "cwd"),
        env: matches.texts("env"),
        tty: matches.is_on("tty")?,
        user: owned(matches, "user"),
        additional_gids,
        process: path(matches, "process"),
        detach: matches.is_on("detach")?,
        pid_file: path(matches, "pid-file"),
        process_label: owned(matches, "process-label"),
        apparmor: owned(matches, "apparmor"),
        no_new_privs: no_new_privs.transpose()?,
        capabilities: matches.texts("cap"),
        preserve_fds: matches.parsed("preserve-fds")?.unwrap_or(0),
        cgroups: matches.texts("cgroup"),
        ignore_paused: matches.is_on("ignore-paused")?,
    })))
}

pub(super) fn update(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Update(Box::new(UpdateArgs {
        id: id(matches)?,
        resources: owned(matches, "resources"),
        blkio_weight: matches.parsed("blkio-weight")?,
        cpu_period: owned(matches, "cpu-period"),
        cpu_quota: owned(matches, "cpu-quota"),
        cpu_burst: owned(matches, "cpu-burst"),
        cpu_share: owned(matches, "cpu-share"),
        cpu_rt_period: owned(matches, "cpu-rt-period"),
        cpu_rt_runtime: owned(matches, "cpu-rt-runtime"),
        cpu_idle: owned(matches, "cpu-idle"),
        cpuset_cpus: owned(matches, "cpuset-cpus"),
        cpuset_mems: owned(matches, "cpuset-mems"),
        kernel_memory: owned(matches, "kernel-memory"),
        kernel_memory_tcp: owned(matches, "kernel-memory-tcp"),
        memory: owned(matches, "memory"),
        memory_reservation: owned(matches, "memory-reservation"),
        memory_swap: owned(matches, "memory-swap"),
        pids_limit: matches.parsed("pids-limit")?,
        l3_cache_schema: owned(matches, "l3-cache-schema"),
        mem_bw_schema: owned(matches, "mem-bw-schema"),
    })))
}

fn checkpoint_options(matches: &Matches) -> Result<Options, UsageError> {
    // The network's properties are never saved, so that there is nothing more to leave out.
    if let Some(other) = matches.texts("empty-ns").into_iter().find(|name| name != "network") {
        return Err(UsageError::EmptyNamespace(other));
    }
    Ok(Options {
        images: path(matches, "image-path").unwrap_or_else(|| PathBuf::from(DEFAULT_IMAGES)),
        work: path(matches, "work-path"),
        tcp_established: matches.is_on("tcp-established")?,
        ext_unix_sk: matches.is_on("ext-unix-sk")?,
        shell_job: matches.is_on("shell-job")?,
        file_locks: matches.is_on("file-locks")?,
        cgroups: match matches.text("manage-cgroups-mode") {
            None | Some("") => CgroupMode::Default,
            Some("soft") => CgroupMode::Soft,
            Some("full") => CgroupMode::Full,
            Some("strict") => CgroupMode::Strict,
            Some("ignore") => CgroupMode::Ignore,
            Some(_) => return Err(UsageError::CgroupMode),
        },
        auto_dedup: matches.is_on("auto-dedup")?,
        lazy_pages: matches.is_on("lazy-pages")?,
    })
}

/// `ADDRESS:PORT`, an IPv6 address in brackets.
fn page_server(text: &str) -> Result<(String, u16), UsageError> {
    let (address, port) = text.rsplit_once(':').ok_or(UsageError::PageServer)?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    match (bare, port.parse()) {
        ("", _) | (_, Err(_) | Ok(0)) => Err(UsageError::PageServer),
        (_, Ok(_)) if bare == address && bare.contains(':') => Err(UsageError::PageServer),
        (_, Ok(port)) => Ok((bare.to_owned(), port)),
    }
}

pub(super) fn checkpoint(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Checkpoint(Box::new(CheckpointArgs {
        id: id(matches)?,
        options: DumpOptions {
            common: checkpoint_options(matches)?,
            parent: owned(matches, "parent-path"),
            leave_running: matches.is_on("leave-running")?,
            tcp_skip_in_flight: matches.is_on("tcp-skip-in-flight")?,
            link_remap: matches.is_on("link-remap")?,
            pre_dump: matches.is_on("pre-dump")?,
            page_server: owned(matches, "page-server").map(|text| page_server(&text)).transpose()?,
            status_fd: matches.parsed("status-fd")?.filter(|number| *number >= 0),
        },
    })))
}

pub(super) fn restore(matches: &Matches) -> Result<Command, UsageError> {
    Ok(Command::Restore(Box::new(RestoreArgs {
        create: create_args(matches)?,
        detach: matches.is_on("detach")?,
        options: RestoreOptions {
            common: checkpoint_options(matches)?,
            lsm_profile: owned(matches, "lsm-profile"),
            lsm_mount_context: owned(matches, "lsm-mount-context"),
        },
    })))
}

#[cfg(test)]
mod tests {
    use crate::args::build::page_server;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        assert_eq!(page_server("10.0.0.1:27277").expect("v4"), ("10.0.0.1".to_owned(), 27277));
        assert_eq!(page_server("[::1]:1").expect("v6"), ("::1".to_owned(), 1));
        for text in ["", ":1", "10.0.0.1", "10.0.0.1:", "::1:1", "a:0", "a:65536", "a:x"] {
            assert!(page_server(text).is_err(), "{text:?}");
        }
    }
}
