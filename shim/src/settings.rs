//! What the environment decides, read once: sockets, the runtime and where it keeps its state. Everything else is handed
//! down from here; no other module reads the environment.

use std::env;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::args::Args;

/// Where knarrd wants the shim's socket; without it the caller is containerd.
const SOCKET_VARIABLE: &str = "KNARR_SHIM_SOCKET";
/// The OCI runtime to call.
const RUNTIME_VARIABLE: &str = "KNARR_RUNTIME";
/// The OCI runtime's `--root`.
const RUNTIME_ROOT_VARIABLE: &str = "KNARR_RUNTIME_ROOT";
/// containerd's event socket.
const EVENTS_VARIABLE: &str = "TTRPC_ADDRESS";
/// containerd's sockets live here whatever its --state is, for a socket's path must be short.
const CONTAINERD_SOCKETS: &str = "/run/containerd/s";
/// containerd's state directory, unless the bundle is in another.
const CONTAINERD_STATE: &str = "/run/containerd";
/// What containerd's bundles are in: `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`.
const CONTAINERD_BUNDLES: &str = "io.containerd.runtime.v2.task";
/// The runtime that belongs to this shim.
const RUNTIME_NAME: &str = "knarr-runtime";

/// Where things are for one container's shim.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// containerd's namespace.
    pub(crate) namespace: String,
    /// The container's id.
    pub(crate) id: String,
    /// The bundle directory, absolute.
    pub(crate) bundle: PathBuf,
    /// The socket to serve.
    pub(crate) socket: PathBuf,
    /// The OCI runtime, unless the request names another.
    pub(crate) runtime: PathBuf,
    /// The OCI runtime's `--root`, unless the request names another.
    pub(crate) runtime_root: PathBuf,
    /// knarrd is the manager, and leaves restarts and health to its shims.
    pub(crate) is_for_knarrd: bool,
    /// Where events are published, if anywhere.
    pub(crate) events: Option<String>,
    /// Log more.
    pub(crate) debug: bool,
}

impl Settings {
    /// Resolves flags over environment over defaults.
    ///
    /// # Errors
    /// When the working directory is needed and gone.
    pub(crate) fn resolve(args: &Args) -> std::io::Result<Self> {
        let bundle = match &args.bundle {
            Some(bundle) => std::path::absolute(bundle)?,
            None => env::current_dir()?,
        };
        let for_knarrd = env::var_os(SOCKET_VARIABLE).map(PathBuf::from);
        let runtime_root = env::var_os(RUNTIME_ROOT_VARIABLE).map_or_else(
            || match for_knarrd.as_deref().and_then(state_directory) {
                Some(state) => state.join("runtime"),
                None => containerd_state(&bundle).join("knarr").join(&args.namespace),
            },
            PathBuf::from,
        );
        Ok(Self {
            namespace: args.namespace.clone(),
            id: args.id.clone(),
            bundle,
            is_for_knarrd: for_knarrd.is_some(),
            socket: for_knarrd.unwrap_or_else(|| containerd_socket(args)),
            runtime: env::var_os(RUNTIME_VARIABLE).map_or_else(runtime_beside_us, PathBuf::from),
            runtime_root,
            events: env::var(EVENTS_VARIABLE).ok().filter(|address| !address.is_empty()),
            debug: args.debug,
        })
    }

    /// The socket as an address in containerd's notation.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The directory of the shim's socket: private to root and short, so that other sockets fit there too.
    pub(crate) fn socket_directory(&self) -> &Path {
        self.socket.parent().unwrap_or(Path::new("/"))
    }

    /// A file beside the sockets that is needed only while a process is made: in memory, so that a full disk does not
    /// matter, and short, for a socket's path may have 107 bytes.
    pub(crate) fn volatile_file(&self, exec_id: &str, extension: &str) -> PathBuf {
        let exec = hex(&Sha256::digest(exec_id)[..8]);
        self.socket_directory().join(format!("{}{exec}.{extension}", volatile_prefix(&self.bundle)))
    }

    /// Removes the short-lived files that a shim of this bundle left when it died.
    ///
    /// # Errors
    /// The first; the others are removed all the same.
    pub(crate) fn remove_volatile_files(&self) -> std::io::Result<()> {
        let prefix = volatile_prefix(&self.bundle);
        let entries = match std::fs::read_dir(self.socket_directory()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let mut removed = Ok(());
        for entry in ours {
            removed = removed.and(std::fs::remove_file(entry.path()));
        }
        removed
    }
}

/// The beginning of the names of one bundle's short-lived files beside the sockets.
fn volatile_prefix(bundle: &Path) -> String {
    hex(&Sha256::digest(bundle.as_os_str().as_encoded_bytes())[..8]) + "-"
}

/// knarrd's state directory, from `<state>/shims/<short>.sock`.
fn state_directory(socket: &Path) -> Option<&Path> {
    socket.parent()?.parent()
}

/// The state directory of the containerd whose bundle this is: two of them may have a container of the same name.
fn containerd_state(bundle: &Path) -> &Path {
    let bundles = bundle.ancestors().nth(2).filter(|path| path.ends_with(CONTAINERD_BUNDLES));
    bundles.and_then(Path::parent).unwrap_or(Path::new(CONTAINERD_STATE))
}

/// containerd's rule: the hash of its own address, the namespace and the id.
fn containerd_socket(args: &Args) -> PathBuf {
    let name = Path::new(&args.address).join(&args.namespace).join(&args.id);
    Path::new(CONTAINERD_SOCKETS).join(hex(&Sha256::digest(name.as_os_str().as_encoded_bytes())))
}

/// The runtime in this program's own directory, else wherever PATH has it.
fn runtime_beside_us() -> PathBuf {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(RUNTIME_NAME)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(RUNTIME_NAME))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Action;

    #[test]
    fn the_socket_is_where_containerd_looks_for_it() {
        let args = Args {
            action: Action::Start,
            namespace: "default".to_owned(),
            id: "web".to_owned(),
            address: "/run/containerd/containerd.sock".to_owned(),
            bundle: None,
            debug: false,
        };
        // printf %s /run/containerd/containerd.sock/default/web | sha256sum
        let expected = "2cde4450fa38c74f53603e01d2afd903b315a27a596f12a151414cd59897d883";
        assert_eq!(containerd_socket(&args), Path::new("/run/containerd/s").join(expected));
    }

    #[test]
    fn the_runtimes_state_is_beside_the_bundles_of_the_same_containerd() {
        let state = |bundle| containerd_state(Path::new(bundle)).to_str().expect("text").to_owned();
        assert_eq!(
            state("/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/web"),
            "/run/k3s/containerd"
        );
        assert_eq!(state("/run/containerd/io.containerd.runtime.v2.task/default/web"), "/run/containerd");
        assert_eq!(state("/elsewhere/web"), "/run/containerd");
    }

    #[test]
    fn knarrds_runtime_state_is_beside_its_shims() {
        assert_eq!(state_directory(Path::new("/run/knarr/shims/ab.sock")), Some(Path::new("/run/knarr")));
    }
}
