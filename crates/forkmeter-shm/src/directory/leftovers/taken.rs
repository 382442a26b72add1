//! Files that were taken from their place, so that no process can come to write to them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::judge::{self, Candidate, Unused};
use super::{Kept, Options, Reason};
use crate::fault;
use crate::layout::{self, Entries, HEADER_SIZE, Header, Mark};
use crate::sys;
use crate::workers::DirectoryLock;

/// How many taken files of one name there can be.
const MAX_NUMBER: u32 = 1024;

/// Is a file that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    directory: PathBuf,
    name: String,
    segment: String,
    bytes: Vec<u8>,
    /// Keeps writers out until the file is folded.
    unused: Unused,
}

impl Taken {
    /// Returns its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns its content.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells whether there is anything in it.
    pub(super) fn has_entries(&self) -> bool {
        self.bytes.len() > HEADER_SIZE
    }

    /// Returns its inode and its content without timestamps: the official client gives them no meaning, forkmeter does.
    pub(super) fn without_times(&self) -> (u64, Vec<u8>) {
        let mut bytes = vec![0; HEADER_SIZE];
        for entry in Entries::of_segment(&self.bytes).map_while(Result::ok) {
            layout::append_entry(&mut bytes, entry.key, entry.value, 0.0);
        }
        let used = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        let mark = Mark::Official;
        bytes[..HEADER_SIZE].copy_from_slice(&Header { used, mark }.to_bytes());
        let inode = self.unused.file().metadata().map_or(0, |meta| meta.ino());
        (inode, bytes)
    }

    /// Gives it its name back, unless another file has that by now. It counts either way.
    pub(super) fn put_back(&self, _lock: &DirectoryLock<'_>) {
        let from = self.directory.join(&self.name);
        let _ = sys::rename_to_free(&from, &self.directory.join(&self.segment));
    }
}

/// Takes a file from its place.
///
/// # Errors
///
/// Why it stays where it is; nothing where it went away or is another file by now.
pub(super) fn take(
    lock: &DirectoryLock<'_>,
    directory: &Path,
    candidate: &Candidate,
    options: &Options,
) -> Result<Taken, Option<Kept>> {
    let bad = |error: io::Error| Some(candidate.kept(Reason::Bad, error.to_string()));
    let keep = |reason| Some(candidate.kept(reason, String::new()));
    let Some((file, meta)) = judge::open(&candidate.path).map_err(bad)? else {
        return Err(None);
    };
    if (meta.dev(), meta.ino()) != (candidate.device, candidate.inode) {
        return Err(None);
    }
    let unused = judge::unused(file, options).map_err(|(reason, cause)| {
        if candidate.is_taken && reason == Reason::InUse {
            // Whoever is given the process id goes on in it.
            let _ = sys::rename_to_free(&candidate.path, &directory.join(&candidate.segment));
        }
        Some(candidate.kept(reason, cause))
    })?;
    if !candidate.is_taken && judge::is_alive(&candidate.process()) {
        return Err(keep(Reason::Alive));
    }
    let bytes = judge::content(unused.file()).map_err(bad)?;
    let name = if candidate.is_taken {
        file_name(&candidate.path)
    } else {
        let name = (0..MAX_NUMBER)
            .map(|number| layout::taken_name(&candidate.segment, number))
            .find(|name| fs::symlink_metadata(directory.join(name)).is_err());
        let name = name.ok_or_else(|| bad(io::ErrorKind::AlreadyExists.into()))?;
        fs::rename(&candidate.path, directory.join(&name)).map_err(bad)?;
        fault::point();
        name
    };
    let taken = Taken {
        directory: directory.to_owned(),
        name,
        segment: candidate.segment.clone(),
        bytes,
        unused,
    };
    // Who opened it by its old name waits for us to let go of it, and needs that name.
    if !taken.unused.still_holds() {
        taken.put_back(lock);
        return Err(keep(Reason::InUse));
    }
    Ok(taken)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
