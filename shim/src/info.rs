//! What the program says of itself: `-v` for people, `-info` for containerd.

use std::io::{self, Write};

use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

/// The name that containerd derives the program's name from.
const RUNTIME: &str = "io.containerd.knarr.v2";

/// Prints the version.
pub(crate) fn print_version() -> io::Result<()> {
    writeln!(io::stdout(), "containerd-shim-knarr-v2:\n  Version: {}", env!("CARGO_PKG_VERSION"))
}

/// Prints containerd's message about a runtime.
pub(crate) fn print_info() -> io::Result<()> {
    let version =
        RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), ..RuntimeVersion::default() };
    let info = RuntimeInfo {
        name: RUNTIME.to_owned(),
        version: MessageField::some(version),
        ..RuntimeInfo::default()
    };
    let message = info.write_to_bytes().expect("there are no required fields");
    io::stdout().write_all(&message)
}
