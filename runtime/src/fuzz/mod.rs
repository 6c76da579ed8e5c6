//! What the fuzz targets (fuzz/) call: one function each, which panics when an input shows a fault. They are here and
//! not there so that nothing else of the library has to be public.
#![allow(missing_docs, reason = "each has a file of its own")]

mod ids;
mod resources;
mod seccomp;
mod spec;
mod state;

pub use ids::ids;
pub use resources::resources;
pub use seccomp::seccomp;
pub use spec::spec;
pub use state::state;
