//! Where programs are: ours in `KNARR_BIN_DIR` (default `<workspace>/target/bin`, filled by `make build`), others on `PATH`.

use std::path::{Path, PathBuf};

/// The workspace's root directory.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// The directory with our four programs.
#[must_use]
pub fn directory() -> PathBuf {
    std::env::var_os("KNARR_BIN_DIR").map_or_else(|| workspace().join("target/bin"), PathBuf::from)
}

/// One of our programs.
///
/// # Panics
/// When it is not built.
#[must_use]
#[track_caller]
pub fn ours(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(path.exists(), "{} is missing: run `make build`, or set KNARR_BIN_DIR", path.display());
    path
}

/// Finds a program on `PATH`, and where root's programs are.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// As [`find`], for what a `require!` has already asked for.
///
/// # Panics
/// When it is not installed.
#[must_use]
#[track_caller]
pub fn tool(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{name} is not installed; the test should require!(tool({name:?}))"))
}
