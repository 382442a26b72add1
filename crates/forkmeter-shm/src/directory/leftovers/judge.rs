//! Which files dead processes left.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use forkmeter_core::model::MergeRule;

use super::{Kept, Options, Reason};
use crate::directory::retire::{self, MAX_DEAD_WORKERS};
use crate::key;
use crate::layout::{self, Entries, GC_FILE, HEADER_SIZE, Header, Mark};
use crate::reader::name::{self, Role};
use crate::sys::{self, NoWriters};

/// Is what a look at a directory gave.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// How many segments there are.
    pub(super) files: usize,
    /// What they take on disk.
    pub(super) bytes: u64,
    /// The files to fold or to remove, sorted by what they are folded into.
    pub(super) dead: Vec<Candidate>,
    /// The processes that wrote them; those of what was taken are known by now.
    pub(super) processes: BTreeSet<String>,
    pub(super) kept: Vec<Kept>,
    /// Whether an earlier fold came to no end.
    pub(super) is_interrupted: bool,
}

/// Is a file that a dead process left.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    /// The name that it had, or has.
    pub(super) segment: String,
    pub(super) role: Role,
    /// Whether an interrupted fold took it.
    pub(super) is_taken: bool,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// How many of its bytes count.
    pub(super) used: u64,
    modified: SystemTime,
    user: u32,
}

impl Candidate {
    /// Tells whether it is removed, not folded.
    pub(super) fn is_removed(&self) -> bool {
        matches!(self.role, Role::Gauge(mode) if mode.is_live() || mode.rule() == MergeRule::PerWorker)
    }

    /// Returns what its name says of the process.
    pub(super) fn process(&self) -> String {
        let parsed = name::parse(&self.segment);
        parsed.map_or_else(String::new, |(_, tag)| tag.to_string())
    }

    /// Says that it stays.
    pub(super) fn kept(&self, reason: Reason, cause: String) -> Kept {
        Kept {
            path: self.path.clone(),
            reason,
            cause,
        }
    }
}

/// Looks which files of a directory dead processes left.
pub(super) fn scan(directory: &Path, options: &Options) -> io::Result<Scan> {
    if !Path::new("/proc/self").exists() {
        let text = "/proc is not there, so nobody knows which processes live (mount it)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let entries = fs::read_dir(directory)?;
    if !options.force && !sys::is_local(directory)? {
        let text = "other machines may share its file system, and their processes cannot be seen (make sure that \
                    none runs, and use --force)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let mut scan = Scan {
        is_interrupted: fs::symlink_metadata(directory.join(GC_FILE)).is_ok(),
        ..Scan::default()
    };
    let mut per_worker = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some((segment, role, tag)) = parse(name) else {
            continue;
        };
        let path = directory.join(name);
        scan.count(&path);
        let is_taken = segment != name;
        let judged = judge(path, segment, role, is_taken);
        let judged = judged.and_then(|candidate| {
            let checked = candidate.map(|candidate| check(candidate, &tag, options));
            checked.transpose()
        });
        match judged {
            Ok(None) => {}
            Ok(Some(candidate)) => {
                let is_per_worker = matches!(role, Role::Gauge(mode) if mode.rule() == MergeRule::PerWorker && !mode.is_live());
                if is_per_worker && !is_taken {
                    per_worker.push(candidate);
                } else {
                    scan.dead.push(candidate);
                }
            }
            Err(kept) => scan.kept.push(kept),
        }
    }
    scan.keep_newest(directory, per_worker)?;
    scan.dead
        .sort_by(|a, b| (group_of(a.role), &a.segment).cmp(&(group_of(b.role), &b.segment)));
    if options.dry_run {
        scan.processes = scan.dead.iter().map(Candidate::process).collect();
    }
    Ok(scan)
}

/// Returns how many segments there are and what they take on disk.
pub(super) fn size(directory: &Path) -> io::Result<(usize, u64)> {
    let mut scan = Scan::default();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| parse(name).is_some()) {
            scan.count(&directory.join(name));
        }
    }
    Ok((scan.files, scan.bytes))
}

/// Tells whether there are files that were taken and not folded.
pub(super) fn has_taken(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name
            .to_str()
            .is_some_and(|name| layout::name_before_taken(name).is_some())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Scan {
    fn count(&mut self, path: &Path) {
        if let Ok(meta) = fs::symlink_metadata(path) {
            self.files += 1;
            self.bytes += meta.blocks() * 512;
        }
    }

    /// Keeps the newest files of gauges of mode `all`, those of forkmeter's dead workers included.
    fn keep_newest(&mut self, directory: &Path, mut dead: Vec<Candidate>) -> io::Result<()> {
        let mut others = 0;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let role = name.to_str().and_then(name::parse).map(|(role, _)| role);
            let is_per_worker =
                matches!(role, Some(Role::Gauge(mode)) if mode.rule() == MergeRule::PerWorker);
            let is_retired =
                || retire::mark_of(&entry.path()).is_ok_and(|mark| mark == Some(Mark::Retired));
            others += usize::from(is_per_worker && is_retired());
        }
        dead.sort_by_key(|candidate| Reverse(candidate.modified));
        let rest = dead.split_off(dead.len().min(MAX_DEAD_WORKERS.saturating_sub(others)));
        let kept = dead.into_iter();
        self.kept
            .extend(kept.map(|one| one.kept(Reason::AllMode, String::new())));
        self.dead.extend(rest);
        Ok(())
    }
}

