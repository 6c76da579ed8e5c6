//! Bytes as a container's user, its /etc/passwd and its /etc/group, a part each, apart by NUL: found or refused, never a
//! panic; a number is that number, a name is one of the file, and nobody is root who is not.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the files are opened in containers only")]
#[path = "../../manager/src/untrusted.rs"]
mod untrusted;
#[allow(dead_code, reason = "the files are opened in containers only")]
#[path = "../../manager/src/tasks/user.rs"]
mod user;

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
    let extra: Vec<String> = extra.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let Ok(found) = user::resolve(Some(passwd), Some(group), wanted, &extra) else { return };
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
