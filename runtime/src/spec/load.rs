//! Reading config.json (and exec's process file): size bounds, refusal of NUL, errors that name the field.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::locate::json_path_at;
use super::merge::merged;
use super::process::Process;
use super::resources::Resources;
use super::strict::Strict;
use crate::spec::Spec;

/// Larger than any real configuration (Docker's are 20 KB) and small enough to parse in bounded memory.
const SPEC_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What is kept of a configuration is written anew where two names are one, and at an update: `1e9` as `1000000000.0`,
/// and no number more than four times as long.
const KEPT_MAX_BYTES: u64 = 4 * SPEC_MAX_BYTES;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// No file of that name; the text is runc's.
    #[error("JSON specification file {path} not found")]
    NotFound {
        /// The file.
        path: PathBuf,
        /// What open said.
        source: io::Error,
    },
    /// The file is there but cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What read said.
        source: io::Error,
    },
    /// More than the bound.
    #[error("{path} is larger than {most} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        most: u64,
    },
    /// Not JSON, or not of the specification's shape.
    #[error("{file}: invalid value at {field}")]
    Invalid {
        /// The file.
        file: PathBuf,
        /// JSON path, as `linux.namespaces[2].type`.
        field: String,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
    /// The kernel's strings end at NUL, so that what follows one would silently be lost.
    #[error("{file}: the string at {field} contains a NUL character")]
    Nul {
        /// The file.
        file: PathBuf,
        /// JSON path of the string.
        field: String,
    },
    /// A version of the specification that we do not know.
    #[error("config.json: unsupported ociVersion {0:?} (supported are 1.0.0 to 1.3.x)")]
    Version(String),
}

impl Spec {
    /// Reads what was kept of the configuration of a container.
    ///
    /// # Errors
    /// [`SpecError`], which names the file and the field.
    pub(crate) fn load_kept(path: &Path) -> Result<Self, SpecError> {
        Self::parse(&read_bounded(path, KEPT_MAX_BYTES)?, path)
    }

    /// Reads `config.json` in the bundle directory, and returns a text of it as well in which no object has two names.
    ///
    /// # Errors
    /// As [`Spec::load_kept`].
    pub(crate) fn read(bundle: &Path) -> Result<(Self, Vec<u8>), SpecError> {
        let path = bundle.join("config.json");
        let text = read_bounded(&path, SPEC_MAX_BYTES)?;
        let (spec, merged) = parse(&text, &path)?;
        Ok((Self::of_known_version(spec)?, merged.unwrap_or(text)))
    }

    /// Parses the text of a config.json; `file` is for messages only.
    ///
    /// # Errors
    /// [`SpecError`], which names the field.
    pub(crate) fn parse(text: &[u8], file: &Path) -> Result<Self, SpecError> {
        Self::of_known_version(parse(text, file)?.0)
    }

    fn of_known_version(self) -> Result<Self, SpecError> {
        let known = self.oci_version.split('.').next() == Some("1") && self.oci_version.contains('.');
        if known { Ok(self) } else { Err(SpecError::Version(self.oci_version)) }
    }
}

impl Process {
    /// Reads a file that holds one `process` object, as `exec --process` has it.
    ///
    /// # Errors
    /// [`SpecError`], which names the file and the field.
    pub(crate) fn load(path: &Path) -> Result<Self, SpecError> {
        Ok(parse(&read_bounded(path, SPEC_MAX_BYTES)?, path)?.0)
    }
}

impl Resources {
    /// Reads a file that holds one `resources` object, as `update --resources` has it.
    ///
    /// # Errors
    /// [`SpecError`], which names the file and the field.
    pub(crate) fn load(path: &Path) -> Result<Self, SpecError> {
        Ok(parse(&read_bounded(path, SPEC_MAX_BYTES)?, path)?.0)
    }

    /// Reads one from stdin.
    ///
    /// # Errors
    /// As [`Resources::load`].
    pub(crate) fn load_stdin() -> Result<Self, SpecError> {
        let path = Path::new("stdin");
        Ok(parse(&read_all(io::stdin().lock(), path, SPEC_MAX_BYTES)?, path)?.0)
    }
}

fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, SpecError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SpecError::NotFound { path: path.to_owned(), source },
        _ => SpecError::Read { path: path.to_owned(), source },
    })?;
    read_all(file, path, most)
}

fn read_all(reader: impl Read, path: &Path, most: u64) -> Result<Vec<u8>, SpecError> {
    let mut text = Vec::with_capacity(16 * 1024);
    reader
        .take(most + 1)
        .read_to_end(&mut text)
        .map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > most {
        return Err(SpecError::TooLarge { path: path.to_owned(), most });
    }
    Ok(text)
}

/// Parses a document. Returns the text that was parsed instead, too, where an object had two names.
fn parse<T: DeserializeOwned>(text: &[u8], file: &Path) -> Result<(T, Option<Vec<u8>>), SpecError> {
    let parsed = parse_once(text).map(|value| (value, None)).or_else(|source| {
        let merged = merged(text, &source).and_then(|text| Some((parse_once(&text).ok()?, Some(text))));
        // Told is what is wrong with the text as it was given.
        merged.ok_or_else(|| {
            let field = json_path_at(text, offset_of(text, &source));
            SpecError::Invalid { file: file.to_owned(), field, source }
        })
    })?;
    match find_nul_escape(text) {
        Some(offset) => Err(SpecError::Nul { file: file.to_owned(), field: json_path_at(text, offset) }),
        None => Ok(parsed),
    }
}

