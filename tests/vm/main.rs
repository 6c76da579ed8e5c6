//! Machines as people have them, which the one that runs the tests may not be: cgroup v2 alone, systemd, older kernels,
//! systemd's v1 layout. Virtual machines have them; `vm-guest` checks the runtime and the engine inside. They are emulated,
//! so that they need no /dev/kvm.
#![forbid(unsafe_code)]

mod engine;
mod image;
mod machine;
mod runtime;
