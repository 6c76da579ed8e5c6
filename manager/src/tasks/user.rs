//! The account that a process runs as: user and group texts looked up in the container's own `/etc/passwd` and `/etc/group`.
//! Those files came with the image and the container may have changed them: see [`UntrustedRoot`]. They are read as a
//! stream up to a bound. A number is never looked up as a name, and no text leads to root that does not say so.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::io::{BufRead, BufReader, Read};

use crate::untrusted::{UntrustedFileError, UntrustedRoot};

/// The largest passwd or group file that is read; the largest in public images are some hundred KiB.
const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;
/// The longest line that is looked at; longer ones are skipped.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// The kernel takes 2^32 - 2, docker 2^31 - 1; above that, programs have misread ids as negative.
const MAX_ID: u32 = (1 << 31) - 1;
/// The kernel's NGROUPS_MAX is 65,536; an image that wants more than this is up to no good.
const MAX_GROUPS: usize = 4096;

/// A user, by numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one included (CVE-2022-36109).
    pub(crate) groups: Vec<u32>,
    /// Home directory, when the user has an entry.
    pub(crate) home: Option<String>,
}

/// The user or group cannot be found. Docker's texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// No such name in the image.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group in the image.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// Not `user`, `uid`, `user:group` or `uid:gid`.
    #[error(
        "invalid user {0:?}: write user, uid, user:group or uid:gid; uids and gids must be in range 0-{MAX_ID}"
    )]
    Syntax(String),
    /// More groups than a process may have.
    #[error("more than {MAX_GROUPS} groups are asked for")]
    TooManyGroups,
    /// The container's file is not what it should be.
    #[error("cannot look users up in /{file} of the container")]
    File { file: &'static str, source: UntrustedFileError },
    /// The container's file cannot be read.
    #[error("cannot read {file} of the container")]
    Read { file: &'static str, source: std::io::Error },
}

/// Looks `user` and the `extra` groups up below `rootfs`. Where numbers say all of it, a file that is not what it should
/// be counts as absent: a container must not lock out those who look after it.
///
/// # Errors
/// [`UserError`]; nothing falls back to root.
pub(crate) fn look_up(rootfs: &UntrustedRoot, user: &str, extra: &[String]) -> Result<Account, UserError> {
    let needs_files = !is_said_by_numbers(user) || !extra.iter().all(|group| is_number(group));
    let open = |file: &'static str| match rootfs.read(file, MAX_FILE_BYTES) {
        Err(source) if needs_files => Err(UserError::File { file, source }),
        opened => Ok(opened.unwrap_or_default()),
    };
    resolve(open("etc/passwd")?, open("etc/group")?, user, extra)
}

