//! The command line: help, wrong usage, exit codes.

use crate::support::{run, stderr, stdout};

#[test]
fn help_has_examples_and_the_version_is_known() {
    for arguments in [
        "--help",
        "serve --help",
        "dump --help",
        "inspect -h",
        "gc --help",
        "run --help",
    ] {
        let help = stdout(arguments);
        assert!(help.contains("Examples:\n"), "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
    assert_eq!(
        stdout("--version"),
        format!("forkmeter {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        "",
        "serve",
        "frobnicate",
        "dump",
        "dump /tmp --format xml",
        "inspect /tmp /tmp",
        "gc",
        "gc /tmp --min-age soon",
        "serve /a /a",
        "serve /a --label x=1 --label x=2",
        "serve /a --web.listen-address nowhere",
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
        assert!(output.stdout.is_empty());
        assert!(stderr(&output).contains("--help"), "{}", stderr(&output));
    }
}

#[test]
fn a_missing_directory_is_named_with_the_fix() {
    for command in ["dump", "inspect"] {
        let output = run(&format!("{command} /nowhere/at/all"));
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(
            error.contains("/nowhere/at/all: it does not exist"),
            "{error}"
        );
        assert!(error.contains("PROMETHEUS_MULTIPROC_DIR"), "{error}");
        let output = run(&format!("{command} /proc/self/status"));
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("it is not a directory"),
            "{}",
            stderr(&output)
        );
    }
}
