//! An image as an archive: its configuration, and the files that its layers show together.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use knarr_tests::image::digest;
use serde_json::Value;

/// A file as it ends up: type, mode, owner, and content or link.
pub(crate) type Tree = BTreeMap<String, String>;

/// The configuration and the files of a saved image.
#[track_caller]
pub(crate) fn flatten(archive: &Path) -> (Value, Tree) {
    let members = members(archive);
    let json = |name: &str| -> Value { serde_json::from_slice(&members[name]).expect("JSON") };
    let manifest = json("manifest.json")[0].clone();
    let config = json(manifest["Config"].as_str().expect("a name"));
    let mut tree = Tree::new();
    for layer in manifest["Layers"].as_array().expect("layers") {
        add(&mut tree, &members[layer.as_str().expect("a name")]);
    }
    (config, tree)
}

fn members(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut tar = tar::Archive::new(std::fs::File::open(archive).expect("the archive"));
    let mut members = BTreeMap::new();
    let mut links = Vec::new();
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").to_string_lossy().into_owned();
        if let Some(link) = entry.link_name().expect("a link") {
            // dockerd links layers that are the same: `../<id>/layer.tar`.
            links.push((name, link.to_string_lossy().trim_start_matches("../").to_owned()));
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its data");
        members.insert(name, content);
    }
    for (name, target) in links {
        let content = members.get(&target).cloned().unwrap_or_default();
        members.insert(name, content);
    }
    members
}

fn add(tree: &mut Tree, layer: &[u8]) {
    let plain = match layer {
        [0x1f, 0x8b, ..] => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(layer).read_to_end(&mut plain).expect("gzip");
            plain
        }
        plain => plain.to_vec(),
    };
    let mut tar = tar::Archive::new(plain.as_slice());
    let below = tree.clone();
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        if path.is_empty() || path == "." {
            continue;
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            let inside = format!("{above}/");
            tree.retain(|path, text| !(path.starts_with(&inside) && below.get(path) == Some(text)));
            continue;
        }
        if let Some(gone) = name.strip_prefix(".wh.") {
            let gone = if above.is_empty() { gone.to_owned() } else { format!("{above}/{gone}") };
            let inside = format!("{gone}/");
            tree.retain(|path, _| *path != gone && !path.starts_with(&inside));
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its data");
        let header = entry.header();
        let (mode, uid, gid) = (header.mode(), header.uid(), header.gid());
        let kind = header.entry_type();
        let said = if kind.is_hard_link() {
            let target = entry.link_name().expect("a link").expect("its target");
            tree.get(target.to_string_lossy().trim_start_matches("./")).cloned().unwrap_or_default()
        } else {
            let what = match entry.link_name().expect("a link") {
                Some(target) => target.to_string_lossy().into_owned(),
                None if kind.is_dir() => String::new(),
                None => digest(&content),
            };
            let mode = if kind.is_symlink() { 0o777 } else { mode.expect("a mode") & 0o7777 };
            format!("{:?} {mode:o} {}:{} {what}", kind, uid.expect("a uid"), gid.expect("a gid"))
        };
        tree.insert(path, said);
    }
}
