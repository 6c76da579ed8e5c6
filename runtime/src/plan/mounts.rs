//! `mounts[]` in the kernel's terms.

use std::path::{Path, PathBuf};

use super::error::PlanError;
use super::options::{Word, meaning};
use crate::plan::mappings;
use crate::spec;
use crate::spec::linux::IdMapping;
use crate::sys::mount::Reach;

/// The kernel allows 100,000 mounts in a namespace; ten thousand are a mistake already.
const MOUNTS_MAX: usize = 10_000;

/// Files of /proc that lxcfs and others may cover (runc's list); anything else below /proc is refused, because a mount
/// there can make writes meant for procfs go elsewhere (CVE-2019-19921, CVE-2025-52881).
const BELOW_PROC: [&str; 11] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/meminfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/slabinfo",
    "proc/net/dev",
    "proc/sys/kernel/ns_last_pid",
    "proc/sys/crypto/fips_enabled",
];

/// One mount.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// Where, without leading slash or dots: always below the root.
    pub(crate) destination: String,
    /// What.
    pub(crate) kind: MountKind,
    /// `MOUNT_ATTR_*` of this mount.
    pub(crate) attributes: Attributes,
    /// `MOUNT_ATTR_*` of this mount and those below it.
    pub(crate) recursive: Attributes,
    /// `MS_*` propagation and how far, in order.
    pub(crate) propagation: Vec<(u64, Reach)>,
    /// Mapping of ids, when it has its own.
    pub(crate) id_map: Option<IdMap>,
}

/// `MOUNT_ATTR_*` flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// To set.
    pub(crate) set: u64,
    /// To clear before.
    pub(crate) clear: u64,
}

/// What a mount shows.
#[derive(Clone, Debug)]
pub(crate) enum MountKind {
    /// A filesystem of its own.
    Filesystem(Filesystem),
    /// A part of the host's tree.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// With the mounts below it.
        reach: Reach,
    },
    /// The container's view of the cgroup tree.
    Cgroup,
    /// A change of what is there.
    Remount,
}

/// A filesystem to make.
#[derive(Clone, Debug)]
pub(crate) struct Filesystem {
    /// Its type.
    pub(crate) kind: String,
    /// Its device or name.
    pub(crate) source: String,
    /// Options of the driver.
    pub(crate) data: Vec<(String, Option<String>)>,
    /// Copy what it hides into it (tmpfs).
    pub(crate) copies_up: bool,
}

impl Filesystem {
    /// One that has no device; mountinfo shows its type in that place.
    #[must_use]
    pub(crate) fn without_device(kind: &str, data: Vec<(String, Option<String>)>) -> Self {
        Self { kind: kind.to_owned(), source: kind.to_owned(), data, copies_up: false }
    }
}

/// An id-mapped mount.
#[derive(Clone, Debug)]
pub(crate) struct IdMap {
    /// Which ids.
    pub(crate) source: IdSource,
    /// With the mounts below it.
    pub(crate) reach: Reach,
}

/// Where an id-mapped mount has its map from.
#[derive(Clone, Debug)]
pub(crate) enum IdSource {
    /// The container's user namespace.
    Container,
    /// Its own.
    Own {
        /// Users.
        users: Vec<IdMapping>,
        /// Groups.
        groups: Vec<IdMapping>,
    },
}

impl Attributes {
    fn add(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
    }

    /// As mount(2)'s flags: modes of access times add up, in whatever order, until [`Self::settled`].
    fn add_flags(&mut self, set: u64, clear: u64) {
        match clear & libc::MOUNT_ATTR__ATIME {
            libc::MOUNT_ATTR__ATIME => {
                self.set |= set;
                self.clear |= clear;
            }
            _ => self.add(set, clear),
        }
    }

    /// Of several modes of access times the kernel takes strictatime before noatime, and that before relatime.
    fn settled(mut self) -> Self {
        if self.set & libc::MOUNT_ATTR_STRICTATIME != 0 {
            self.set &= !libc::MOUNT_ATTR_NOATIME;
        }
        self
    }

