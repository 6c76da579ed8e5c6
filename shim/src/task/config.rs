//! What the shim must know of a bundle's config.json. The runtime reads and judges it; this only looks.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::TaskError;

/// Larger than any real config.json by two orders of magnitude.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    path: String,
}

/// The first process, of which another is to have everything but the command and the terminal.
#[derive(Default, Deserialize)]
struct FirstProcess {
    #[serde(default)]
    process: Map<String, Value>,
}

fn read<T: DeserializeOwned>(bundle: &Path) -> Result<T, TaskError> {
    let mut text = Vec::new();
    fs::File::open(bundle.join("config.json"))
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text))
        .map_err(TaskError::Config)?;
    serde_json::from_slice(&text)
        .map_err(|error| TaskError::Malformed("the bundle's config.json", Some(error)))
}

/// A process like the container's first, which executes `args` without a terminal; the runtime-spec's JSON.
pub(super) fn process_for(bundle: &Path, args: &[String]) -> Result<Vec<u8>, TaskError> {
    let FirstProcess { mut process } = read(bundle)?;
    process.insert("args".to_owned(), args.into());
    process.insert("terminal".to_owned(), Value::Bool(false));
    process.remove("consoleSize");
    Ok(serde_json::to_vec(&process).expect("it was JSON before"))
}

/// Whether the container is in a pid namespace that is not its own.
pub(super) fn shares_pids(bundle: &Path) -> Result<bool, TaskError> {
    let config: Config = read(bundle)?;
    let namespaces = config.linux.unwrap_or_default().namespaces.unwrap_or_default();
    Ok(!namespaces.iter().any(|namespace| namespace.kind == "pid" && namespace.path.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_everything_of_the_first_process_but_command_and_terminal() {
        let bundle = tempfile::tempdir().expect("a directory");
        let text = r#"{"process":{"args":["sh"],"terminal":true,"consoleSize":{"height":1},"cwd":"/w","env":["A=1"]}}"#;
        fs::write(bundle.path().join("config.json"), text).expect("writable");
        let process = process_for(bundle.path(), &["check".to_owned(), "x".to_owned()]).expect("readable");
        let process: Value = serde_json::from_slice(&process).expect("JSON");
        let expected = r#"{"args":["check","x"],"terminal":false,"cwd":"/w","env":["A=1"]}"#;
        assert_eq!(process, serde_json::from_str::<Value>(expected).expect("JSON"));
    }

    #[test]
    fn only_a_new_pid_namespace_is_the_containers_own() {
        let bundle = tempfile::tempdir().expect("a directory");
        for (namespaces, shares) in [
            (r#"[{"type":"pid"}]"#, false),
            (r#"[{"type":"pid","path":"/proc/1/ns/pid"}]"#, true),
            (r#"[{"type":"mount"}]"#, true),
            ("null", true),
        ] {
            let text = format!(r#"{{"ociVersion":"1.0.2","linux":{{"namespaces":{namespaces}}}}}"#);
            fs::write(bundle.path().join("config.json"), text).expect("writable");
            assert_eq!(shares_pids(bundle.path()).expect("readable"), shares, "{namespaces}");
        }
    }
}
