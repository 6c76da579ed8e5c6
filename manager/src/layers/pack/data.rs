//! A file's bytes into the tar. Holes are not read; in the tar they are zeros, so that the same content has the same bytes
//! on every file system.

use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::error::{PackFault, reading, writing};
use super::tar;

const BUFFER_BYTES: usize = 256 << 10;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes exactly `size_bytes`, whatever becomes of the file meanwhile.
pub(super) fn copy(
    file: &OwnedFd,
    out: &mut impl Write,
    size_bytes: u64,
    path: &[u8],
) -> Result<(), PackFault> {
    let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(size_bytes).unwrap_or(usize::MAX))];
    let mut at = 0;
    while at < size_bytes {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(size_bytes),
            // Nothing but a hole, or the file is shorter by now.
            Err(Errno::NXIO) => size_bytes,
            Err(errno) => return Err(reading("read", path)(errno)),
        };
        zeros(out, start - at)?;
        at = start;
        if at == size_bytes {
            break;
        }
        let end = match rustix::fs::seek(file, SeekFrom::Hole(at)) {
            Ok(end) => end.min(size_bytes),
            Err(Errno::NXIO) => continue,
            Err(errno) => return Err(reading("read", path)(errno)),
        };
        while at < end {
            let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::pread(file, &mut buffer[..step], at) {
                Ok(0) => break,
                Ok(count) => {
                    out.write_all(&buffer[..count]).map_err(writing)?;
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(reading("read", path)(errno)),
            }
        }
    }
    tar::pad(out, size_bytes).map_err(writing)
}

fn zeros(out: &mut impl Write, mut count: u64) -> Result<(), PackFault> {
    while count > 0 {
        let step = usize::try_from(count).unwrap_or(usize::MAX).min(ZEROS.len());
        out.write_all(&ZEROS[..step]).map_err(writing)?;
        count -= step as u64;
    }
    Ok(())
}
