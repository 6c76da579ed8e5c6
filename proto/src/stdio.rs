//! Where a process's streams go: the URI that a manager puts into the shim's `stdin`, `stdout` and `stderr` fields.
//!
//! containerd's own forms, a bare path or `fifo:///path` and `file:///path`, and one of ours for knarrd, the same
//! text in every field that is used:
//!
//! ```text
//! knarr:///run/knarr/attach/4f1c.sock?log=/var/lib/knarr/containers/4f1c/log&max-size=10485760&max-files=5
//! ```
//! The path is the attach socket that the shim is to listen on ([`crate::frame`]); `log` is the file that it records to
//! ([`crate::log`]), left out for an exec. `%XX` escapes are understood.

/// The scheme of our own form.
pub const SCHEME: &str = "knarr://";

/// Our own form, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnarrStdio {
    /// Absolute path of the attach socket.
    pub attach: String,
    /// What to record, if anything.
    pub log: Option<LogTarget>,
}

/// A bounded, rotated log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Absolute path of the newest file.
    pub path: String,
    /// A file that has reached this size is rotated.
    pub max_size_bytes: u64,
    /// How many files are kept, the newest included; at least 1.
    pub max_files: u32,
}

/// Why a text is no `knarr://` URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad stdio URI {uri:?}: {problem}")]
pub struct BadStdio {
    uri: String,
    problem: &'static str,
}

impl KnarrStdio {
    /// Reads a `knarr://` URI.
    ///
    /// # Errors
    /// [`BadStdio`] for another scheme, a relative path, or an unknown or malformed parameter.
    pub fn parse(uri: &str) -> Result<Self, BadStdio> {
        let bad = |problem| BadStdio { uri: uri.to_owned(), problem };
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| bad("the scheme is not knarr://"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let attach = absolute(path).ok_or_else(|| bad("the socket path is not absolute"))?;
        let (mut log, mut max_size_bytes, mut max_files) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| bad("a parameter has no value"))?;
            match key {
                "log" => log = Some(absolute(value).ok_or_else(|| bad("the log path is not absolute"))?),
                "max-size" => max_size_bytes = value.parse().ok().filter(|size| *size > 0),
                "max-files" => max_files = value.parse().ok().filter(|files| *files > 0),
                _ => return Err(bad("unknown parameter")),
            }
        }
        let Some(path) = log else { return Ok(Self { attach, log: None }) };
        let max_size_bytes = max_size_bytes.ok_or_else(|| bad("max-size is missing or no number above 0"))?;
        let max_files = max_files.ok_or_else(|| bad("max-files is missing or no number above 0"))?;
        Ok(Self { attach, log: Some(LogTarget { path, max_size_bytes, max_files }) })
    }

    /// The URI as text.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let attach = escape(&self.attach);
        match &self.log {
            None => format!("{SCHEME}{attach}"),
            Some(log) => format!(
                "{SCHEME}{attach}?log={}&max-size={}&max-files={}",
                escape(&log.path),
                log.max_size_bytes,
                log.max_files
            ),
        }
    }
}

fn absolute(text: &str) -> Option<String> {
    unescape(text).filter(|path| path.starts_with('/') && !path.contains('\0'))
}

fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_survive() {
        for path in ["/run/a.sock", "/a b/c&d=e?f#g%h", "/ä/ö"] {
            let log = LogTarget { path: path.to_owned(), max_size_bytes: 1, max_files: 2 };
            for stdio in [
                KnarrStdio { attach: path.to_owned(), log: None },
                KnarrStdio { attach: path.to_owned(), log: Some(log) },
            ] {
                assert_eq!(KnarrStdio::parse(&stdio.to_uri()), Ok(stdio));
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for uri in [
            "/run/fifo",
            "file:///x",
            "knarr://relative",
            "knarr:///s?log=x&max-size=1&max-files=1",
            "knarr:///s?log=/l",
            "knarr:///s?log=/l&max-size=0&max-files=1",
            "knarr:///s?nope=1",
            "knarr:///s%0",
        ] {
            assert!(KnarrStdio::parse(uri).is_err(), "{uri}");
        }
    }
}
