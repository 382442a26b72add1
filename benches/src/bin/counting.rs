//! Times what a Rust program calls to count, forkmeter's and its peers', for `benches/rust.py`.
//!
//! Prints a JSON line per comparison, once all sides counted the same: the case, the peer, and the nanoseconds of one
//! call in each round.
#![expect(
    clippy::print_stdout,
    reason = "the results are for the script that runs this"
)]
#![expect(clippy::float_cmp, reason = "all sides count the same")]

#[path = "../rounds.rs"]
mod rounds;

use std::error::Error;
use std::hint::black_box;

use forkmeter::{Counter, Histogram, single_process_registry};
use prometheus_client::metrics as client;

use crate::rounds::nanoseconds;

const TIKV: &str = "prometheus 0.14";
const CLIENT: &str = "prometheus-client 0.25";
const THREADS: usize = 2;
const VALUE: f64 = 0.3;
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

fn main() -> Result<(), Box<dyn Error>> {
    labelled()?;
    counter()?;
    histogram()
}

fn print(case: &str, peer: &str, theirs: &[f64], ours: &[f64]) {
    println!(r#"{{"case": "{case}", "peer": "{peer}", "theirs": {theirs:?}, "ours": {ours:?}}}"#);
}

fn check(case: &str, values: &[f64]) -> Result<(), Box<dyn Error>> {
    if values.iter().any(|value| *value != values[0]) {
        return Err(format!("{case}: different values {values:?}").into());
    }
    Ok(())
}

fn labelled() -> Result<(), Box<dyn Error>> {
    let case = "Rust with_label_values(..).inc()";
    let names = ["method", "path"];
    let ours = Counter::builder("c", "Help.")
        .labels(names)
        .register(&single_process_registry())?;
    let theirs = prometheus::CounterVec::new(prometheus::Opts::new("c", "Help."), &names)?;
    let other_label_sets = ["GET", "POST", "PUT"].map(|method| [method, "/items"]);
    for labels in other_label_sets {
        ours.with_label_values(labels).inc();
        theirs.with_label_values(&labels).inc();
    }
    let labels = black_box(["GET", "/items"]);
    let [theirs_took, ours_took] = nanoseconds(
        [
            &|calls| (0..calls).for_each(|_| theirs.with_label_values(&labels).inc()),
            &|calls| (0..calls).for_each(|_| ours.with_label_values(labels).inc()),
        ],
        1,
    );
    let values = [
        theirs.with_label_values(&labels).get(),
        ours.with_label_values(labels).get(),
    ];
    check(case, &values)?;
    print(case, TIKV, &theirs_took, &ours_took);
    Ok(())
}

fn counter() -> Result<(), Box<dyn Error>> {
    let case = "Rust counter, 2 threads on one series";
    let ours = Counter::builder("c", "Help.").register(&single_process_registry())?;
    let tikv = prometheus::Counter::new("c", "Help.")?;
    let other = client::counter::Counter::<f64, std::sync::atomic::AtomicU64>::default();
    let [tikv_took, other_took, ours_took] = nanoseconds(
        [
            &|calls| (0..calls).for_each(|_| tikv.inc()),
            &|calls| {
                (0..calls).for_each(|_| {
                    other.inc();
                });
            },
            &|calls| (0..calls).for_each(|_| ours.inc()),
        ],
        THREADS,
    );
    check(case, &[tikv.get(), other.get(), ours.get()])?;
    print(case, TIKV, &tikv_took, &ours_took);
    print(case, CLIENT, &other_took, &ours_took);
    Ok(())
}

fn histogram() -> Result<(), Box<dyn Error>> {
    let case = "Rust histogram observe, 2 threads";
    let ours = Histogram::builder("h", "Help.")
        .buckets(BOUNDS)
        .register(&single_process_registry())?;
    let options = prometheus::HistogramOpts::new("h", "Help.").buckets(BOUNDS.to_vec());
    let tikv = prometheus::Histogram::with_opts(options)?;
    let other = client::histogram::Histogram::new(BOUNDS);
    let [tikv_took, other_took, ours_took] = nanoseconds(
        [
            &|calls| (0..calls).for_each(|_| tikv.observe(black_box(VALUE))),
            &|calls| (0..calls).for_each(|_| other.observe(black_box(VALUE))),
            &|calls| (0..calls).for_each(|_| ours.observe(black_box(VALUE))),
        ],
        THREADS,
    );
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("h", "Help", other);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    let count = text.lines().find_map(|line| line.strip_prefix("h_count "));
    let count: f64 = count.ok_or("no count")?.parse()?;
    #[expect(clippy::cast_precision_loss, reason = "counts of some millions")]
    check(
        case,
        &[tikv.get_sample_count() as f64, count, ours.count() as f64],
    )?;
    print(case, TIKV, &tikv_took, &ours_took);
    print(case, CLIENT, &other_took, &ours_took);
    Ok(())
}
