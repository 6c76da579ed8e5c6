//! `--secret id=NAME,src=FILE`: read here, and kept in no place that lasts.

use std::path::PathBuf;

use crate::error::Error;
use crate::options::environment;

/// BuildKit's bound.
const MAX_BYTES: u64 = 500 << 10;

/// The id and the bytes of a secret.
pub(super) fn read(text: &str) -> Result<(String, Vec<u8>), Error> {
    let wrong = |what: &str| Error::State(format!("invalid secret {text:?}: {what}"));
    let (mut id, mut source, mut variable, mut is_env) = (None, None, None, false);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => source = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file")) => {}
            Some(("type", "env")) => is_env = true,
            _ => return Err(wrong("it has the fields id, src, env and type")),
        }
    }
    let id = id.ok_or_else(|| wrong("it has no id"))?;
    if is_env || (variable.is_some() && source.is_none()) {
        let name = variable.or(source).unwrap_or_else(|| id.clone());
        let value = environment::own(&name).ok_or_else(|| wrong("there is no such variable"))?;
        return Ok((id, value.into_bytes()));
    }
    if let (None, Some(value)) = (&source, environment::own(&id)) {
        return Ok((id, value.into_bytes()));
    }
    let path = PathBuf::from(source.unwrap_or_else(|| id.clone()));
    let failed =
        |path: &PathBuf, source| Error::File { action: "read the secret", path: path.clone(), source };
    let size = std::fs::metadata(&path).map_err(|source| failed(&path, source))?.len();
    if size > MAX_BYTES {
        return Err(wrong("it has more than 500 KiB"));
    }
    let bytes = std::fs::read(&path).map_err(|source| failed(&path, source))?;
    Ok((id, bytes))
}
