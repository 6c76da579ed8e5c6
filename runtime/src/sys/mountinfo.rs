//! The table of mounts that we see, proc_pid_mountinfo(5). A user that may mount something gives it a name of any
//! bytes, which must not keep us from reading the rest.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;

use rustix::io::Errno;

use crate::sys::file;

/// Where it is.
pub(crate) const PATH: &str = "/proc/self/mountinfo";

/// That of a host with thousands of mounts is a few megabytes.
const MAX_BYTES: usize = 64 << 20;

/// Reads it. Bytes that are no text are written as the kernel writes blanks, for [`unescape`].
///
/// # Errors
/// The kernel's; [`Errno::FBIG`] for a table without bounds.
pub(crate) fn read() -> Result<String, Errno> {
    Ok(String::from_utf8(file::read_bytes(PATH.as_ref(), MAX_BYTES)?)
        .unwrap_or_else(|error| escape(error.as_bytes())))
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\{byte:03o}").expect("a String takes any text");
        }
    }
    text
}

/// What a field means, in which space, tab, newline and backslash are `\ooo`.
pub(crate) fn unescape(field: &str) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let code = escaped.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(b'\\'));
        rest = if code.is_some() { &escaped[3..] } else { escaped };
    }
    bytes.extend(rest.as_bytes());
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn what_is_no_text_comes_back() {
        for bytes in [&b"/a"[..], b"/\xff", b"/\xc3\xa9\xc3/\xe2\x82", b""] {
            let text = escape(bytes);
            assert_eq!(unescape(&text).as_bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn what_the_kernel_has_escaped_is_meant() {
        for (field, meant) in [("/a\\040b", "/a b"), ("\\134040", "\\040"), ("\\", "\\"), ("/\\9", "/\\9")] {
            assert_eq!(unescape(field), meant);
        }
    }
}
