//! The testing module, used like a program's tests would. A binary of its own, since it isolates what is global.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "counts are exact")]

use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fork::Fork;
use forkmeter::testing::{
    self, Snapshot, check_exposition, check_sample, delta, eventually, isolate, registry, samples,
    value,
};
use forkmeter::{
    Counter, Declare, Family, Gauge, Histogram, Info, Lazy, MultiprocessMode, Summary,
    assert_exposition, assert_sample,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Makes this program a child that counts, when it is started again.
const CHILD_VARIABLE: &str = "FORKMETER_TESTING_CHILD";

static REQUESTS: Lazy<Family<Counter, 2>> = Lazy::new(|| {
    Counter::builder("http_requests", "Requests.")
        .labels(["method", "endpoint"])
        .declare()
});
static BARE: Lazy<Counter> = Lazy::new(|| Counter::builder("bare", "").declare());
static RUNNING: Lazy<Gauge> = Lazy::new(|| {
    Gauge::builder("running", "")
        .multiprocess_mode(MultiprocessMode::LiveSum)
        .declare()
});

/// Forks a child that does `work`; returns its process id.
fn child(work: impl FnOnce()) -> i32 {
    match fork::fork().unwrap() {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            let done = std::panic::catch_unwind(AssertUnwindSafe(work));
            #[expect(clippy::exit, reason = "a child must not go on with the tests")]
            std::process::exit(i32::from(done.is_err()));
        }
    }
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

fn wait(pid: i32) {
    let status = eventually(PATIENCE, || fork::waitpid_nohang(pid).unwrap());
    assert_eq!(status, 0, "a child failed");
}

/// Counts as much as one test does, and checks that it finds nothing of another.
fn one_test(rounds: u32) {
    let metrics = isolate();
    assert_eq!(value(&metrics, "bare_total", []).unwrap_or(0.0), 0.0);
    assert!(samples(&metrics, "http_requests").is_empty());
    let request = REQUESTS.with_label_values(["GET", "/"]);
    for _ in 0..rounds {
        request.inc();
        BARE.inc();
        RUNNING.inc();
    }
    let labels = [("endpoint", "/"), ("method", "GET")];
    assert_sample!(metrics, "http_requests_total", labels, f64::from(rounds));
    assert_sample!(metrics, "bare_total", f64::from(rounds));
    assert_sample!(metrics, "running", f64::from(rounds));
    assert_eq!(request.get(), f64::from(rounds));
}

#[test]
fn isolated_tests_start_from_zero_whatever_their_threads() {
    // What is counted outside of a test is nobody's.
    thread::scope(|scope| {
        for rounds in 1..5 {
            scope.spawn(move || {
                for _ in 0..50 {
                    one_test(rounds);
                }
            });
        }
    });
}

#[test]
fn the_directory_ends_with_its_owner() {
    let metrics = isolate();
    BARE.inc();
    let shared = metrics.directory().to_owned();
    assert_eq!(forkmeter::directory().as_deref(), Some(&*shared));
    assert!(std::fs::read_dir(&shared).unwrap().count() > 0);
    // A program that says where it shares does not get out of the isolation.
    let elsewhere = tempfile::tempdir().unwrap();
    let sharing = forkmeter::Sharing::Directory(elsewhere.path().into());
    forkmeter::configure(forkmeter::Config::new().sharing(sharing)).unwrap();
    BARE.inc();
    assert_sample!(metrics, "bare_total", 2.0);
    forkmeter::configure(forkmeter::Config::new()).unwrap();
    drop(metrics);
    assert!(!shared.parent().unwrap().exists());

    let own = registry();
    let path = own.directory().to_owned();
    assert!(path.exists());
    drop(own);
    assert!(!path.exists());
}

#[test]
fn isolating_twice_is_a_mistake_that_is_told() {
    let _metrics = isolate();
    let panic = std::panic::catch_unwind(isolate).unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert_eq!(
        *message,
        "this thread has isolated the default registry already"
    );
}

#[test]
fn a_test_that_panics_gives_its_turn_back() {
    let failed = thread::spawn(|| {
        let _metrics = isolate();
        BARE.inc();
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    one_test(1);
}

#[test]
fn forked_children_count_in_the_same_directory_and_leave_it() {
    let metrics = isolate();
    let own = registry();
    let counter = Counter::builder("own", "").register(&own).unwrap();
    REQUESTS.with_label_values(["GET", "/"]).inc();
    let made = [metrics.directory(), own.directory()].map(inode);
    let mut guards = Some((metrics, own));
    let pid = child(|| {
        REQUESTS.with_label_values(["GET", "/"]).inc();
        counter.inc();
        // As in a child that returns.
        guards = None;
    });
    let (metrics, own) = guards.unwrap();
    let labels = [("endpoint", "/"), ("method", "GET")];
    eventually(PATIENCE, || {
        check_sample(&metrics, "http_requests_total", labels, 2.0)
    });
    eventually(PATIENCE, || check_sample(&own, "own_total", [], 1.0));
    wait(pid);
    // Not removed and made again, which values would survive too.
    assert_eq!([metrics.directory(), own.directory()].map(inode), made);
}

#[test]
fn a_forked_child_isolates_while_its_parents_tests_do() {
    // The turn is taken while another thread forks: the child must not wait for a thread that it does not have.
    let is_held = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _metrics = isolate();
            is_held.store(true, Ordering::Release);
            eventually(PATIENCE, || is_over.load(Ordering::Acquire));
        });
        eventually(PATIENCE, || is_held.load(Ordering::Acquire));
        let pid = child(|| one_test(3));
        wait(pid);
        is_over.store(true, Ordering::Release);
    });
}

