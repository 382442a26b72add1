//! Says why a directory cannot be written, and what to do about it.

use std::io;
use std::path::Path;

/// Returns a sentence that names the directory, the cause and, where it is known, the remedy.
pub(super) fn describe(directory: Option<&Path>, error: &io::Error) -> String {
    let text = error.to_string();
    let directory = directory.map(|directory| directory.display().to_string());
    let place = directory.filter(|directory| !text.contains(&**directory));
    let place = place.map_or_else(String::new, |directory| format!("{directory}: "));
    let advice = advice(error).map_or_else(String::new, |advice| format!("; {advice}"));
    format!("{place}{text}{advice}")
}

fn advice(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room there"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("let the user of this process write there, or name another directory")
        }
        io::ErrorKind::FileTooLarge => Some("raise this process's limit on file sizes"),
        io::ErrorKind::NotADirectory => Some("a file is in the way of the directory"),
        io::ErrorKind::Unsupported => Some("name a directory on another one, such as /dev/shm"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_said_with_place_and_remedy() {
        let directory = Some(Path::new("/m"));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(
            describe(directory, &full),
            "/m: no storage space; make room there"
        );
        let other = io::Error::other("/m/x is full");
        assert_eq!(describe(directory, &other), "/m/x is full");
        assert_eq!(describe(None, &other), "/m/x is full");
    }
}