    /// With the field of access time modes cleared whole or not at all, as mount_setattr(2) wants it; whole for
    /// recursive words, which know no mode that was there before.
    #[must_use]
    pub(crate) fn whole(self, reach: Reach) -> Self {
        let modes = self.clear & libc::MOUNT_ATTR__ATIME;
        let clear = match (modes, reach) {
            (0, _) => self.clear,
            (libc::MOUNT_ATTR__ATIME, _) | (_, Reach::Tree) => self.clear | libc::MOUNT_ATTR__ATIME,
            (_, Reach::One) => self.clear & !libc::MOUNT_ATTR__ATIME,
        };
        Self { set: self.set, clear }
    }

    /// Nothing to do.
    #[must_use]
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Which places the mounts are planned for.
#[derive(Clone, Copy)]
pub(super) struct MountContext<'a> {
    pub(super) bundle: &'a Path,
    pub(super) root: &'a Path,
    /// `linux.rootfsPropagation`.
    pub(super) propagation: Option<(u64, Reach)>,
}

pub(super) fn plan(mounts: &[spec::mount::Mount], place: MountContext<'_>) -> Result<Vec<Mount>, PlanError> {
    if mounts.len() > MOUNTS_MAX {
        return Err(PlanError::TooManyMounts { count: mounts.len(), most: MOUNTS_MAX });
    }
    let placed = |(index, mount)| {
        plan_one(mount, place).map_err(|error| PlanError::Mount { index, source: Box::new(error) })
    };
    mounts.iter().enumerate().map(placed).collect()
}

/// The words of one mount, sorted out.
#[derive(Default)]
struct ParsedOptions {
    attributes: Attributes,
    recursive: Attributes,
    propagation: Vec<(u64, Reach)>,
    bind: Option<Reach>,
    id_map: Option<Reach>,
    remount: bool,
    copies_up: bool,
    data: Vec<(String, Option<String>)>,
}

/// What a bind mount has that names no propagation: that of the root filesystem, as under runc and crun, so that with
/// `slave` it shows what is mounted on the host later. Otherwise it is private: a copy is a peer of its source, and
/// what the container mounts below it must not appear on the host unasked.
fn unnamed_propagation(of_root: Option<(u64, Reach)>) -> Vec<(u64, Reach)> {
    match of_root {
        Some((libc::MS_SHARED, _)) => Vec::new(),
        Some((libc::MS_SLAVE, _)) => vec![(libc::MS_SLAVE, Reach::Tree)],
        _ => vec![(libc::MS_PRIVATE, Reach::Tree)],
    }
}

fn plan_one(mount: &spec::mount::Mount, place: MountContext<'_>) -> Result<Mount, PlanError> {
    let MountContext { bundle, root, .. } = place;
    let asked = Path::new(&mount.destination);
    // As runc: the host's path of a place below the root means that place.
    let below = asked.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or(&mount.destination);
    let destination = below_root(below);
    if destination.is_empty() {
        return Err(PlanError::MountOnRoot { destination: mount.destination.clone() });
    }
    let mut sorted = parse_options(&mount.options);
    if mount.kind == "bind" && sorted.bind.is_none() {
        sorted.bind = Some(Reach::Tree);
    }
    let id_map = id_map(mount, sorted.id_map)?;
    let kind = kind(mount, &mut sorted, bundle)?;
    refuse_below_proc(&destination, &kind)?;
    if id_map.is_some() && !matches!(kind, MountKind::Bind { .. }) {
        return Err(PlanError::IdMapOfFilesystem { destination: mount.destination.clone() });
    }
    let ParsedOptions { attributes, recursive, mut propagation, .. } = sorted;
    if propagation.is_empty() && matches!(kind, MountKind::Bind { .. }) {
        propagation = unnamed_propagation(place.propagation);
    }
    Ok(Mount { destination, kind, attributes, recursive, propagation, id_map })
}