#[test]
fn spawned_programs_count_in_the_same_directory() {
    let metrics = isolate();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "a_spawned_program", "--ignored"])
        .env(CHILD_VARIABLE, "1");
    let status = metrics.share_with(&mut command).output().unwrap().status;
    assert!(status.success());
    assert_sample!(
        metrics,
        "http_requests_total",
        [("endpoint", "/spawned"), ("method", "POST")],
        1.0
    );
    // Its gauge went with it.
    assert_eq!(value(&metrics, "running", []).unwrap_or(0.0), 0.0);
}

#[test]
#[ignore = "is what another test starts"]
fn a_spawned_program() {
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        REQUESTS.with_label_values(["POST", "/spawned"]).inc();
        RUNNING.set(5.0);
    }
}

#[test]
fn a_delta_has_what_changed_and_nothing_else() {
    let registry = registry();
    let jobs = Counter::builder("jobs", "")
        .labels(["queue"])
        .register(&registry)
        .unwrap();
    let size = Summary::builder("size", "").register(&registry).unwrap();
    let gauge = Gauge::builder("level", "")
        .multiprocess_mode(MultiprocessMode::Sum)
        .register(&registry)
        .unwrap();
    jobs.with_label_values(["old"]).inc();
    jobs.with_label_values(["gone"]).inc_by(2.0);
    gauge.set(f64::NAN);
    let before = Snapshot::of(&registry);
    assert!(before.delta(&registry).is_empty());
    jobs.with_label_values(["old"]).inc();
    jobs.with_label_values(["new"]).inc_by(0.5);
    jobs.remove(["gone"]);
    size.observe(-4.0);
    let delta = before.delta(&registry);
    assert_eq!(
        delta.to_string(),
        "jobs_total{queue=\"gone\"} -2.0 (gone, was 2.0)\n\
         jobs_total{queue=\"new\"} +0.5 (0.5, was not there)\n\
         jobs_total{queue=\"old\"} +1.0 (2.0, was 1.0)\n\
         size_count +1.0 (1.0, was 0.0)\n\
         size_sum -4.0 (-4.0, was 0.0)\n"
    );
    assert_eq!(delta.value("jobs_total", [("queue", "old")]), 1.0);
    assert_eq!(delta.value("jobs_total", [("queue", "other")]), 0.0);
    assert_eq!(delta.sum("jobs_total"), -0.5);
    assert_eq!(delta.changes().len(), 5);
}

