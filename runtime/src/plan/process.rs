//! One process in the kernel's terms: the container's first or one of `exec`.

use std::ffi::CString;

use rustix::process::{Resource, Rlimit};

use super::error::PlanError;
use crate::security::capabilities::Sets;
use crate::spec;
use crate::spec::process::ConsoleSize;

/// What a process is and may do.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// The program and its arguments, at least one.
    pub(crate) argv: Vec<CString>,
    /// `KEY=value`, each key once, the last one of the configuration.
    pub(crate) env: Vec<CString>,
    /// The value of PATH in `env`.
    pub(crate) search_path: String,
    /// Whether `env` has no HOME or an empty one, which is then the user's of /etc/passwd.
    pub(crate) wants_home: bool,
    /// Absolute working directory.
    pub(crate) cwd: String,
    /// The user and the groups.
    pub(crate) user: User,
    /// Limits by resource.
    pub(crate) rlimits: Vec<(Resource, Rlimit)>,
    /// Capability sets.
    pub(crate) capabilities: Sets,
    /// PR_SET_NO_NEW_PRIVS.
    pub(crate) no_new_privileges: bool,
    /// -1000 to 1000.
    pub(crate) oom_score_adj: Option<i32>,
    /// Its terminal, with a size if one is given.
    pub(crate) terminal: Option<Terminal>,
    /// AppArmor profile; empty is none.
    pub(crate) apparmor_profile: String,
    /// SELinux label; empty is none.
    pub(crate) selinux_label: String,
}

/// A terminal of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terminal {
    /// Rows and columns.
    pub(crate) size: Option<ConsoleSize>,
}

/// Ids inside the container.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// File mode mask.
    pub(crate) umask: u32,
}

/// The mask that a container gets when none is given, as runc has it.
const UMASK: u32 = 0o022;

const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

impl Process {
    /// Judges a process; unknown capabilities are added to `warnings`.
    ///
    /// # Errors
    /// [`PlanError`], with runc's texts where callers look for them.
    pub(crate) fn plan(
        process: &spec::process::Process,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PlanError> {
        if process.cwd.is_empty() {
            return Err(PlanError::NoCwd);
        }
        if !process.cwd.starts_with('/') {
            return Err(PlanError::RelativeCwd(process.cwd.clone()));
        }
        if process.args.is_empty() {
            return Err(PlanError::NoArgs);
        }
        if let Some(value) = process.oom_score_adj.filter(|value| !(-1000..=1000).contains(value)) {
            return Err(PlanError::OomScoreAdj(value));
        }
        let (mut capabilities, unknown) = Sets::parse(process.capabilities.as_ref());
        warnings.extend(unknown.into_iter().map(|name| format!("ignoring unknown capability {name:?}")));
        warnings.extend(capabilities.limit_ambient().into_iter().map(|name| {
            format!("can't raise ambient capability {name}: it is not both permitted and inheritable")
        }));
        let env = last_of_each_key(&process.env)?;
        let value = |key: &str| env.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        Ok(Self {
            search_path: value("PATH").unwrap_or_default().to_owned(),
            wants_home: value("HOME").is_none_or(str::is_empty),
            argv: terminated("process.args", process.args.iter().map(String::as_str))?,
            env: terminated("process.env", env.into_iter())?,
            cwd: process.cwd.clone(),
            user: User::plan(&process.user)?,
            rlimits: rlimits(&process.rlimits)?,
            capabilities,
            no_new_privileges: process.no_new_privileges,
            oom_score_adj: process.oom_score_adj,
            terminal: process.terminal.then_some(Terminal { size: process.console_size }),
            apparmor_profile: process.apparmor_profile.clone(),
            selinux_label: process.selinux_label.clone(),
        })
    }
}

impl User {
    fn plan(user: &spec::process::User) -> Result<Self, PlanError> {
        // -1 means "leave it" to the kernel: the process would keep root's id.
        let more = user.additional_gids.iter().enumerate();
        let ids = [("uid".to_owned(), user.uid), ("gid".to_owned(), user.gid)].into_iter();
        let mut ids = ids.chain(more.map(|(index, id)| (format!("additionalGids[{index}]"), *id)));
        if let Some((field, id)) = ids.find(|(_, id)| *id == u32::MAX) {
            return Err(PlanError::Id { field, id });
        }
        if let Some(umask) = user.umask.filter(|umask| *umask > 0o777) {
            return Err(PlanError::Umask(umask));
        }
        Ok(Self {
            uid: user.uid,
            gid: user.gid,
            groups: user.additional_gids.clone(),
            umask: user.umask.unwrap_or(UMASK),
        })
    }
}

fn terminated<'text>(
    field: &'static str,
    texts: impl Iterator<Item = &'text str>,
) -> Result<Vec<CString>, PlanError> {
    texts.map(|text| CString::new(text).map_err(|_| PlanError::Nul { field })).collect()
}