/// Root, or both user and group by number: what is left for the files to say is the home directory.
fn is_said_by_numbers(user: &str) -> bool {
    match user.split_once(':') {
        Some((uid, gid)) if !gid.is_empty() => (uid.is_empty() || is_number(uid)) && is_number(gid),
        Some((uid, _)) => matches!(uid, "" | "0"),
        None => matches!(user, "" | "0"),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The same in files that are open already, or that the container does not have.
///
/// # Errors
/// As [`look_up`].
pub(crate) fn resolve<P: Read, G: Read>(
    passwd: Option<P>,
    group: Option<G>,
    spec: &str,
    extra: &[String],
) -> Result<Account, UserError> {
    // As docker has it, a half that is left empty is as if it were not there: "1000:" is "1000", and ":5" is root with
    // group 5.
    let (user, group_text) = match spec.split_once(':') {
        None => (spec, None),
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
    };
    let wanted = if user.is_empty() { UserOrGroup::Id(0) } else { UserOrGroup::parse(user, spec)? };
    let entry = match passwd {
        Some(passwd) => find_user(passwd, wanted)?,
        None => None,
    };
    let (uid, primary, home, name) = match (entry, wanted) {
        (Some(entry), _) => (entry.uid, entry.gid, Some(entry.home), Some(entry.name)),
        (None, UserOrGroup::Id(uid)) => (uid, 0, None, None),
        (None, UserOrGroup::Name(name)) => return Err(UserError::NoUser(name.to_owned())),
    };
    // Docker: membership counts only when no group was asked for.
    let member = if group_text.is_none() { name.as_deref() } else { None };
    let mut names: Vec<UserOrGroup<'_>> = Vec::new();
    for text in group_text.into_iter().chain(extra.iter().map(String::as_str)) {
        names.push(UserOrGroup::parse(text, text)?);
    }
    let (mut found, memberships) = match group {
        Some(group) => find_groups(group, &names, member)?,
        None => (vec![None; names.len()], Vec::new()),
    };
    for (slot, wanted) in found.iter_mut().zip(&names) {
        *slot = match (*slot, wanted) {
            (Some(gid), _) => Some(gid),
            (None, UserOrGroup::Id(gid)) => Some(*gid),
            (None, UserOrGroup::Name(name)) => return Err(UserError::NoGroup((*name).to_owned())),
        };
    }
    let mut chosen = found.into_iter().flatten();
    let gid = if group_text.is_some() { chosen.next().unwrap_or(primary) } else { primary };
    if extra.len() >= MAX_GROUPS {
        return Err(UserError::TooManyGroups);
    }
    let mut groups = vec![gid];
    for gid in chosen.chain(memberships) {
        if !groups.contains(&gid) && groups.len() < MAX_GROUPS {
            groups.push(gid);
        }
    }
    Ok(Account { uid, gid, groups, home })
}

#[derive(Clone, Copy, Debug)]
enum UserOrGroup<'a> {
    Id(u32),
    Name(&'a str),
}

impl<'a> UserOrGroup<'a> {
    fn parse(text: &'a str, whole: &str) -> Result<Self, UserError> {
        if text.is_empty() || text.contains(['\n', '\0']) {
            return Err(UserError::Syntax(whole.to_owned()));
        }
        if is_number(text) {
            return id(text.as_bytes()).map(Self::Id).ok_or_else(|| UserError::Syntax(whole.to_owned()));
        }
        Ok(Self::Name(text))
    }
}

struct UserEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// passwd(5): `name:password:UID:GID:GECOS:directory:shell`. The first match counts.
fn find_user(passwd: impl Read, wanted: UserOrGroup<'_>) -> Result<Option<UserEntry>, UserError> {
    let mut found = None;
    each_line(passwd, "/etc/passwd", |line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return true };
        let (Some(uid), Some(gid)) = (id(uid), id(gid)) else { return true };
        let matches = match wanted {
            UserOrGroup::Id(wanted) => wanted == uid,
            UserOrGroup::Name(wanted) => wanted.as_bytes() == *name,
        };
        if matches {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found = Some(UserEntry { name: text(name), uid, gid, home: text(home) });
        }
        !matches
    })?;
    Ok(found)
}

/// group(5): `name:password:GID:user,user…`. Gives the gid of each wanted group, and those that `member` is in.
fn find_groups(
    group: impl Read,
    wanted: &[UserOrGroup<'_>],
    member: Option<&str>,
) -> Result<(Vec<Option<u32>>, Vec<u32>), UserError> {
    let mut found = vec![None; wanted.len()];
    let mut memberships = Vec::new();
    each_line(group, "/etc/group", |line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, _, gid, rest @ ..] = fields.as_slice() else { return true };
        let Some(gid) = id(gid) else { return true };
        for (slot, wanted) in found.iter_mut().zip(wanted) {
            if let UserOrGroup::Name(text) = wanted
                && text.as_bytes() == *name
                && slot.is_none()
            {
                *slot = Some(gid);
            }
        }
        let members = rest.first().copied().unwrap_or_default();
        let is_member =
            member.is_some_and(|member| members.split(|byte| *byte == b',').any(|m| m == member.as_bytes()));
        if is_member && memberships.len() < MAX_GROUPS {
            memberships.push(gid);
        }
        true
    })?;
    Ok((found, memberships))
}

/// Calls `visit` with every line, until it says `false`.
fn each_line(
    file: impl Read,
    name: &'static str,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> Result<(), UserError> {
    let failed = |source| UserError::Read { file: name, source };
    let mut reader = BufReader::new(file.take(MAX_FILE_BYTES));
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        if length == 0 {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n') || (length as u64) < MAX_LINE_BYTES;
        if !whole {
            reader.skip_until(b'\n').map_err(failed)?;
            continue;
        }
        let text = line.trim_ascii();
        if !text.is_empty() && !visit(text) {
            return Ok(());
        }
    }
}

