//! HOME when the configuration gives none: the user's home directory of the container's /etc/passwd. The file is the
//! image's, so that it is opened without waiting, must be an ordinary file, and is read up to a bound (CVE-2026-47262).

use std::ffi::CString;
use std::fs::File;
use std::io::Read;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

/// containerd's bound for the same file.
const PASSWD_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// `HOME=…` for the user; `/` when the file has no answer, as runc has it. Call inside the container's root.
pub(crate) fn variable(uid: u32) -> CString {
    let home = read_passwd().and_then(|text| home_of(&text, uid)).unwrap_or_else(|| "/".to_owned());
    CString::new(format!("HOME={home}")).unwrap_or_else(|_| CString::from(c"HOME=/"))
}

fn read_passwd() -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened =
        rustix::fs::openat2(CWD, c"/etc/passwd", flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()?;
    let status = rustix::fs::fstat(&opened).ok()?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::from(opened).take(PASSWD_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// passwd(5): `name:password:uid:gid:gecos:home:shell`.
fn home_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let matches = fields.nth(2)?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (matches && !home.is_empty()).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use crate::process::home::home_of;

    #[test]
    fn the_home_is_found_by_number_alone() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\n1000:x:7:7::/seven:\nweb:x:1000:1000::/srv:/bin/false";
        assert_eq!(home_of(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_of(passwd, 1000).as_deref(), Some("/srv"));
        assert_eq!(home_of(passwd, 7).as_deref(), Some("/seven"));
        assert_eq!(home_of(passwd, 5), None);
    }
}