/// serde_json bounds nesting at 128 levels by itself and refuses duplicate fields.
fn parse_once<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let Ok(text) = str::from_utf8(text) else {
        // Finds the string; the whole at once is judged in a fraction of the time.
        return serde_json::from_slice::<Value>(text)
            .and_then(|_| Err(serde_json::Error::custom("not UTF-8")));
    };
    let mut document = serde_json::Deserializer::from_str(text);
    T::deserialize(Strict(&mut document)).and_then(|value| document.end().map(|()| value))
}

/// Where the error is: at the last byte that the parser took. When a list or an object came where none is wanted, that
/// is still the byte in front of it; a field is missing behind the end of its object.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let (line, column) = (error.line(), error.column());
    let start: usize =
        text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let last = (start + column.saturating_sub(1)).min(text.len());
    let is_before = error.is_data() && column > 0 && matches!(text.get(last), Some(b',' | b'[' | b':'));
    let is_behind = error.to_string().starts_with("missing field");
    if is_before || is_behind { last + 1 } else { last }
}

/// JSON allows NUL in a string only as `\u0000`; a backslash before a backslash makes it ordinary text.
fn find_nul_escape(text: &[u8]) -> Option<usize> {
    // This one is fast, and most have none.
    if !text.contains(&b'\\') {
        return None;
    }
    let mut offset = 0;
    while let Some(found) = text[offset..].iter().position(|byte| *byte == b'\\') {
        offset += found;
        if text[offset..].starts_with(b"\\u0000") {
            return Some(offset);
        }
        offset = (offset + 2).min(text.len());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_object() {
        let text = r#"{"ociVersion":"1.3.0","linux":{"resources":{"memory":[1]}}}"#;
        assert_eq!(message(text), "config.json: invalid value at linux.resources.memory");
        let text = r#"{"ociVersion":"1.3.0","linux":{"maskedPaths":["/a",["/b"]]}}"#;
        assert_eq!(message(text), "config.json: invalid value at linux.maskedPaths[1]");
        let text = r#"{"ociVersion":"1.3.0","linux":{"maskedPaths":[["/b"],"/a"]}}"#;
        assert_eq!(message(text), "config.json: invalid value at linux.maskedPaths[0]");
    }

    fn message(text: &str) -> String {
        Spec::parse(text.as_bytes(), Path::new("config.json")).expect_err(text).to_string()
    }

    #[test]
    fn a_minimal_configuration_is_enough() {
        let text = r#"{"ociVersion":"1.0.2-dev","unknown":{"a":[1]},"mounts":null,"root":{"path":"rootfs"}}"#;
        let spec = Spec::parse(text.as_bytes(), Path::new("config.json")).expect("valid");
        assert!(spec.mounts.is_empty());
        assert!(!spec.root.expect("given").readonly);
    }

    #[test]
    fn an_error_names_the_json_path_of_the_field() {
        let text = r#"{"ociVersion":"1.3.0","mounts":[{"destination":"/a"},{"destination":7}]}"#;
        assert_eq!(message(text), "config.json: invalid value at mounts[1].destination");
        let text = "{\"ociVersion\":\"1.3.0\",\n \"linux\":{\"namespaces\":[{\"type\":\"pid\"},\n{\"type\":\"warp\"}]}}";
        assert_eq!(message(text), "config.json: invalid value at linux.namespaces[1].type");
    }

    #[test]
    fn a_missing_field_is_its_objects_and_a_list_at_the_top_the_documents() {
        let text = r#"{"ociVersion":"1.3.0","mounts":[{"destination":"/a"},{"type":"tmpfs"}],"x":1}"#;
        assert_eq!(message(text), "config.json: invalid value at mounts[1]");
        assert_eq!(message(r#"{"annotations":{"a":"b"}}"#), "config.json: invalid value at the document");
        assert_eq!(message("[]"), "config.json: invalid value at the document");
        assert_eq!(message("[[1]]"), "config.json: invalid value at the document");
    }

    #[test]
    fn nul_is_refused_but_an_escaped_backslash_before_it_is_text() {
        let text = r#"{"ociVersion":"1.3.0","process":{"cwd":"/","args":["sh","a\u0000b"]}}"#;
        assert_eq!(message(text), "config.json: the string at process.args[1] contains a NUL character");
        let text = r#"{"ociVersion":"1.3.0","hostname":"\\u0000"}"#;
        assert!(Spec::parse(text.as_bytes(), Path::new("config.json")).is_ok());
    }

    #[test]
    fn deep_nesting_duplicates_and_other_versions_are_refused() {
        let deep = format!(r#"{{"ociVersion":"1.3.0","x":{}}}"#, "[".repeat(100_000));
        assert!(message(&deep).starts_with("config.json: invalid value at x"));
        assert!(message(r#"{"ociVersion":"1.3.0","ociVersion":"1.2.0"}"#).contains("invalid value"));
        assert!(message(r#"{"ociVersion":"2.0.0"}"#).contains("unsupported ociVersion \"2.0.0\""));
    }
}
