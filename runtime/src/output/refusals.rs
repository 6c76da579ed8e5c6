//! Which system call it was that is missing: an error says what we were at, and the kernel only "function not
//! implemented". What a person needs is the call's name and the Linux that has it.

use std::fmt::Write as _;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::sys::late_calls::{LATE_CALLS, LateCall};

/// The end of a sentence about an error with this number; empty when no missing call explains it.
pub(super) fn explain(errno: Option<i32>) -> String {
    let answer = match errno.map(Errno::from_raw_os_error) {
        Some(Errno::NOSYS) => Errno::NOSYS,
        // Without the right, that is explanation enough.
        Some(Errno::PERM) if may_mount() => Errno::PERM,
        _ => return String::new(),
    };
    let refused: Vec<&LateCall> = LATE_CALLS.iter().filter(|call| call.answer() == answer).collect();
    let mut text = String::new();
    for (index, call) in refused.iter().enumerate() {
        let before = if index == 0 { "; this needs " } else { ", " };
        write!(text, "{before}{} (Linux {})", call.name, call.since).expect("a text grows");
    }
    if !refused.is_empty() {
        text.push_str(", which the kernel lacks or a filter forbids");
    }
    text
}

fn may_mount() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_blamed_where_every_call_is_there() {
        // Tests run on a Linux that has them all, and may run in a container that forbids some.
        let is_there = |call: &LateCall| !matches!(call.answer(), Errno::NOSYS | Errno::PERM);
        if LATE_CALLS.iter().all(is_there) {
            assert_eq!(explain(Some(libc::ENOSYS)), "");
        }
        for errno in [None, Some(libc::ENOENT), Some(libc::EINVAL)] {
            assert_eq!(explain(errno), "");
        }
    }
}
