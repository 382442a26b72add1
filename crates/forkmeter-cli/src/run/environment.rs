//! What a command needs to find forkmeter, given through its environment and so to all its children too.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// The module that Python imports at the start of every interpreter; it puts the alias in place.
///
/// It is written into the private directory of each run, so it is found wherever the Python package is installed.
pub(crate) const SITECUSTOMIZE: &str = include_str!("sitecustomize.py");

const DIRECTORY: &str = "PROMETHEUS_MULTIPROC_DIR";
/// The name of old versions, which would be warned of.
const OLD_DIRECTORY: &str = "prometheus_multiproc_dir";
const PYTHON_PATH: &str = "PYTHONPATH";

/// Lets the command count in `metrics` and its Python interpreters find the module in `python`.
pub(crate) fn prepare(command: &mut Command, metrics: &Path, python: &Path) {
    command.env_remove(OLD_DIRECTORY);
    command.env(DIRECTORY, metrics);
    command.env(PYTHON_PATH, python_path(python, env::var_os(PYTHON_PATH)));
}

/// Puts `first` before what is searched already.
///
/// An empty variable means the same as none, while an empty part of it would mean the current directory.
fn python_path(first: &Path, before: Option<OsString>) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        path.push(OsStr::new(":"));
        path.push(before);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_path_is_kept_behind_ours() {
        let path = |before: Option<&str>| python_path(Path::new("/p"), before.map(OsString::from));
        assert_eq!(path(None), "/p");
        assert_eq!(path(Some("")), "/p");
        assert_eq!(path(Some("/a:/b")), "/p:/a:/b");
        assert_eq!(path(Some(":/b")), "/p::/b");
    }
}
