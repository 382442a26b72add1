//! What a read says about the directory itself: files, workers, conflicts.

use std::ops::AddAssign;
use std::path::PathBuf;

/// Describes a directory as it was during one read.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every `*.db` entry and side file, by name.
    pub files: Vec<FileReport>,
    /// The workers that the directory knows, by record number.
    pub workers: Vec<WorkerReport>,
    /// Families that files disagree about.
    pub conflicts: Vec<Conflict>,
    /// The number of distinct series after the merge.
    pub series: usize,
    /// What the read took.
    pub effort: Effort,
    /// Series whose values died in the memory of a worker that could not write them.
    pub lost_series: u64,
}

/// Says what a read took of segments: it grows with the directory, or with what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// How many were opened.
    pub opened_files: usize,
    /// How many bytes were read by calls.
    pub read_bytes: u64,
    /// How many keys were decoded.
    pub parsed_keys: u64,
}

impl AddAssign for Effort {
    fn add_assign(&mut self, other: Self) {
        self.opened_files += other.opened_files;
        self.read_bytes += other.read_bytes;
        self.parsed_keys += other.parsed_keys;
    }
}

/// Describes one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file's path.
    pub path: PathBuf,
    /// How reading it went.
    pub state: FileState,
    /// Its size in bytes as it is counted on disk (blocks), 0 where it is not known.
    pub bytes: u64,
    /// The entries that were read from it.
    pub entries: usize,
    /// Why the state is not `Ok`, for a log; empty otherwise.
    pub cause: String,
}

/// Says how reading one file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileState {
    /// Read to its end.
    Ok,
    /// It holds no entry yet, or no byte.
    Empty,
    /// It ends before the bytes it says it has; the entries before that were read.
    Truncated,
    /// An entry makes no sense; the entries that do were read.
    Corrupt,
    /// It is not a segment at all, or one of a version this reader does not know.
    Foreign,
    /// It could not be opened or read.
    Unreadable,
    /// It went away during the read.
    Vanished,
}

impl FileState {
    /// All states, in the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Empty,
        Self::Truncated,
        Self::Corrupt,
        Self::Foreign,
        Self::Unreadable,
        Self::Vanished,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Foreign => "foreign",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
        }
    }
}

/// Describes a family that two files declare differently, as during a rolling deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The family's name.
    pub family: String,
    /// A file that disagrees with what is exposed.
    pub path: PathBuf,
    /// What it disagrees about and what became of its values, for a log.
    pub cause: String,
}

/// Describes one worker that the directory knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerReport {
    /// The number of its record.
    pub index: u16,
    /// The name in its file names, usually its process id.
    pub tag: String,
    /// Its process id in its own namespace.
    pub pid: u32,
    /// Whether it lives.
    pub alive: bool,
    /// When it took its record, as Unix time in seconds.
    pub started_seconds: f64,
    /// How many series it keeps in memory because they could not be written.
    pub kept_series: u64,
}