fn id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|id| *id <= MAX_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbad line\nbig:x:4294967296:0::/:\nweb:x:33:34:w:/srv:/bin/sh\n1000:x:7:7::/n:\n";
    const GROUP: &str = "root:x:0:root\nwww:x:34:\nlogs:x:4:root,web\naudio:x:29:web\n";

    fn resolve(user: &str, extra: &[&str]) -> Result<Account, UserError> {
        let extra: Vec<String> = extra.iter().map(|text| (*text).to_owned()).collect();
        super::resolve(Some(PASSWD.as_bytes()), Some(GROUP.as_bytes()), user, &extra)
    }

    fn numbers(user: &str, extra: &[&str]) -> (u32, u32, Vec<u32>) {
        let account = resolve(user, extra).expect(user);
        (account.uid, account.gid, account.groups)
    }

    #[test]
    fn users_and_groups_are_found_as_docker_finds_them() {
        assert_eq!(numbers("", &[]), (0, 0, vec![0, 4]));
        assert_eq!(numbers("web", &[]), (33, 34, vec![34, 4, 29]));
        assert_eq!(numbers("33", &[]), (33, 34, vec![34, 4, 29]));
        assert_eq!(numbers("web:audio", &[]), (33, 29, vec![29]));
        assert_eq!(numbers("1000", &[]), (1000, 0, vec![0]));
        assert_eq!(numbers("1000:2000", &["www", "5"]), (1000, 2000, vec![2000, 34, 5]));
        assert_eq!(resolve("web", &[]).expect("web").home.as_deref(), Some("/srv"));
    }

    /// What dockerd's own look-up makes of the same texts and files.
    #[test]
    fn a_half_that_is_left_empty_is_as_if_it_were_not_there() {
        for (text, expected) in [
            ("1000:", (1000, 0, vec![0])),
            ("33:", (33, 34, vec![34, 4, 29])),
            ("web:", (33, 34, vec![34, 4, 29])),
            (":5", (0, 5, vec![5])),
            (":audio", (0, 29, vec![29])),
            (":", (0, 0, vec![0, 4])),
            ("007:", (7, 7, vec![7])),
        ] {
            assert_eq!(numbers(text, &[]), expected, "{text:?}");
        }
    }

    #[test]
    fn groups_that_are_asked_for_are_never_left_out_silently() {
        let many: Vec<String> = (0..MAX_GROUPS).map(|gid| gid.to_string()).collect();
        let none = || None::<&[u8]>;
        assert!(matches!(super::resolve(none(), none(), "1:1", &many), Err(UserError::TooManyGroups)));
        let fitting = super::resolve(none(), none(), "1:9999", &many[1..]).expect("they fit");
        assert_eq!(fitting.groups.len(), MAX_GROUPS);
    }

    #[test]
    fn nobody_becomes_root_by_a_trick() {
        for user in [
            "nobody",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x0",
            "1e0",
            "٣",
            "2147483648",
            "4294967296",
            "99999999999999999999",
            "web:nope",
            "nobody:",
            "-1:",
            "1:-1",
            "1:4294967296",
            "big",
            "root\n",
            "we b",
            "1:1:1",
            "\0",
        ] {
            assert!(resolve(user, &[]).is_err(), "{user:?}");
        }
        assert_eq!(numbers("2147483647", &[]).0, 2_147_483_647);
        assert!(resolve("web", &["nope"]).is_err());
    }

    #[test]
    fn an_image_without_files_has_only_numbers() {
        let none = || None::<&[u8]>;
        assert_eq!(super::resolve(none(), none(), "5:6", &[]).expect("numbers").gid, 6);
        assert_eq!(super::resolve(none(), none(), "", &[]).expect("root").uid, 0);
        assert!(super::resolve(none(), none(), "root", &[]).is_err());
    }

    #[test]
    fn an_endless_line_names_nobody_and_the_rest_is_still_read() {
        let mut passwd = vec![b'a'; 200_000];
        passwd.extend_from_slice(b"\nweb:x:33:34::/:\n");
        let account = super::resolve(Some(passwd.as_slice()), None::<&[u8]>, "web", &[]).expect("web");
        assert_eq!(account.uid, 33);
    }

    #[test]
    fn users_are_only_looked_up_in_regular_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).expect("made");
        std::os::unix::fs::symlink("/etc/hostname-of-nobody", etc.join("group")).expect("a link");
        let rootfs = UntrustedRoot::open(directory.path()).expect("the directory");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, etc.join("passwd"), fifo, 0o600.into(), 0).expect("a FIFO");
        let error = look_up(&rootfs, "root", &[]).expect_err("a FIFO");
        assert!(matches!(error, UserError::File { file: "etc/passwd", .. }), "{error:?}");
        std::fs::remove_file(etc.join("passwd")).expect("removed");
        std::fs::write(etc.join("passwd"), PASSWD).expect("written");
        assert_eq!(look_up(&rootfs, "web", &[]).expect("a dangling link is no file").uid, 33);
    }
}
