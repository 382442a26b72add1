//! The bounds of the default registry's families. A binary of its own, since it changes what is global.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]

use std::process::Command;
use std::time::Duration;

use forkmeter::{Config, Counter, Declare, Family, Sharing, configure, text};

/// Tells the test's own child that it is one.
const CHILD: &str = "FORKMETER_TEST_OF_BOUNDS";

/// Counts in ten series of a new family, and returns how many lines it has.
fn lines(name: &str) -> usize {
    let family: Family<Counter, 1> = Counter::builder(name, "").labels(["a"]).declare();
    for number in 0..10 {
        family.with_label_values([&number.to_string()]).inc();
    }
    lines_of(name)
}

fn lines_of(name: &str) -> usize {
    let start = format!("{name}_total{{");
    text()
        .lines()
        .filter(|line| line.starts_with(&start))
        .count()
}

#[test]
fn families_are_bounded_as_configured_or_as_the_environment_says() {
    if std::env::var_os(CHILD).is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.arg("families_are_bounded_as_configured_or_as_the_environment_says");
        child.env(CHILD, "1").env_remove("PROMETHEUS_MULTIPROC_DIR");
        child.env("FORKMETER_MAX_SERIES", "4");
        child.env("FORKMETER_IDLE_SECONDS", "0");
        assert!(child.status().unwrap().success());
        return;
    }
    let off = || Config::new().sharing(Sharing::Off).process_metrics(false);
    configure(off()).unwrap();
    assert_eq!(lines("from_environment"), 5);
    // The series for what has no room stays.
    let after = [lines_of("from_environment"), lines_of("from_environment")];
    assert_eq!(after, [5, 1]);
    configure(off().max_series(2).idle_expiry(Duration::from_secs(600))).unwrap();
    assert_eq!(lines("configured"), 3);
    assert_eq!([(); 4].map(|()| lines_of("configured")), [3; 4]);
    configure(off().max_series(None).idle_expiry(None)).unwrap();
    assert_eq!(lines("without"), 10);
    assert_eq!([(); 4].map(|()| lines_of("without")), [10; 4]);
    configure(off()).unwrap();
    assert_eq!(lines("from_environment_again"), 5);
}
