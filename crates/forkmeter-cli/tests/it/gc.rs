//! `forkmeter gc`, and the same in `serve`.

use crate::support::directory::write;
use crate::support::{Exporter, has_line, run, stderr, stdout};

/// Greater than any process id can be.
const DEAD: u32 = 5_000_000;

fn left_overs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let pid = DEAD + number;
        let requests = &[("requests", "requests_total", &[][..], "Requests.", 2.0)];
        write(directory.path(), &format!("counter_{pid}.db"), requests);
        let level = &[("level", "level", &[][..], "Level.", f64::from(number))];
        write(directory.path(), &format!("gauge_max_{pid}.db"), level);
        write(directory.path(), &format!("gauge_livesum_{pid}.db"), level);
    }
    write(
        directory.path(),
        "counter_1.db",
        &[("requests", "requests_total", &[], "Requests.", 1.0)],
    );
    std::fs::write(
        directory.path().join(format!("counter_{}.db", DEAD + 9)),
        [100, 0, 0, 0, 0, 0, 0, 0, 1],
    )
    .unwrap();
    std::fs::write(directory.path().join("counter_7.db.bak"), b"").unwrap();
    directory
}

#[test]
fn left_over_files_become_one_per_kind() {
    let directory = left_overs();
    let path = directory.path().display();
    let looked = stdout(&format!("gc {path} --min-age 0 --dry-run"));
    assert!(
        looked.contains("to fold   6 files of 3 dead processes\n"),
        "{looked}"
    );
    let recent = stdout(&format!("gc {path}"));
    assert!(
        recent.contains("written to lately") && recent.contains("folded    0 files"),
        "{recent}"
    );
    let before = stdout(&format!("dump {path}"));
    assert!(
        has_line(&before, "requests_total 7.0") && has_line(&before, "level 2.0"),
        "{before}"
    );
    let output = run(&format!("gc {path} --min-age 0 --output json"));
    assert!(output.status.success(), "{output:?}");
    // Hostile files are named; what is no file of the official client's is not even looked at.
    let errors = stderr(&output);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains(&format!("counter_{}.db is left alone: ", DEAD + 9)),
        "{errors}"
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let done = &report["directories"][0];
    let number = |name: &str| done[name].as_u64().unwrap();
    assert_eq!(
        (
            number("folded_files"),
            number("removed_files"),
            number("processes")
        ),
        (6, 3, 3)
    );
    assert_eq!((number("files_before"), number("files_after")), (11, 4));
    assert_eq!(done["kept"][0]["reason"], "alive", "{done}");
    assert_eq!(done["kept"][1]["reason"], "bad", "{done}");
    assert_eq!(stdout(&format!("dump {path}")), before);
    assert!(directory.path().join("counter_7.db.bak").exists());
    let again = stdout(&format!("gc {path} --min-age 0"));
    assert!(
        again.contains("folded    0 files") && again.contains("freed     0 B\n"),
        "{again}"
    );
}

#[test]
fn all_directories_are_folded_though_one_fails() {
    let directory = left_overs();
    let path = directory.path().display();
    let output = run(&format!("gc /nowhere/at/all {path} --min-age 0"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nowhere/at/all: it does not exist"),
        "{output:?}"
    );
    assert!(!directory.path().join(format!("counter_{DEAD}.db")).exists());
    // /proc is no file system that only this machine has files on, as far as anybody knows.
    let output = run("gc /proc/self/task");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("other machines may share"),
        "{output:?}"
    );
}

#[test]
fn an_exporter_folds_in_intervals() {
    let directory = left_overs();
    let path = directory.path().display();
    let mut exporter = Exporter::start(&format!("{path} --gc.interval 1s --gc.min-age 0"));
    let line = exporter.wait_for_line("folded the files of dead processes");
    assert!(line.contains("processes=3 folded=6 removed=3"), "{line}");
    assert!(has_line(
        exporter.get("/metrics").text(),
        "requests_total 7.0"
    ));
    // What is left later is folded as well.
    let requests = &[("requests", "requests_total", &[][..], "Requests.", 2.0)];
    write(
        directory.path(),
        &format!("counter_{}.db", DEAD + 3),
        requests,
    );
    exporter.wait_for_line("processes=1 folded=1 removed=0");
    assert!(has_line(
        exporter.get("/metrics").text(),
        "requests_total 9.0"
    ));
}
