//! A file's bytes, written in the pieces in which they come.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::archive::Archive;
use super::error::{LayerError, placing};
use super::extensions::Segment;

/// Writes the current entry's data into the empty `file`; between segments, it has holes.
pub(super) fn data(
    file: &File,
    archive: &mut Archive,
    size_bytes: u64,
    segments: Option<&[Segment]>,
    path: &[u8],
) -> Result<(), LayerError> {
    let failed =
        |error: std::io::Error| placing("write", path)(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let Some(segments) = segments else {
        let mut file = file;
        return archive.data(|piece| file.write_all(piece).map_err(failed));
    };
    let mut segments = segments.iter().copied().filter(|segment| segment.length_bytes > 0);
    let mut current = Segment { offset_bytes: 0, length_bytes: 0 };
    archive.data(|mut piece| {
        while !piece.is_empty() {
            if current.length_bytes == 0 {
                current = segments.next().expect("segments are as long as the data, together");
            }
            let length = usize::try_from(current.length_bytes).unwrap_or(usize::MAX).min(piece.len());
            file.write_all_at(&piece[..length], current.offset_bytes).map_err(failed)?;
            current.offset_bytes += length as u64;
            current.length_bytes -= length as u64;
            piece = &piece[length..];
        }
        Ok(())
    })?;
    rustix::fs::ftruncate(file, size_bytes).map_err(placing("set the size of", path))
}
