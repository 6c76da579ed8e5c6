//! Writing a command's result.

use std::io::Write as _;

use super::error::CommandError;

/// Writes the result of a command to stdout.
pub(super) fn print(text: &[u8]) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|source| CommandError::Print { source })
}
