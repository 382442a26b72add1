//! Makes a deletion a reset, for test runners: what such a test means by deleting files is to start from zero.
//!
//! Elsewhere a deletion loses nothing: whoever notices it makes the files again with what they held. So a runner
//! that hears of a deletion before it happens empties the file first, and then every process that has it open, in
//! whatever mode, finds nothing to save but what was counted since.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::layout::{self, Entries, HEADER_SIZE, Header, Mark};
use crate::{process, sys};

/// Marks all series of a file as removed, with nothing counted, because it is about to be deleted.
///
/// Returns whether it is a file of ours. Others, files of the official client among them, are not touched: nobody
/// makes those again. What is counted meanwhile by another process is kept, or goes.
///
/// # Errors
///
/// When the file is not there or cannot be written.
pub fn empty_before_deletion(path: &Path) -> io::Result<bool> {
    let name = path
        .file_name()
        .map_or_else(Default::default, |name| name.to_string_lossy());
    // Opening and closing the file of the workers would let go of this process's record in it.
    if !name.ends_with(layout::SEGMENT_SUFFIX) && name != layout::STATES_FILE {
        return Ok(false);
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let meta = file.metadata()?;
    let mut header = [0; HEADER_SIZE];
    if !meta.is_file() || file.read_exact_at(&mut header, 0).is_err() {
        return Ok(false);
    }
    let header = Header::from_bytes(header);
    let nothing = match header.mark {
        Mark::Shared | Mark::Sealed | Mark::States => 0,
        // What segments of shared slots came to; a worker that has it open makes it again.
        Mark::Retired if !name.starts_with("gauge_") => 0,
        Mark::Worker(_) => layout::REMOVED_GAUGE_BITS,
        Mark::Retired | Mark::Official | Mark::Foreign(_) => return Ok(false),
    };
    let used = u64::try_from(header.used).unwrap_or(0).min(meta.len());
    let mut bytes = vec![0; usize::try_from(used).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    let now = process::unix_seconds();
    for entry in Entries::of_segment(&bytes).map_while(Result::ok) {
        let created = match entry.timestamp.abs() {
            0.0 => now,
            created => created,
        };
        let timestamp = if nothing == 0 { -created } else { 0.0 };
        let mut slot = [0; 16];
        slot[..8].copy_from_slice(&nothing.to_le_bytes());
        slot[8..].copy_from_slice(&timestamp.to_le_bytes());
        sys::write_all_at(&file, &slot, entry.value_offset)?;
    }
    Ok(true)
}