#[test]
fn process_metrics_are_not_in_the_way() {
    let metrics = isolate();
    let delta = delta(&metrics, || {
        // Takes CPU time and memory.
        assert!(
            vec![1_u8; 64 << 20]
                .iter()
                .map(|b| u64::from(*b))
                .sum::<u64>()
                > 0
        );
    });
    assert_eq!(delta.to_string(), "");
    assert_eq!(value(&metrics, "process_open_fds", []), None);
}

#[test]
fn a_missing_sample_is_told_with_the_nearest_one() {
    let registry = registry();
    let mismatch = |name, labels: &[(&'static str, &'static str)]| {
        check_sample(&registry, name, labels.iter().copied(), 1.0)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        mismatch("jobs_total", &[]),
        "there is no jobs_total, expected with 1.0\n  nothing is exposed"
    );
    let jobs = Counter::builder("jobs", "")
        .labels(["queue", "kind"])
        .register(&registry)
        .unwrap();
    jobs.with_label_values(["mail", "fast"]).inc();
    jobs.with_label_values(["print", "slow"]).inc_by(3.0);
    assert_eq!(
        mismatch("jobs_total", &[("kind", "fast"), ("queue", "mai\"l")]),
        "there is no jobs_total{kind=\"fast\",queue=\"mai\\\"l\"}, expected with 1.0\n  \
         nearest is jobs_total{kind=\"fast\",queue=\"mail\"} 1.0\n    \
         queue: expected \"mai\\\"l\", found \"mail\""
    );
    assert_eq!(
        mismatch("job_total", &[("queue", "print"), ("kind", "slow")]),
        "there is no job_total{kind=\"slow\",queue=\"print\"}, expected with 1.0\n  \
         nearest is jobs_total{kind=\"slow\",queue=\"print\"} 3.0\n    \
         name: expected job_total, found jobs_total"
    );
    assert_eq!(
        mismatch("jobs_total", &[("queue", "print"), ("kind", "slow")]),
        "jobs_total{kind=\"slow\",queue=\"print\"} is 3.0, expected 1.0"
    );
    assert_eq!(
        mismatch("jobs_total", &[("queue", "print"), ("speed", "slow")]),
        "there is no jobs_total{queue=\"print\",speed=\"slow\"}, expected with 1.0\n  \
         nearest is jobs_total{kind=\"slow\",queue=\"print\"} 3.0\n    \
         speed: expected \"slow\", found no such label\n    \
         kind: expected no such label, found \"slow\""
    );
    assert_eq!(
        mismatch("latency_seconds", &[]),
        "there is no latency_seconds, expected with 1.0\n  no series has a name like it"
    );
}

