//! Bytes as a container's user, its /etc/passwd and its /etc/group, a part each, apart by NUL: found or refused, never a
//! panic; a number is that number, a name is one of the file, and nobody is root who is not.
#![no_main]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../manager/src/containers/user.rs"]
mod user;

/// In memory; each process of the fuzzer has its own.
fn rootfs() -> &'static PathBuf {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let path = PathBuf::from(format!("/dev/shm/knarr-fuzz-{}", std::process::id()));
        fs::create_dir_all(path.join("etc")).expect("memory");
        path
    })
}

/// A line of the file begins with the name.
fn is_named(file: &[u8], name: &str) -> bool {
    let begins = |line: &[u8]| {
        line.trim_ascii().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
    };
    file.split(|byte| *byte == b'\n').any(begins)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (wanted, extra, passwd, group) = (next(), next(), next(), next());
    let (Ok(wanted), Ok(extra)) = (std::str::from_utf8(wanted), std::str::from_utf8(extra)) else { return };
    let rootfs = rootfs();
    fs::write(rootfs.join("etc/passwd"), passwd).expect("memory");
    fs::write(rootfs.join("etc/group"), group).expect("memory");
    let directory = File::open(rootfs).expect("ours");
    let extra: Vec<String> = extra.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let Ok(found) = user::look_up(directory.as_fd(), wanted, &extra) else { return };
    let name = wanted.split(':').next().unwrap_or_default();
    if is_number(name) {
        assert_eq!(
            found.uid.to_string(),
            name.trim_start_matches('0').to_owned() + if found.uid == 0 { "0" } else { "" }
        );
    } else if !name.is_empty() {
        assert!(is_named(passwd, name), "{name:?} is in no line");
        assert!(found.uid != 0 || String::from_utf8_lossy(passwd).contains(":0"), "{name:?} became root");
    }
    assert_eq!(found.groups.first(), Some(&found.gid));
    assert!(found.groups.iter().chain([&found.uid]).all(|id| *id < 1 << 31), "{found:?}");
});
