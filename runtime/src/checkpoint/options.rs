//! What `checkpoint` and `restore` are asked for, as plain data.

use std::path::PathBuf;

/// What both verbs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct Options {
    /// Where criu's images are.
    pub(crate) images: PathBuf,
    /// Where its log and other files go; none is beside the images.
    pub(crate) work: Option<PathBuf>,
    pub(crate) tcp_established: bool,
    pub(crate) ext_unix_sk: bool,
    pub(crate) shell_job: bool,
    pub(crate) file_locks: bool,
    pub(crate) cgroups: CgroupMode,
    pub(crate) auto_dedup: bool,
    pub(crate) lazy_pages: bool,
}

/// What is to be dumped, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct DumpOptions {
    pub(crate) common: Options,
    /// Earlier images, relative to these.
    pub(crate) parent: Option<String>,
    pub(crate) leave_running: bool,
    pub(crate) tcp_skip_in_flight: bool,
    pub(crate) link_remap: bool,
    /// Memory only, and the container goes on.
    pub(crate) pre_dump: bool,
    /// Address and port of the page server.
    pub(crate) page_server: Option<(String, u16)>,
    /// Gets a zero byte when lazy pages can be fetched.
    pub(crate) status_fd: Option<i32>,
}

/// How a container is brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct RestoreOptions {
    pub(crate) common: Options,
    pub(crate) lsm_profile: Option<String>,
    pub(crate) lsm_mount_context: Option<String>,
}

/// How cgroups are saved and brought back (`criu_cg_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CgroupMode {
    /// Not at all.
    Ignore = 0,
    /// What criu had to make gets its properties.
    Soft = 3,
    /// Everything gets its properties.
    Full = 4,
    /// Nothing may be there already.
    Strict = 5,
    /// criu's choice.
    #[default]
    Default = 6,
}
