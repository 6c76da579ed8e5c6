//! Bytes as the maps of a user namespace: planned only when the kernel would take them, refused only when it would not,
//! and ids are looked up as the kernel does it.

use std::path::Path;

use crate::plan::error::PlanError;
use crate::plan::{Plan, mappings};
use crate::spec::Spec;
use crate::spec::linux::IdMapping;

const SPEC: &[u8] =
    br#"{"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "process": {"cwd": "/", "args": ["sh"]},
    "linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}}"#;
/// Numbers are near one of these.
const NUMBERS: [u32; 8] = [0, 1, 1000, 65_536, 100_000, 1 << 31, u32::MAX - 2, 300_000];
/// Of the kernel.
const RANGES_MAX: usize = 340;

fn number(byte: u8, offset: u8) -> u32 {
    NUMBERS[usize::from(byte % 8)].wrapping_add(u32::from(offset)).wrapping_sub(u32::from(byte / 8))
}

fn maps(bytes: &[u8]) -> Vec<IdMapping> {
    let ranges = bytes.chunks_exact(6);
    ranges
        .map(|range| IdMapping {
            container_id: number(range[0], range[1]),
            host_id: number(range[2], range[3]),
            size: number(range[4], range[5]),
        })
        .collect()
}

/// user_namespaces(7), range by range and pair by pair.
fn is_valid(map: &[IdMapping]) -> bool {
    let ends = |first: u32, size: u32| u64::from(first) + u64::from(size);
    let apart = |a: u32, a_size: u32, b: u32, b_size: u32| {
        ends(a, a_size) <= u64::from(b) || ends(b, b_size) <= u64::from(a)
    };
    let pairs = map.iter().enumerate().flat_map(|(index, a)| map[index + 1..].iter().map(move |b| (a, b)));
    let ranges_end = map.iter().all(|range| {
        let last = u64::from(u32::MAX);
        range.size > 0
            && ends(range.container_id, range.size) <= last
            && ends(range.host_id, range.size) <= last
    });
    let overlaps_none = |(a, b): (&IdMapping, &IdMapping)| {
        apart(a.container_id, a.size, b.container_id, b.size) && apart(a.host_id, a.size, b.host_id, b.size)
    };
    map.len() <= RANGES_MAX && ranges_end && pairs.into_iter().all(overlaps_none)
}

/// One input.
pub fn ids(input: &[u8]) {
    let (users, groups) = input.split_at(input.len() / 2);
    let (users, groups) = (maps(users), maps(groups));
    let mut spec = Spec::parse(SPEC, Path::new("config.json")).expect("our own");
    spec.linux.uid_mappings.clone_from(&users);
    spec.linux.gid_mappings.clone_from(&groups);
    match Plan::new(&spec, Path::new("/bundle")) {
        Ok(plan) => {
            let ids = plan.ids.expect("a user namespace has maps");
            assert!(is_valid(&ids.users) && is_valid(&ids.groups), "the kernel would refuse {ids:?}");
            for range in &users {
                for id in [range.container_id, range.container_id + (range.size - 1)] {
                    let on_host = mappings::host_id(&users, id).expect("it is in the map");
                    assert_eq!(on_host - range.host_id, id - range.container_id, "{id} in {users:?}");
                }
            }
        }
        Err(PlanError::Mapping { field, .. }) => {
            let empty = users.is_empty() || groups.is_empty();
            assert!(empty || !is_valid(&users) || !is_valid(&groups), "{field} of {users:?} {groups:?}");
        }
        // What the process asks for is not in the maps.
        Err(_) => {}
    }
}