fn id_map(mount: &spec::mount::Mount, asked: Option<Reach>) -> Result<Option<IdMap>, PlanError> {
    let (users, groups) = (&mount.uid_mappings, &mount.gid_mappings);
    let source = match (users.is_empty(), groups.is_empty()) {
        (true, true) if asked.is_none() => return Ok(None),
        (true, true) => IdSource::Container,
        (false, false) => {
            mappings::check("mounts[].uidMappings", users)?;
            mappings::check("mounts[].gidMappings", groups)?;
            IdSource::Own { users: users.clone(), groups: groups.clone() }
        }
        _ => return Err(PlanError::HalfIdMap { destination: mount.destination.clone() }),
    };
    Ok(Some(IdMap { source, reach: asked.unwrap_or(Reach::One) }))
}

fn parse_options(options: &[String]) -> ParsedOptions {
    let mut sorted = ParsedOptions::default();
    for option in options {
        match meaning(option) {
            Some((Word::Attribute { set, clear }, Reach::One)) => sorted.attributes.add_flags(set, clear),
            Some((Word::Attribute { set, clear }, Reach::Tree)) => sorted.recursive.add(set, clear),
            Some((Word::Propagation(flag), reach)) => sorted.propagation.push((flag, reach)),
            // As mount(2)'s MS_BIND and MS_REC they add up, in whatever order.
            Some((Word::Bind, reach)) if sorted.bind != Some(Reach::Tree) => sorted.bind = Some(reach),
            Some((Word::Bind, _)) => {}
            Some((Word::IdMap, reach)) => sorted.id_map = Some(reach),
            Some((Word::Remount, _)) => sorted.remount = true,
            Some((Word::CopyUp, _)) => sorted.copies_up = true,
            Some((Word::Superblock, _)) => sorted.data.push((option.clone(), None)),
            Some((Word::Nothing, _)) => {}
            None if option.is_empty() => {}
            None => sorted.data.push(match option.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.clone(), None),
            }),
        }
    }
    sorted.attributes = sorted.attributes.settled();
    sorted
}

/// Takes the data out of `sorted`.
fn kind(
    mount: &spec::mount::Mount,
    sorted: &mut ParsedOptions,
    bundle: &Path,
) -> Result<MountKind, PlanError> {
    if sorted.remount {
        return Ok(MountKind::Remount);
    }
    if let Some(reach) = sorted.bind {
        if mount.source.is_empty() {
            return Err(PlanError::BindWithoutSource { destination: mount.destination.clone() });
        }
        let odd = sorted.data.iter().find(|(key, value)| value.is_some() || meaning(key).is_none());
        if let Some((key, _)) = odd {
            return Err(PlanError::BindWithData {
                destination: mount.destination.clone(),
                option: key.clone(),
            });
        }
        return Ok(MountKind::Bind { source: bundle.join(&mount.source), reach });
    }
    match mount.kind.as_str() {
        "" => Err(PlanError::MountWithoutType { destination: mount.destination.clone() }),
        "cgroup" => Ok(MountKind::Cgroup),
        kind => Ok(MountKind::Filesystem(Filesystem {
            kind: kind.to_owned(),
            source: if mount.source.is_empty() { kind.to_owned() } else { mount.source.clone() },
            data: std::mem::take(&mut sorted.data),
            copies_up: sorted.copies_up && kind == "tmpfs",
        })),
    }
}

fn refuse_below_proc(destination: &str, kind: &MountKind) -> Result<(), PlanError> {
    let is_allowed = match (destination, kind) {
        // Also a bind of another procfs, as in runc.
        ("proc", MountKind::Bind { .. } | MountKind::Remount) => true,
        ("proc", MountKind::Filesystem(filesystem)) => filesystem.kind == "proc",
        ("proc", MountKind::Cgroup) => false,
        (elsewhere, _) => !elsewhere.starts_with("proc/") || BELOW_PROC.contains(&elsewhere),
    };
    match is_allowed {
        true => Ok(()),
        false => Err(PlanError::MountInsideProc { destination: format!("/{destination}") }),
    }
}