#[test]
fn an_exposition_is_compared_series_by_series() {
    let registry = registry();
    let jobs = Counter::builder("jobs", "Jobs done.")
        .labels(["queue"])
        .register(&registry)
        .unwrap();
    jobs.with_label_values(["mail"]).inc();
    jobs.with_label_values(["print"]).inc_by(2.5);
    let time = Histogram::builder("time", "")
        .buckets([1.0])
        .register(&registry);
    time.unwrap().observe(0.125);
    Gauge::builder("not.legacy", "")
        .register(&registry)
        .unwrap()
        .set(f64::NAN);
    Info::builder("build", "")
        .register(&registry)
        .unwrap()
        .set([("version", "1")]);
    assert_exposition!(
        registry,
        "
        # a comment
        time_bucket{le=\"1.0\"} 1
        # TYPE jobs_total counter
        jobs_total{queue=\"print\"} 2.5
        jobs_total{queue=\"mail\"} *
        # HELP jobs_total Jobs done.
        time_bucket{le=\"+Inf\"} 1
        time_sum 1.25e-1
        time_count 1
        "
    );
    let pid = std::process::id();
    assert_exposition!(
        registry,
        &format!("# TYPE \"not.legacy\" gauge\n{{\"not.legacy\",pid=\"{pid}\"}} NaN")
    );
    assert_exposition!(registry, "build_info{version=\"1\"} 1");
    assert_exposition!(registry, "");
    let golden = "
        # HELP jobs_total Jobs.
        # TYPE job_total counter
        jobs_total{queue=\"mail\"} 2
        jobs_total{queue=\"prints\"} *
        time_count 1
    ";
    assert_eq!(
        check_exposition(&registry, golden).unwrap_err().to_string(),
        "the exposition is not as expected:\n  \
         # HELP jobs_total: expected \"Jobs.\", found \"Jobs done.\"\n  \
         missing    # TYPE job_total counter\n  \
         jobs_total{queue=\"mail\"}: expected 2.0, found 1.0\n  \
         missing    jobs_total{queue=\"prints\"} *\n    \
         nearest is jobs_total{queue=\"print\"} 2.5\n      \
         queue: expected \"prints\", found \"print\"\n  \
         unexpected jobs_total{queue=\"print\"} 2.5\n  \
         unexpected time_sum 0.125\n  \
         unexpected time_bucket{le=\"1.0\"} 1.0\n  \
         unexpected time_bucket{le=\"+Inf\"} 1.0"
    );
    let wrong = std::panic::catch_unwind(AssertUnwindSafe(|| {
        check_exposition(&registry, "\njobs_total one")
    }));
    let message = wrong.unwrap_err();
    assert_eq!(
        message.downcast_ref::<String>().unwrap(),
        "line 2 of the golden text is no exposition: \"jobs_total one\""
    );
}

#[test]
#[should_panic(expected = "after 5ms: jobs_total is 0.0, expected 1.0")]
fn what_does_not_come_is_told_with_the_last_look() {
    let registry = registry();
    let _jobs = Counter::builder("jobs", "").register(&registry).unwrap();
    eventually(Duration::from_millis(5), || {
        check_sample(&registry, "jobs_total", [], 1.0)
    });
}

#[test]
fn eventually_returns_what_came() {
    let mut looks = 0;
    let third = eventually(PATIENCE, || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(third, 3);
    eventually(Duration::ZERO, || true);
    assert_eq!(eventually(PATIENCE, || Ok::<_, String>(7)), 7);
}

#[test]
fn series_can_be_read_without_making_them() {
    let registry = registry();
    let outer = registry
        .clone()
        .with_const_labels(&[("app", "shop")].into_iter().collect());
    let family = Counter::builder("c", "")
        .labels(["b", "a"])
        .register(&outer)
        .unwrap();
    assert!(family.find(["1", "2"]).is_none() && family.label_sets().is_empty());
    assert!(testing::samples(&registry, "c").is_empty());
    family.with_label_values(["1", "2"]).inc();
    assert_eq!(family.find(["1", "2"]).unwrap().get(), 1.0);
    assert!(family.find(["2", "1"]).is_none());
    let sets = family.label_sets();
    assert_eq!(
        sets,
        [[("a", "2"), ("app", "shop"), ("b", "1")]
            .into_iter()
            .collect()]
    );
    let dynamic = family.to_dynamic();
    assert!(dynamic.find(&["1"]).is_err() && dynamic.find(&["1", "2"]).unwrap().is_some());

    let info = Info::builder("build", "")
        .labels(["part"])
        .register(&outer)
        .unwrap();
    info.with_label_values(["x"]).set([("version", "1")]);
    info.with_label_values(["y"]).set([("version", "2")]);
    let facts = info.with_label_values(["y"]).facts();
    assert_eq!(facts, [("version", "2")].into_iter().collect());
}
