//! `knarrd man DIRECTORY`: writes knarrd's manual page, for packages, which bring it.
#![allow(clippy::disallowed_methods, reason = "a command without clients")]

use std::path::Path;
use std::process::ExitCode;

use crate::settings;

/// The first argument that asks for the page.
pub(crate) const COMMAND: &str = "man";

/// Writes `knarrd.8` into an existing directory.
pub(crate) fn main(directory: &Path) -> ExitCode {
    let mut page = Vec::new();
    let manual = clap_mangen::Man::new(settings::command_line()).section("8");
    let path = directory.join("knarrd.8");
    match manual.render(&mut page).and_then(|()| std::fs::write(&path, page)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("knarrd: cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
