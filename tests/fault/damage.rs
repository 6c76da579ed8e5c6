//! Damage to what knarrd keeps on disk, one piece at a time: bits flipped, pages of zeros, files cut, swapped and gone.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::records::Bank;

const PAGE_BYTES: usize = 4096;

/// One damage.
pub(crate) struct Damage {
    name: String,
    /// Which state of the root it is done to.
    pub(crate) bank: Bank,
    apply: Box<dyn Fn(&Path)>,
}

impl Damage {
    fn new(name: impl Into<String>, bank: Bank, apply: impl Fn(&Path) + 'static) -> Self {
        Self { name: name.into(), bank, apply: Box::new(apply) }
    }

    /// Does it to this root.
    pub(crate) fn apply(&self, root: &Path) {
        (self.apply)(root);
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Every damage to a root that looks like this one.
pub(crate) fn all(checkpointed: &Path, with_wal: &Path) -> Vec<Damage> {
    let mut all = of_database(checkpointed);
    all.extend(of_log(with_wal));
    all.extend(of_content(checkpointed));
    all.extend(of_bundles(checkpointed));
    all
}

fn of_database(root: &Path) -> Vec<Damage> {
    let length = length(&root.join("knarr.db"));
    let mut all = Vec::new();
    for number in 0..64 {
        let at = length / 64 * number + (number * 37) % 61;
        let name = format!("knarr.db: bit {} of byte {at} flipped", number % 8);
        all.push(Damage::new(name, Bank::Checkpointed, move |root| {
            flip(&root.join("knarr.db"), at, number % 8);
        }));
    }
    for page in 0..length / PAGE_BYTES {
        let name = format!("knarr.db: page {page} zeroed");
        let start = page * PAGE_BYTES;
        all.push(Damage::new(name, Bank::Checkpointed, move |root| {
            overwrite(&root.join("knarr.db"), start, &[0; PAGE_BYTES]);
        }));
        let name = format!("knarr.db: cut before page {page}");
        all.push(Damage::new(name, Bank::Checkpointed, move |root| cut(&root.join("knarr.db"), start)));
    }
    for length in [1, 99, 1000, 5000] {
        let name = format!("knarr.db: cut to {length} bytes");
        all.push(Damage::new(name, Bank::Checkpointed, move |root| cut(&root.join("knarr.db"), length)));
    }
    for names in [
        &["knarr.db"][..],
        &["knarr.db", "knarr.lineage"],
        &["knarr.db", "knarr.db.copy"],
        &["knarr.db", "knarr.db.copy", "knarr.lineage"],
        &["knarr.lineage"],
        &["knarr.db.copy"],
    ] {
        let name = format!("{} missing", names.join(", "));
        all.push(Damage::new(name, Bank::Checkpointed, move |root| {
            for name in names {
                fs::remove_file(root.join(name)).expect("it was there");
            }
        }));
    }
    for name in ["knarr.db", "knarr.db.copy", "knarr.lineage"] {
        let title = format!("{name}: another text");
        all.push(Damage::new(title, Bank::Checkpointed, move |root| {
            fs::write(root.join(name), "nothing of ours\n".repeat(700)).expect("writable");
        }));
    }
    let title = "knarr.db: swapped for that of an empty root";
    all.push(Damage::new(title, Bank::Checkpointed, |root| {
        fs::copy(root.join("../empty.db"), root.join("knarr.db")).expect("copied");
    }));
    let title = "knarr.db and its copy: swapped for those of an empty root";
    all.push(Damage::new(title, Bank::Checkpointed, |root| {
        for name in ["knarr.db", "knarr.db.copy"] {
            fs::copy(root.join("../empty.db"), root.join(name)).expect("copied");
        }
    }));
    all
}

fn of_log(root: &Path) -> Vec<Damage> {
    let length = length(&root.join("knarr.db-wal"));
    let mut all = Vec::new();
    for number in 0..12 {
        let at = length / 12 * number + 17;
        let name = format!("knarr.db-wal: byte {at} flipped");
        all.push(Damage::new(name, Bank::WithWal, move |root| {
            flip(&root.join("knarr.db-wal"), at, number % 8);
        }));
        let name = format!("knarr.db-wal: cut to {at} bytes");
        all.push(Damage::new(name, Bank::WithWal, move |root| cut(&root.join("knarr.db-wal"), at)));
    }
    for names in [&["knarr.db-wal"][..], &["knarr.db-shm"], &["knarr.db-wal", "knarr.db-shm"], &["knarr.db"]]
    {
        let name = format!("{} missing", names.join(", "));
        all.push(Damage::new(name, Bank::WithWal, move |root| {
            for name in names {
                fs::remove_file(root.join(name)).expect("it was there");
            }
        }));
    }
    all.push(Damage::new("knarr.db: an old copy beside a new WAL", Bank::WithWal, |root| {
        fs::copy(root.join("../empty.db"), root.join("knarr.db")).expect("copied");
    }));
    all
}

fn of_content(root: &Path) -> Vec<Damage> {
    let blobs = fs::read_dir(root.join("content/blobs/sha256")).expect("blobs").flatten();
    let mut names: Vec<PathBuf> =
        blobs.map(|entry| Path::new("content/blobs/sha256").join(entry.file_name())).collect();
    names.sort();
    names.iter().flat_map(|name| of_file(name)).collect()
}

fn of_bundles(root: &Path) -> Vec<Damage> {
    let bundles = fs::read_dir(root.join("containers")).expect("bundles").flatten();
    let mut all = Vec::new();
    for bundle in bundles {
        let inner = Path::new("containers").join(bundle.file_name());
        for name in ["container.json", "config.json", "exit.json", "processes.json", "init.pid"] {
            if root.join(&inner).join(name).exists() {
                all.extend(of_file(&inner.join(name)));
            }
        }
    }
    all
}

/// A file flipped in its middle, cut, empty and missing.
fn of_file(name: &Path) -> Vec<Damage> {
    let title = name.file_name().expect("a file").to_string_lossy().chars().take(16).collect::<String>();
    let damage = |what: &str, apply: fn(&Path)| {
        let name = name.to_owned();
        Damage::new(format!("{title}: {what}"), Bank::Checkpointed, move |root| apply(&root.join(&name)))
    };
    vec![
        damage("a bit flipped", |path| flip(path, length(path) / 2, 3)),
        damage("cut", |path| cut(path, length(path) / 2)),
        damage("empty", |path| cut(path, 0)),
        damage("missing", |path| fs::remove_file(path).expect("it was there")),
    ]
}

fn length(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).expect("a file of knarrd's").len()).expect("a small file")
}

fn flip(path: &Path, at: usize, bit: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("writable");
}

fn overwrite(path: &Path, at: usize, with: &[u8]) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(path, bytes).expect("writable");
}

fn cut(path: &Path, length: usize) {
    let file = fs::File::options().write(true).open(path).expect("writable");
    file.set_len(length as u64).expect("cut");
}
