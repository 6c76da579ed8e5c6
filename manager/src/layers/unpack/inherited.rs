//! What is made gets what the layer says, whatever the directory that it is made in, or the umask, would give it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use rustix::fs::XattrFlags;
use tar::EntryType;

use super::tests::{Bed, Tar, is_root};

const DEFAULT_ACL: &str = "system.posix_acl_default";

/// A default ACL that would give user 7 everything, and others nothing.
fn acl() -> Vec<u8> {
    let entry = |tag: u16, rights: u16, id: u32| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries = [(1, 6, none), (2, 7, 7), (4, 4, none), (16, 5, none), (32, 0, none)];
    let entries = entries.into_iter().flat_map(|(tag, rights, id)| entry(tag, rights, id));
    2_u32.to_le_bytes().into_iter().chain(entries).collect()
}

fn has_acl(path: &std::path::Path, name: &str) -> bool {
    let mut value = [0; 256];
    rustix::fs::lgetxattr(path, name, &mut value[..]).is_ok_and(|size| size > 0)
}

/// Of each kind one, in `d`, and a directory that no entry describes.
fn entries(tar: Tar) -> Tar {
    let tar = [0o666, 0o777, 0o644, 0o755, 0o664, 0o2755, 0o4755].into_iter().fold(tar, |tar, mode| {
        tar.entry(EntryType::Regular, &format!("d/f{mode:o}"), mode, ("", b"x"))
            .directory(&format!("d/d{mode:o}"), mode)
            .entry(EntryType::Fifo, &format!("d/p{mode:o}"), mode, ("", b""))
    });
    tar.symlink("d/l", "f644").file("d/implied/f644", "")
}

#[track_caller]
fn assert_as_the_layer_says(bed: &Bed) {
    for entry in fs::read_dir(bed.root().join("d")).expect("listed") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name().into_string().expect("ours"));
        let metadata = fs::symlink_metadata(&path).expect("there");
        let mode = match name.as_str() {
            "implied" => 0o755,
            "l" => 0o777,
            name => u32::from_str_radix(&name[1..], 8).expect("a mode"),
        };
        assert_eq!(metadata.mode() & 0o7777, mode, "{name}");
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{name}");
        assert!(!has_acl(&path, "system.posix_acl_access") && !has_acl(&path, DEFAULT_ACL), "{name}");
    }
    let implied = bed.root().join("d/implied/f644");
    assert_eq!(fs::metadata(implied).expect("there").mode() & 0o7777, 0o644);
}

#[test]
fn below_a_default_acl_modes_are_the_layer_s() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        // As the layer itself has it.
        let records: &[(&str, &[u8])] = &[("SCHILY.xattr.system.posix_acl_default", &acl())];
        bed.place(entries(Tar::new().pax(records).directory("d", 0o755))).expect("placed");
        assert_as_the_layer_says(&bed);
        assert!(has_acl(&bed.root().join("d"), DEFAULT_ACL), "what the layer gives is kept");
    }
    for bed in Bed::both() {
        // As the layer below has it, or the host.
        let d = bed.below().join("d");
        fs::create_dir(&d).expect("below");
        for directory in [d, bed.root()] {
            rustix::fs::setxattr(&directory, DEFAULT_ACL, &acl(), XattrFlags::empty()).expect("an ACL");
        }
        bed.place(entries(Tar::new())).expect("placed");
        assert_as_the_layer_says(&bed);
        assert!(has_acl(&bed.root().join("d"), DEFAULT_ACL), "what was below is kept");
    }
}

#[test]
fn below_a_setgid_directory_groups_and_bits_are_the_layer_s() {
    if !is_root() {
        return;
    }
    for bed in Bed::both() {
        bed.place(entries(Tar::new().directory("d", 0o2755))).expect("placed");
        assert_as_the_layer_says(&bed);
        assert_eq!(fs::metadata(bed.root().join("d")).expect("there").mode() & 0o7777, 0o2755);
    }
    for bed in Bed::both() {
        let d = bed.below().join("d");
        fs::create_dir(&d).expect("below");
        for directory in [d, bed.root()] {
            chown(&directory, None, Some(77)).expect("a group");
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o2770)).expect("a mode");
        }
        bed.place(entries(Tar::new())).expect("placed");
        assert_as_the_layer_says(&bed);
        let d = fs::metadata(bed.root().join("d")).expect("there");
        assert_eq!((d.mode() & 0o7777, d.gid()), (0o2770, 77), "what was below is kept");
    }
}

#[test]
fn aufs_s_own_names_are_not_placed_but_lead_hard_links() {
    for bed in Bed::both() {
        let tar = Tar::new()
            .directory(".wh..wh.plnk", 0o700)
            .file(".wh..wh.plnk/1.2", "shared")
            .hard_link("one", ".wh..wh.plnk/1.2")
            .directory("d", 0o755)
            .hard_link("d/two", ".wh..wh.plnk/1.2")
            .file(".wh..wh.aufs", "")
            .file(".wh..wh.orph/x", "")
            .file("d/.wh..wh.plnk/y", "");
        bed.place(tar).expect("placed");
        let names = |path: &str| {
            let entries = fs::read_dir(bed.root().join(path)).expect("listed");
            let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!((names(""), names("d")), (vec!["d".into(), "one".into()], vec!["two".into()]));
        let [one, two] = ["one", "d/two"].map(|path| fs::metadata(bed.root().join(path)).expect("there"));
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    }
}
