//! Limits of block devices: from the paths that people know to the numbers that the kernel knows.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice,
    LinuxWeightDeviceBuilder,
};

use super::error::SpecError;
use crate::tasks::plan::{BlockIo, DeviceLimit, DeviceWeight};

/// The kernel's range.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// The cgroup's limits; none when none was asked for.
pub(super) fn block_io(wanted: &BlockIo) -> Result<Option<LinuxBlockIo>, SpecError> {
    if *wanted == BlockIo::default() {
        return Ok(None);
    }
    let mut limits = LinuxBlockIo::default();
    if wanted.weight != 0 {
        limits.set_weight(Some(checked(wanted.weight)?));
    }
    let weights: Vec<LinuxWeightDevice> =
        wanted.weight_devices.iter().map(weight_device).collect::<Result<_, _>>()?;
    limits.set_weight_device((!weights.is_empty()).then_some(weights));
    limits.set_throttle_read_bps_device(throttles(&wanted.read_bps)?);
    limits.set_throttle_write_bps_device(throttles(&wanted.write_bps)?);
    limits.set_throttle_read_iops_device(throttles(&wanted.read_iops)?);
    limits.set_throttle_write_iops_device(throttles(&wanted.write_iops)?);
    Ok(Some(limits))
}

fn checked(weight: u16) -> Result<u16, SpecError> {
    match WEIGHTS.contains(&weight) {
        true => Ok(weight),
        false => Err(SpecError::limit("blkio-weight", "Range of blkio weight is from 10 to 1000")),
    }
}

fn weight_device(wanted: &DeviceWeight) -> Result<LinuxWeightDevice, SpecError> {
    let (major, minor) = numbers(&wanted.path)?;
    let device =
        LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(checked(wanted.weight)?);
    Ok(device.build().expect("all that it needs is set"))
}

fn throttles(wanted: &[DeviceLimit]) -> Result<Option<Vec<LinuxThrottleDevice>>, SpecError> {
    let throttle = |limit: &DeviceLimit| {
        let (major, minor) = numbers(&limit.path)?;
        let device = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(limit.rate);
        Ok(device.build().expect("all that it needs is set"))
    };
    let throttles: Vec<_> = wanted.iter().map(throttle).collect::<Result<_, SpecError>>()?;
    Ok((!throttles.is_empty()).then_some(throttles))
}

/// The block device's major and minor number.
fn numbers(path: &str) -> Result<(i64, i64), SpecError> {
    let metadata =
        Path::new(path).metadata().map_err(|source| SpecError::Device { path: path.into(), source })?;
    if !metadata.file_type().is_block_device() {
        return Err(SpecError::DeviceForm { text: path.to_owned(), problem: "it is no block device" });
    }
    let device = metadata.rdev();
    Ok((i64::from(rustix::fs::major(device)), i64::from(rustix::fs::minor(device))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_block_device_or_no_weight_is_refused_by_name() {
        let limit = |path: &str| {
            let limit = DeviceLimit { path: path.into(), rate: 1 };
            block_io(&BlockIo { read_bps: vec![limit], ..BlockIo::default() })
        };
        for path in ["/dev/null", "/etc", "/nowhere"] {
            let error = limit(path).expect_err(path).to_string();
            assert!(error.contains(path), "{error}");
        }
        for weight in [1, 9, 1001] {
            assert!(block_io(&BlockIo { weight, ..BlockIo::default() }).is_err(), "{weight}");
        }
        assert_eq!(block_io(&BlockIo::default()).expect("nothing"), None);
    }
}