fn group_of(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Gauge(mode) => ("gauge", mode.as_str()),
        other => (other.kind().as_str(), ""),
    }
}

/// Splits a file name into the name of a segment, its role and its process; nothing for other files.
fn parse(name: &str) -> Option<(&str, Role, String)> {
    let segment = layout::name_before_taken(name).unwrap_or(name);
    let (role, tag) = name::parse(segment).filter(|_| !segment.starts_with('.'))?;
    Some((segment, role, tag.to_string()))
}

/// Looks at a file; nothing where the official client has not written it.
fn judge(
    path: PathBuf,
    segment: &str,
    role: Role,
    is_taken: bool,
) -> Result<Option<Candidate>, Kept> {
    let bad = |error: &io::Error| Kept {
        path: path.clone(),
        reason: Reason::Bad,
        cause: error.to_string(),
    };
    let (file, meta) = match open(&path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(None),
        Err(error) => return Err(bad(&error)),
    };
    let mut header = [0; HEADER_SIZE];
    // An empty file belongs to a process that died at its start.
    let header = match file.read_exact_at(&mut header, 0) {
        Ok(()) => Header::from_bytes(header),
        Err(_) if meta.len() == 0 => Header::from_bytes([0; HEADER_SIZE]),
        Err(error) => return Err(bad(&error)),
    };
    if header.mark != Mark::Official {
        return Ok(None);
    }
    Ok(Some(Candidate {
        segment: segment.to_owned(),
        role,
        is_taken,
        device: meta.dev(),
        inode: meta.ino(),
        used: u64::try_from(header.used).unwrap_or(0),
        modified: meta.modified().unwrap_or_else(|_| SystemTime::now()),
        user: meta.uid(),
        path,
    }))
}

/// Opens a regular file for reading; nothing where it is none.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, fs::Metadata)>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(None),
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let meta = file.metadata()?;
    Ok(meta.is_file().then_some((file, meta)))
}

/// Tells whether the process that wrote a file is dead and the file whole.
fn check(candidate: Candidate, tag: &str, options: &Options) -> Result<Candidate, Kept> {
    let keep = |reason| Err(candidate.kept(reason, String::new()));
    let user = candidate.user;
    if user != sys::effective_user() {
        return Err(candidate.kept(Reason::OtherUser, format!("it belongs to user {user}")));
    }
    if candidate.is_taken {
        // Whether somebody writes to it is asked when it is its turn.
        return Ok(candidate);
    }
    if !is_process_id(tag) {
        return keep(Reason::NoProcess);
    }
    if is_alive(tag) {
        return keep(Reason::Alive);
    }
    // A file from the future is one whose age nobody knows.
    if candidate.modified.elapsed().unwrap_or(Duration::ZERO) < options.min_age {
        return keep(Reason::Recent);
    }
    let opened = open(&candidate.path);
    let bad = |error: io::Error| candidate.kept(Reason::Bad, error.to_string());
    let Some((file, _)) = opened.map_err(bad)? else {
        return keep(Reason::InUse);
    };
    let file = unused(file, options).map_err(|(reason, cause)| candidate.kept(reason, cause))?;
    match content(file.file()) {
        Ok(_) => Ok(candidate),
        Err(error) => Err(bad(error)),
    }
}

/// Tells whether text is a number as process ids are written.
fn is_process_id(tag: &str) -> bool {
    tag.parse::<u32>()
        .is_ok_and(|pid| pid > 0 && pid.to_string() == *tag)
}

/// Tells whether there is a process with this id in this process' pid namespace.
pub(super) fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// Is a file to which nobody writes, as far as is known.
#[derive(Debug)]
pub(super) enum Unused {
    /// The kernel says so.
    Sure(NoWriters),
    /// The kernel does not know, and the caller does.
    Forced(File),
}

impl Unused {
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Sure(lease) => lease.file(),
            Self::Forced(file) => file,
        }
    }

    /// Tells whether nobody has tried to open it for writing since.
    pub(super) fn still_holds(&self) -> bool {
        match self {
            Self::Sure(lease) => lease.still_holds(),
            Self::Forced(_) => true,
        }
    }
}

/// Asks the kernel whether somebody writes to a file.
pub(super) fn unused(file: File, options: &Options) -> Result<Unused, (Reason, String)> {
    let spare = file.try_clone();
    match (NoWriters::of(file), spare) {
        (Ok(lease), _) => Ok(Unused::Sure(lease)),
        (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
            Err((Reason::InUse, String::new()))
        }
        (Err(_), Ok(file)) if options.force => Ok(Unused::Forced(file)),
        (Err(error), _) => Err((Reason::Unsure, error.to_string())),
    }
}

/// Reads the bytes of a segment that count.
///
/// # Errors
///
/// Fails where it is not whole from its first entry to its last.
pub(super) fn content(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = crate::directory::journal::read(file)?;
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    for entry in Entries::of_segment(&bytes) {
        let entry = entry.map_err(|error| invalid(error.to_string()))?;
        key::parse(entry.key).map_err(|error| invalid(error.to_string()))?;
    }
    let used = bytes
        .first_chunk()
        .map_or(0, |used| i32::from_le_bytes(*used));
    let used = usize::try_from(used)
        .map_err(|_| invalid(format!("it says that {used} bytes are in use")))?;
    bytes.truncate(used);
    Ok(bytes)
}