/// The path without leading slash, empty parts and dots; `..` never leaves the root.
pub(crate) fn below_root(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, PlanError> {
        let mount = spec::mount::Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        };
        let (bundle, root) = (Path::new("/bundle"), Path::new("/bundle/rootfs"));
        plan_one(&mount, MountContext { bundle, root, propagation: None })
    }

    #[test]
    fn modes_of_access_times_add_up_in_any_order() {
        for (options, expected) in [
            (&["strictatime", "relatime"][..], libc::MOUNT_ATTR_STRICTATIME),
            (&["relatime", "strictatime"], libc::MOUNT_ATTR_STRICTATIME),
            (&["strictatime", "noatime"], libc::MOUNT_ATTR_STRICTATIME),
            (&["noatime", "relatime"], libc::MOUNT_ATTR_NOATIME),
            (&["noatime", "relatime", "atime"], 0),
            (&["noatime", "strictatime", "nostrictatime"], libc::MOUNT_ATTR_NOATIME),
        ] {
            let attributes = mount("/a", "bind", "/b", options).expect("valid").attributes;
            assert_eq!(attributes.set & libc::MOUNT_ATTR__ATIME, expected, "{options:?}");
        }
    }

    #[test]
    fn words_for_a_bind_add_up_in_any_order() {
        for (options, expected) in [
            (&["bind"][..], Reach::One),
            (&["rbind"], Reach::Tree),
            (&["rbind", "bind"], Reach::Tree),
            (&["bind", "rbind"], Reach::Tree),
            (&["rbind", "ro", "bind", "bind"], Reach::Tree),
            (&[], Reach::Tree),
        ] {
            let MountKind::Bind { reach, .. } = mount("/a", "bind", "/b", options).expect("valid").kind
            else {
                panic!("a bind")
            };
            assert_eq!(reach, expected, "{options:?}");
        }
    }

    #[test]
    fn a_later_word_takes_back_an_earlier_one() {
        let mount = mount("/a", "tmpfs", "", &["ro", "nosuid", "rw", "size=1m"]).expect("valid");
        assert_eq!(mount.attributes.set, libc::MOUNT_ATTR_NOSUID);
        assert_eq!(mount.attributes.clear, libc::MOUNT_ATTR_RDONLY);
        let MountKind::Filesystem(filesystem) = mount.kind else { panic!("a filesystem") };
        assert_eq!(filesystem.data, [("size".to_owned(), Some("1m".to_owned()))]);
    }

    #[test]
    fn a_relative_bind_source_is_the_bundles_and_a_destination_stays_below_the_root() {
        let mount = mount("/../../a/./b/../c//", "bind", "data", &["rbind", "rro"]).expect("valid");
        assert_eq!(mount.destination, "a/c");
        assert_eq!(mount.recursive.set, libc::MOUNT_ATTR_RDONLY);
        let MountKind::Bind { source, reach } = mount.kind else { panic!("a bind") };
        assert_eq!((source.as_path(), reach), (Path::new("/bundle/data"), Reach::Tree));
    }

    #[test]
    fn a_destination_given_by_the_hosts_path_is_below_the_root() {
        assert_eq!(mount("/bundle/rootfs/a/b", "tmpfs", "", &[]).expect("valid").destination, "a/b");
        assert_eq!(
            mount("/bundle/rootfs2/a", "tmpfs", "", &[]).expect("valid").destination,
            "bundle/rootfs2/a"
        );
    }

    #[test]
    fn mounts_inside_proc_are_refused_but_for_the_listed_ones() {
        assert!(matches!(mount("/proc/sys", "bind", "/a", &[]), Err(PlanError::MountInsideProc { .. })));
        assert!(matches!(mount("/proc", "tmpfs", "", &[]), Err(PlanError::MountInsideProc { .. })));
        assert!(mount("/proc/meminfo", "bind", "/a", &[]).is_ok());
        assert!(mount("/proc", "proc", "proc", &[]).is_ok());
        assert!(mount("/process", "tmpfs", "", &[]).is_ok());
    }

    #[test]
    fn a_bind_with_filesystem_data_or_without_source_is_refused() {
        assert!(matches!(mount("/a", "bind", "/b", &["size=1m"]), Err(PlanError::BindWithData { .. })));
        assert!(matches!(mount("/a", "bind", "", &["bind"]), Err(PlanError::BindWithoutSource { .. })));
        assert!(matches!(mount("/", "bind", "/b", &[]), Err(PlanError::MountOnRoot { .. })));
    }
}
