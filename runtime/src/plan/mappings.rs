//! uid_map and gid_map: refused when the kernel would refuse them or when ranges overlap.

use super::error::PlanError;
use crate::spec::linux::IdMapping;

/// user_namespaces(7): lines of a map since Linux 4.15.
const MAPPINGS_MAX: usize = 340;

/// Refuses a map that the kernel would not take.
pub(super) fn check(field: &'static str, mappings: &[IdMapping]) -> Result<(), PlanError> {
    let invalid = |reason: &'static str| PlanError::Mapping { field, reason };
    if mappings.len() > MAPPINGS_MAX {
        return Err(invalid("the kernel takes at most 340 ranges"));
    }
    if mappings.iter().any(|mapping| mapping.size == 0) {
        return Err(invalid("a range has the size 0"));
    }
    let ends_well = |first: u32, size: u32| u64::from(first) + u64::from(size) <= u64::from(u32::MAX);
    if !mappings
        .iter()
        .all(|range| ends_well(range.container_id, range.size) && ends_well(range.host_id, range.size))
    {
        return Err(invalid("a range goes beyond the largest id, 4294967294"));
    }
    let overlap = |first: fn(&IdMapping) -> u32| {
        let mut ranges: Vec<(u32, u32)> = mappings.iter().map(|range| (first(range), range.size)).collect();
        ranges.sort_unstable();
        ranges.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0)
    };
    if overlap(|range| range.container_id) || overlap(|range| range.host_id) {
        return Err(invalid("two ranges overlap"));
    }
    Ok(())
}

/// A map as /proc/PID/uid_map and gid_map have it.
#[must_use]
pub(crate) fn text(mappings: &[IdMapping]) -> String {
    mappings
        .iter()
        .map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size))
        .collect()
}

/// The host's id of a container's, if it has one.
#[must_use]
pub(crate) fn host_id(mappings: &[IdMapping], id: u32) -> Option<u32> {
    mappings
        .iter()
        .find(|range| id >= range.container_id && id - range.container_id < range.size)
        .map(|range| range.host_id + (id - range.container_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn ranges_that_touch_are_taken_and_those_that_overlap_refused() {
        let touching = [range(0, 1000, 10), range(10, 1010, 10)];
        assert!(check("linux.uidMappings", &touching).is_ok());
        assert_eq!(text(&touching), "0 1000 10\n10 1010 10\n");
        assert!(check("linux.uidMappings", &[range(0, 1000, 11), range(10, 2000, 1)]).is_err());
        assert!(check("linux.uidMappings", &[range(0, 1000, 10), range(50, 1009, 1)]).is_err());
    }

    #[test]
    fn wrapping_and_empty_ranges_are_refused() {
        assert!(check("linux.uidMappings", &[range(0, u32::MAX, 1)]).is_err());
        assert!(check("linux.uidMappings", &[range(1, 0, u32::MAX)]).is_err());
        assert!(check("linux.uidMappings", &[range(0, 0, u32::MAX)]).is_ok());
        assert!(check("linux.uidMappings", &[range(0, 0, 0)]).is_err());
    }

    #[test]
    fn an_id_is_looked_up_in_its_range() {
        let map = [range(0, 1000, 10), range(20, 5000, 2)];
        assert_eq!([9, 10, 20, 22].map(|id| host_id(&map, id)), [Some(1009), None, Some(5000), None]);
    }
}
