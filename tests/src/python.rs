//! Python with packages from PyPI, for clients that are not ours.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::programs;

/// An interpreter that has this package. It is made once for all tests of a workspace, below its `target`.
///
/// # Errors
/// Why there is none: no Python, or no way to PyPI.
pub fn with_package(package: &str) -> Result<PathBuf, String> {
    let python = programs::find("python3").ok_or("python3 is not installed")?;
    let parent = programs::workspace().join("target/test-python");
    fs::create_dir_all(&parent).map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
    let directory = parent.join(package);
    // Tests of other processes wait until it is whole.
    let lock = File::create(parent.join("lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|error| format!("cannot lock {}: {error}", parent.display()))?;
    let interpreter = directory.join("bin/python3");
    let is_whole = directory.join("whole");
    if is_whole.exists() {
        return Ok(interpreter);
    }
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut install = Command::new(&interpreter);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]);
    install.args(["--retries", "1", "--timeout", "20", package]);
    run(&mut install)?;
    fs::write(is_whole, "").map_err(|error| format!("cannot write in {}: {error}", directory.display()))?;
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{command:?} failed: {last}"))
}
