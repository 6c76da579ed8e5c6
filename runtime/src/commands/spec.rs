//! `spec`: writes a config.json to begin with, byte for byte runc's. Never replaces a file.

use std::io::Write as _;
use std::path::Path;

use super::error::CommandError;
use crate::args::command::SpecArgs;
use crate::cgroup::layout::Layout;
use crate::spec;

/// What both kinds have in common, with slots between at-signs.
const EXAMPLE: &str = include_str!("example.json");

/// Of a container of root's: no device but the default ones.
const RESOURCES: &str = r#"
		"resources": {
			"devices": [
				{
					"allow": false,
					"access": "rwm"
				}
			]
		},"#;

#[inline(never)]
pub(super) fn run(args: &SpecArgs) -> Result<(), CommandError> {
    let bundle = args.bundle.as_deref().unwrap_or(Path::new("."));
    let path = bundle.join("config.json");
    let failed = |source| CommandError::WriteSpec { path: path.clone(), source };
    let is_unified = Layout::detect()?.is_unified();
    let text = if args.rootless { rootless(is_unified) } else { rootful(is_unified) };
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match opened {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(CommandError::SpecExists { name: "config.json" })
        }
        Err(error) => Err(failed(error)),
    }
}

fn rootful(is_unified: bool) -> String {
    fill(&[
        ("@TTY_GROUP@", ",\n\t\t\t\t\"gid=5\""),
        ("@SYS_TYPE@", "sysfs"),
        ("@SYS_SOURCE@", "sysfs"),
        ("@SYS_BIND@", ""),
        ("@OWNERSHIP@", RESOURCES),
        ("@NAMESPACES@", &namespaces(&["pid", "network", "ipc", "uts", "mount"], is_unified, &[])),
    ])
}

/// The caller is root in a user namespace of the container's; the network and /sys are the host's.
fn rootless(is_unified: bool) -> String {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    fill(&[
        ("@TTY_GROUP@", ""),
        ("@SYS_TYPE@", "none"),
        ("@SYS_SOURCE@", "/sys"),
        ("@SYS_BIND@", "\n\t\t\t\t\"rbind\","),
        ("@OWNERSHIP@", &(mapping("uidMappings", user) + &mapping("gidMappings", group))),
        ("@NAMESPACES@", &namespaces(&["pid", "ipc", "uts", "mount"], is_unified, &["user"])),
    ])
}

fn fill(slots: &[(&str, &str)]) -> String {
    let text = EXAMPLE.replace("@VERSION@", spec::VERSION);
    slots.iter().fold(text, |text, (slot, content)| text.replace(slot, content))
}

fn namespaces(first: &[&str], is_unified: bool, last: &[&str]) -> String {
    let cgroup: &[&str] = if is_unified { &["cgroup"] } else { &[] };
    let entries: Vec<String> = [first, cgroup, last]
        .concat()
        .iter()
        .map(|kind| format!("\n\t\t\t{{\n\t\t\t\t\"type\": \"{kind}\"\n\t\t\t}}"))
        .collect();
    entries.join(",")
}

fn mapping(field: &str, id: u32) -> String {
    format!(
        "\n\t\t\"{field}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": {id},\n\t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t],"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::spec::Spec;

    #[test]
    fn what_is_written_can_be_run() {
        for text in [rootful(false), rootful(true), rootless(false), rootless(true)] {
            assert!(!text.contains('@'), "{text}");
            let spec = Spec::parse(text.as_bytes(), Path::new("config.json")).expect(&text);
            Plan::new(&spec, Path::new("/bundle")).expect(&text);
        }
    }
}
