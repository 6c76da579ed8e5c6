//! Whose namespaces a container is in: `--pid`, `--ipc`, `--uts`, `--cgroupns`, `--userns`; and what only Windows has.

use super::BadOption;

/// `--pid`
pub(crate) fn pid(text: &str) -> Result<String, BadOption> {
    match text {
        "" | "host" => Ok(text.to_owned()),
        _ if text.strip_prefix("container:").is_some_and(|name| !name.is_empty()) => Ok(text.to_owned()),
        _ => Err(BadOption::form(text, "host or container:NAME")),
    }
}

/// `--ipc`; docker's `none` means a private one here: it has a /dev/shm, which is not shared.
pub(crate) fn ipc(text: &str) -> Result<String, BadOption> {
    match text {
        "" | "private" | "none" => Ok(String::new()),
        "host" => Ok(text.to_owned()),
        _ if text == "shareable" || text.starts_with("container:") => Err(BadOption::unsupported(
            text,
            "knarr's containers share no /dev/shm with one another; use private or host",
        )),
        _ => Err(BadOption::form(text, "private, none or host")),
    }
}

/// `--uts` and `--userns`
pub(crate) fn host_or_own(text: &str) -> Result<String, BadOption> {
    match text {
        "" | "host" => Ok(text.to_owned()),
        _ => Err(BadOption::form(text, "host")),
    }
}

/// `--cgroupns`
pub(crate) fn private_or_host(text: &str) -> Result<String, BadOption> {
    match text {
        "" | "private" | "host" => Ok(text.to_owned()),
        _ => Err(BadOption::form(text, "private or host")),
    }
}

/// `--isolation`
pub(crate) fn isolation(text: &str) -> Result<String, BadOption> {
    match text {
        "" | "default" => Ok(text.to_owned()),
        _ => Err(BadOption::unsupported(text, "on Linux the only isolation is default")),
    }
}

/// A limit that only Windows has; 0 is none.
pub(crate) fn of_windows(text: &str) -> Result<u64, BadOption> {
    match text {
        "0" => Ok(0),
        _ => {
            Err(BadOption::unsupported(text, "only Windows has this limit; see --cpus and --device-read-bps"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named_as_in_docker() {
        assert_eq!(pid("container:web").expect("a name"), "container:web");
        assert_eq!(ipc("none").expect("taken"), "");
        for (refused, text) in [
            (pid("container:"), "container:"),
            (pid("web"), "web"),
            (ipc("shareable"), "shareable"),
            (ipc("container:web"), "container:web"),
            (host_or_own("private"), "private"),
            (private_or_host("x"), "x"),
            (isolation("hyperv"), "hyperv"),
        ] {
            let error = refused.expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(of_windows("0").is_ok() && of_windows("2").is_err());
    }
}
