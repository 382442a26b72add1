//! Where the default registry shares its values. One test in a binary of its own, since it changes what is global.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]

use forkmeter::{
    Config, Counter, Declare, Format, Gather, Gauge, MultiprocessMode, Sharing, configure,
    default_registry, shared_registry, text,
};

fn has(line: &str) -> bool {
    text().lines().any(|other| other == line)
}

#[test]
fn the_default_registry_moves_between_memory_and_directories() {
    let off = || {
        let config = Config::new().sharing(Sharing::Off);
        config.process_metrics(false).self_metrics(true)
    };
    let first = tempfile::tempdir().unwrap();
    let second = tempfile::tempdir().unwrap();
    let shared_in = |directory: &tempfile::TempDir| {
        off().sharing(Sharing::Directory(directory.path().to_path_buf()))
    };

    configure(off()).unwrap();
    assert_eq!(forkmeter::directory(), None);
    let jobs = Counter::builder("jobs", "").declare();
    let running = Gauge::builder("running", "")
        .multiprocess_mode(MultiprocessMode::LiveSum)
        .declare();
    jobs.inc();
    running.set(3.0);
    assert!(has("jobs_total 1.0") && has("running 3.0"), "{}", text());
    assert!(!text().contains("forkmeter_"), "{}", text());

    // What was counted in memory is published where there is a directory.
    configure(shared_in(&first)).unwrap();
    assert_eq!(forkmeter::directory().as_deref(), Some(first.path()));
    jobs.inc();
    assert!(has("jobs_total 2.0") && has("running 3.0"), "{}", text());
    // The directory is described, as this exposition found it.
    for line in [
        "forkmeter_series 2.0",
        "forkmeter_workers{state=\"live\"} 1.0",
        "forkmeter_files{state=\"ok\"} 4.0",
        "forkmeter_kept_series 0.0",
    ] {
        assert!(has(line), "no {line} in {}", text());
    }
    let other = shared_registry(first.path());
    let seen = String::from_utf8(other.expose(Format::Text004).body).unwrap();
    assert!(
        seen.contains("jobs_total 2.0\n") && seen.contains("running 3.0\n"),
        "{seen}"
    );

    // Another directory is another truth; handles count where the registry is.
    configure(shared_in(&second)).unwrap();
    jobs.inc();
    assert!(has("jobs_total 1.0"), "{}", text());
    let seen = String::from_utf8(other.expose(Format::Text004).body).unwrap();
    assert!(seen.contains("jobs_total 2.0\n"), "{seen}");
    configure(shared_in(&first)).unwrap();
    jobs.inc();
    assert!(has("jobs_total 3.0"), "{}", text());

    // Other settings are fixed by the first use.
    let error = configure(shared_in(&second).created_samples(true)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the default registry is in use with created_samples=false, process_metrics=false and \
         self_metrics=true; \
         configure it before the first metric is declared"
    );
    assert_eq!(forkmeter::directory().as_deref(), Some(first.path()));

    // A name of another declaration is a programmer's mistake.
    let panic = std::panic::catch_unwind(|| Gauge::builder("jobs", "").declare()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(
        message,
        "cannot register \"jobs\": already registered: jobs"
    );
    assert!(default_registry().registered("jobs_total").is_some());

    #[cfg(feature = "testing")]
    {
        // A test in between starts from zero and leaves no trace.
        let isolated = forkmeter::testing::isolate();
        assert!(has("jobs_total 0.0"), "{}", text());
        jobs.inc();
        assert!(has("jobs_total 1.0"), "{}", text());
        drop(isolated);
        assert_eq!(forkmeter::directory().as_deref(), Some(first.path()));
        assert!(has("jobs_total 3.0"), "{}", text());
        jobs.inc();
        assert!(has("jobs_total 4.0"), "{}", text());
    }
}
