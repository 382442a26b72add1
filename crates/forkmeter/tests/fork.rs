//! Forks while other threads count. A binary of its own, since children copy all that is in it.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "counts are exact")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fork::Fork;
use forkmeter::{
    Counter, Family, Format, Gather, Lazy, Registry, shared_registry, single_process_registry,
};

const CHILDREN: u32 = 150;
const PATIENCE: Duration = Duration::from_secs(20);

static LAZY: Lazy<Registry> = Lazy::new(single_process_registry);

/// Does in a child what takes every lock of metrics and registries.
fn count_in_child(registry: &Registry, family: &Family<Counter, 1>, number: u32) {
    family.with_label_values(["child"]).inc();
    family
        .with_label_values([&format!("child {}", number % 5)])
        .inc();
    family.remove(["removed"]);
    Counter::builder("late", "")
        .register_or_get(registry)
        .unwrap()
        .inc();
    let gathered = registry.gather();
    assert!(gathered.errors.is_empty(), "{:?}", gathered.errors);
    let exposed = registry.expose(Format::Text004);
    assert!(exposed.errors.is_empty(), "{:?}", exposed.errors);
    Counter::builder("in_a_static", "")
        .register_or_get(&LAZY)
        .unwrap()
        .inc();
}

fn wait(pid: i32) {
    let start = Instant::now();
    loop {
        if let Some(status) = fork::waitpid_nohang(pid).unwrap() {
            assert_eq!(status, 0, "a child failed");
            return;
        }
        if start.elapsed() > PATIENCE {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
            panic!("child {pid} hangs: it has a lock that nobody will open");
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Ends the counting threads, also where the test fails.
struct EndThreads<'a>(&'a AtomicBool);

impl Drop for EndThreads<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Forks children while two threads count; returns how often these did.
fn fork_while_threads_count(registry: &Registry) -> f64 {
    let family = Counter::builder("c", "")
        .labels(["who"])
        .register(registry)
        .unwrap();
    let is_over = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        let threads = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut rounds = 0_u32;
                while !is_over.load(Ordering::Relaxed) {
                    family.with_label_values(["thread"]).inc();
                    family.with_label_values(["removed"]).inc();
                    family.remove(["removed"]);
                    match rounds % 64 {
                        0 => drop(registry.gather()),
                        32 => drop(registry.expose(Format::Text004)),
                        _ => {}
                    }
                    rounds += 1;
                }
                f64::from(rounds)
            })
        });
        let end_threads = EndThreads(&is_over);
        for number in 0..CHILDREN {
            match fork::fork().unwrap() {
                Fork::Parent(pid) => wait(pid),
                Fork::Child => {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        count_in_child(registry, &family, number);
                    }));
                    #[expect(clippy::exit, reason = "a child must not return into the test")]
                    std::process::exit(i32::from(done.is_err()));
                }
            }
        }
        drop(end_threads);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(family.with_label_values(["thread"]).get(), counted);
    counted
}

#[test]
fn children_count_while_threads_of_the_parent_do() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared_registry(directory.path());
    fork_while_threads_count(&shared);
    let families = shared.gather().families;
    let samples = || families.iter().flat_map(|family| &family.samples);
    let children: f64 = samples()
        .filter(|sample| {
            sample
                .labels
                .get("who")
                .is_some_and(|who| who.starts_with("child "))
        })
        .map(|sample| sample.value)
        .sum();
    assert_eq!(children, f64::from(CHILDREN));
    for (name, who) in [("c_total", Some("child")), ("late_total", None)] {
        let mut found = samples().filter(|s| *s.name == *name && s.labels.get("who") == who);
        assert_eq!(found.next().unwrap().value, f64::from(CHILDREN), "{name}");
    }

    // In one process's memory children count for themselves only, and nobody hangs either.
    let single = single_process_registry();
    fork_while_threads_count(&single);
    let body = String::from_utf8(single.expose(Format::Text004).body).unwrap();
    assert!(!body.contains("child"), "{body}");
}
