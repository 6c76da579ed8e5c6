//! containerd-shim-knarr-v2 under its contract: ttrpc, stdio, exit records, logs.
#![forbid(unsafe_code)]
