//! Reads `/proc`.

use std::fs;
use std::path::Path;

/// Holds what is the same for all processes of a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Machine {
    boot_seconds: f64,
    ticks_per_second: f64,
    page_bytes: f64,
}

impl Machine {
    /// Reads the boot time from `proc`; none where there is no such file.
    pub(super) fn read(proc: &Path) -> Option<Self> {
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        let (page_bytes, ticks_per_second) = system_parameters();
        Some(Self {
            boot_seconds: boot.trim().parse().ok()?,
            ticks_per_second,
            page_bytes,
        })
    }
}

/// Returns the size of a page in bytes and the clock ticks of a second.
///
/// # Sources
///
/// `getauxval(3)`: `AT_PAGESZ` and `AT_CLKTCK`, which the kernel hands every process it starts.
fn system_parameters() -> (f64, f64) {
    const AT_PAGESZ: u64 = 6;
    const AT_CLKTCK: u64 = 17;
    let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
    let parameter = |wanted, otherwise| {
        let mut pairs = auxv.chunks_exact(2 * size_of::<usize>()).map(|pair| {
            let (name, value) = pair.split_at(size_of::<usize>());
            (word(name), word(value))
        });
        let found = pairs
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value);
        found
            .and_then(|value| u32::try_from(value).ok())
            .map_or(otherwise, f64::from)
    };
    (parameter(AT_PAGESZ, 4096.0), parameter(AT_CLKTCK, 100.0))
}

fn word(bytes: &[u8]) -> u64 {
    let bytes = bytes.try_into().map(usize::from_ne_bytes);
    bytes.map_or(0, |word| word as u64)
}

/// Holds what the kernel says about one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    pub(super) virtual_memory_bytes: f64,
    pub(super) resident_memory_bytes: f64,
    pub(super) start_time_seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) open_fds: Option<f64>,
    pub(super) max_fds: Option<f64>,
}

impl Usage {
    /// Reads the directory of a process; none where it is gone.
    pub(super) fn read(directory: &Path, machine: Machine) -> Option<Self> {
        let stat = fs::read(directory.join("stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The second field is the program's name in parentheses and may hold anything, parentheses too.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
        let user = field(11)? / machine.ticks_per_second;
        let system = field(12)? / machine.ticks_per_second;
        // Other people's descriptors may not be counted; then the limit is left out too, as officially.
        let open_fds = open_fds(directory);
        Some(Self {
            virtual_memory_bytes: field(20)?,
            resident_memory_bytes: field(21)? * machine.page_bytes,
            start_time_seconds: field(19)? / machine.ticks_per_second + machine.boot_seconds,
            cpu_seconds: user + system,
            open_fds,
            max_fds: open_fds.and_then(|_| max_fds(directory)),
        })
    }
}

fn open_fds(directory: &Path) -> Option<f64> {
    let count = fs::read_dir(directory.join("fd")).ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

fn max_fds(directory: &Path) -> Option<f64> {
    let limits = fs::read_to_string(directory.join("limits")).ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open file"))?;
    match line.split_ascii_whitespace().nth(3)? {
        "unlimited" => Some(f64::INFINITY),
        limit => limit.parse().ok(),
    }
}
