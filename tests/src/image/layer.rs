//! A layer: a tar whose entries a test lists one by one, whiteouts, hard links, devices and xattrs among them.

use tar::{EntryType, Header};

use crate::rootfs;

/// Every file's time in test layers, so that digests repeat: 2024-01-01.
const MTIME_UNIX_S: u64 = 1_704_067_200;

/// A tar that is being written.
pub struct Layer {
    tar: tar::Builder<Vec<u8>>,
    owner: (u64, u64),
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer {
    /// An empty layer; entries belong to root unless [`Self::owned_by`] is called.
    #[must_use]
    pub fn new() -> Self {
        Self { tar: tar::Builder::new(Vec::new()), owner: (0, 0), xattrs: Vec::new() }
    }

    /// busybox with all its links, and the usual directories.
    #[must_use]
    pub fn busybox() -> Self {
        let mut layer = Self::new();
        for directory in rootfs::DIRECTORIES {
            let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
            layer = layer.directory(directory, mode);
        }
        layer = layer.file("bin/busybox", 0o755, rootfs::busybox());
        for applet in rootfs::applets() {
            layer = layer.symlink(&format!("bin/{applet}"), "busybox");
        }
        layer.file("etc/passwd", 0o644, rootfs::PASSWD.as_bytes()).file(
            "etc/group",
            0o644,
            rootfs::GROUP.as_bytes(),
        )
    }

    /// Who owns the entries that follow.
    #[must_use]
    pub fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// An extended attribute for the next entry (PAX `SCHILY.xattr.`, as every builder writes it).
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((format!("SCHILY.xattr.{name}"), value.to_vec()));
        self
    }

    /// A directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, EntryType::Directory, mode, &[])
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, mode, content)
    }

    /// A symbolic link; `target` is not looked at.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.link(path, EntryType::Symlink, target)
    }

    /// A hard link to an entry of this or a lower layer.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.link(path, EntryType::Link, target)
    }

    /// A character device.
    #[must_use]
    pub fn character_device(mut self, path: &str, mode: u32, (major, minor): (u32, u32)) -> Self {
        let mut header = self.header(EntryType::Char, mode, 0);
        header.set_device_major(major).expect("a ustar header has devices");
        header.set_device_minor(minor).expect("a ustar header has devices");
        self.tar.append_data(&mut header, path, &[][..]).expect("memory for the layer");
        self
    }

    /// Removes `path` of a lower layer.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
        let separator = if parent.is_empty() { "" } else { "/" };
        self.file(&format!("{parent}{separator}.wh.{name}"), 0o644, &[])
    }

    /// Removes all that lower layers have in this directory.
    #[must_use]
    pub fn opaque(self, directory: &str) -> Self {
        self.file(&format!("{directory}/.wh..wh..opq"), 0o644, &[])
    }

    /// The tar's bytes.
    ///
    /// # Panics
    /// Never: it is in memory.
    #[must_use]
    pub fn into_tar(self) -> Vec<u8> {
        self.tar.into_inner().expect("memory for the layer")
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(MTIME_UNIX_S);
        header
    }

    fn entry(mut self, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> Self {
        self.flush_xattrs();
        let mut header = self.header(kind, mode, content.len() as u64);
        self.tar.append_data(&mut header, path, content).expect("memory for the layer");
        self
    }

    fn link(mut self, path: &str, kind: EntryType, target: &str) -> Self {
        self.flush_xattrs();
        let mut header = self.header(kind, 0o777, 0);
        self.tar.append_link(&mut header, path, target).expect("memory for the layer");
        self
    }

    fn flush_xattrs(&mut self) {
        let xattrs = std::mem::take(&mut self.xattrs);
        if xattrs.is_empty() {
            return;
        }
        let pairs = xattrs.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.tar.append_pax_extensions(pairs).expect("memory for the layer");
    }
}
