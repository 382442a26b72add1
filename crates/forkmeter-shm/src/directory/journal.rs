//! Replaces several files by one, as one step for readers and for whoever takes the directory lock next: the
//! journal of `docs/format.md` section 6.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::fault;
use crate::layout::{self, FOLD_FILE, HEADER_SIZE, Header, Mark};
use crate::map::Mapping;
use crate::side::fold::Fold;
use crate::sys;
use crate::workers::DirectoryLock;

const TEMPORARY: &str = "forkmeter.fold.new";
const JOURNAL_TEMPORARY: &str = "forkmeter.fold.journal";

/// Puts a segment of `bytes` in place of `target`, which may not be there yet, and takes the sources away.
///
/// `settle` is shown the new file, which is in its place, while the sources are still there.
pub(super) fn replace(
    lock: &DirectoryLock<'_>,
    directory: &Path,
    target: String,
    bytes: &[u8],
    sources: Vec<String>,
    settle: &mut dyn FnMut(File) -> io::Result<()>,
) -> io::Result<()> {
    // An older fold that could not be finished would be forgotten with its journal.
    finish(lock, directory)?;
    let temporary = directory.join(TEMPORARY);
    let place = directory.join(&target);
    let written: io::Result<File> = (|| {
        remove_if_there(&temporary)?;
        fault::point();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true);
        let file = file.open(&temporary)?;
        sys::allocate(&file, 0, (bytes.len() as u64).next_multiple_of(4096))?;
        fault::point();
        sys::write_all_at(&file, bytes, 0)?;
        fault::point();
        let target_inode = file.metadata()?.ino();
        let journal = Fold {
            target,
            target_inode,
            sources,
        };
        sys::write_file(&directory.join(JOURNAL_TEMPORARY), &journal.to_bytes())?;
        fault::point();
        fs::rename(directory.join(JOURNAL_TEMPORARY), directory.join(FOLD_FILE))?;
        fault::point();
        fs::rename(&temporary, place)?;
        Ok(file)
    })();
    if written.is_err() {
        // Until the target is replaced nothing has happened; a full disk wants its blocks back.
        let _ = fs::remove_file(&temporary);
        let _ = fs::remove_file(directory.join(JOURNAL_TEMPORARY));
    }
    let file = written?;
    fault::point();
    settle(file)?;
    finish(lock, directory)
}

/// Finishes a fold that its worker did not live to finish.
pub(super) fn finish(_lock: &DirectoryLock<'_>, directory: &Path) -> io::Result<()> {
    let path = directory.join(FOLD_FILE);
    let journal = match fs::read(&path) {
        Ok(bytes) => Fold::from_bytes(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Ok(journal) = journal {
        let target = fs::symlink_metadata(directory.join(&journal.target));
        if target.is_ok_and(|meta| meta.ino() == journal.target_inode) {
            for source in &journal.sources {
                // Nobody knows a left-over file once it was taken from its place.
                let is_taken = layout::name_before_taken(source).is_some();
                let source = directory.join(source);
                if !is_taken {
                    empty(&source)?;
                    fault::point();
                }
                remove_if_there(&source)?;
                fault::point();
            }
        } else {
            remove_if_there(&directory.join(TEMPORARY))?;
            fault::point();
        }
    }
    remove_if_there(&path)
}

/// Takes the values out of a file that was folded, for whoever still has it open: a worker that cannot tell it from
/// one that was deleted would count them again.
fn empty(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let bytes = read(&file)?;
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Ok(());
    };
    if Header::from_bytes(*header).mark == Mark::Sealed {
        let mapping = Mapping::new();
        mapping.cover(&file, bytes.len() as u64)?;
        for entry in layout::Entries::of_segment(&bytes).map_while(Result::ok) {
            if let Some(cell) = mapping.cell(entry.value_offset) {
                // ORDERING: a lone value; nobody counts there any more.
                cell.store(0, Ordering::Relaxed);
            }
        }
    }
    let used = i32::try_from(HEADER_SIZE).unwrap_or_default();
    sys::write_all_at(&file, &used.to_le_bytes(), 0)
}

/// Reads a whole segment, but no more than one can be long.
pub(super) fn read(file: &File) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len().min(crate::map::MAX_FILE_BYTES);
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