/// As the shell does with assignments: the last one holds, at the place of the first.
fn last_of_each_key(env: &[String]) -> Result<Vec<&str>, PlanError> {
    let key = |entry: &'_ str| entry.split_once('=').map(|(key, _)| key.len());
    let mut kept: Vec<&str> = Vec::with_capacity(env.len() + 1);
    let mut places = std::collections::HashMap::with_capacity(env.len());
    for (index, entry) in env.iter().enumerate() {
        let length = key(entry)
            .filter(|length| *length > 0)
            .ok_or_else(|| PlanError::Environment { index, entry: entry.clone() })?;
        match places.entry(&entry[..length]) {
            std::collections::hash_map::Entry::Occupied(place) => kept[*place.get()] = entry.as_str(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(entry);
            }
        }
    }
    Ok(kept)
}

fn rlimits(rlimits: &[spec::process::Rlimit]) -> Result<Vec<(Resource, Rlimit)>, PlanError> {
    let mut planned: Vec<(Resource, Rlimit)> = Vec::with_capacity(rlimits.len());
    for (index, rlimit) in rlimits.iter().enumerate() {
        let kind = || rlimit.kind.clone();
        let Some((_, resource)) = RESOURCES.iter().find(|(name, _)| *name == rlimit.kind) else {
            return Err(PlanError::UnknownRlimit { index, kind: kind() });
        };
        if planned.iter().any(|(known, _)| known == resource) {
            return Err(PlanError::RlimitTwice { index, kind: kind() });
        }
        if rlimit.soft > rlimit.hard {
            return Err(PlanError::RlimitSoftAboveHard { index, kind: kind() });
        }
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        planned.push((*resource, Rlimit { current: bound(rlimit.soft), maximum: bound(rlimit.hard) }));
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> spec::process::Process {
        spec::process::Process {
            cwd: "/".to_owned(),
            args: vec!["sh".to_owned()],
            ..spec::process::Process::default()
        }
    }

    fn plan(process: &spec::process::Process) -> Result<Process, PlanError> {
        Process::plan(process, &mut Vec::new())
    }

    #[test]
    fn the_last_assignment_of_a_variable_holds() {
        let env = ["A=1", "PATH=/x", "A=2", "B=", "PATH=/y"].map(str::to_owned).to_vec();
        let planned = plan(&spec::process::Process { env, ..process() }).expect("valid");
        assert_eq!(planned.env, [c"A=2", c"PATH=/y", c"B="].map(CString::from));
        assert_eq!(planned.search_path, "/y");
        assert!(planned.wants_home);
    }

    #[test]
    fn the_id_that_means_no_change_is_refused() {
        let user = spec::process::User { uid: u32::MAX, ..spec::process::User::default() };
        assert!(matches!(
            plan(&spec::process::Process { user, ..process() }),
            Err(PlanError::Id { id: u32::MAX, .. })
        ));
        let user =
            spec::process::User { additional_gids: vec![1, u32::MAX], ..spec::process::User::default() };
        assert!(matches!(
            plan(&spec::process::Process { user, ..process() }),
            Err(PlanError::Id { id: u32::MAX, .. })
        ));
        let user = spec::process::User { uid: u32::MAX - 1, ..spec::process::User::default() };
        assert!(plan(&spec::process::Process { user, ..process() }).is_ok());
    }

    #[test]
    fn an_rlimit_given_twice_or_unknown_is_refused() {
        let rlimit = |kind: &str| spec::process::Rlimit { kind: kind.to_owned(), hard: u64::MAX, soft: 10 };
        let with = |rlimits| plan(&spec::process::Process { rlimits, ..process() });
        assert_eq!(with(vec![rlimit("RLIMIT_CORE")]).expect("valid").rlimits[0].1.maximum, None);
        assert!(matches!(
            with(vec![rlimit("RLIMIT_CORE"), rlimit("RLIMIT_CORE")]),
            Err(PlanError::RlimitTwice { index: 1, .. })
        ));
        assert!(matches!(with(vec![rlimit("RLIMIT_WARP")]), Err(PlanError::UnknownRlimit { .. })));
    }

    #[test]
    fn a_process_needs_arguments_and_an_absolute_directory() {
        assert!(matches!(
            plan(&spec::process::Process { args: Vec::new(), ..process() }),
            Err(PlanError::NoArgs)
        ));
        assert!(matches!(
            plan(&spec::process::Process { cwd: "a".to_owned(), ..process() }),
            Err(PlanError::RelativeCwd(_))
        ));
        assert!(matches!(
            plan(&spec::process::Process { cwd: String::new(), ..process() }),
            Err(PlanError::NoCwd)
        ));
    }
}
