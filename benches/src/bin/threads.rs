//! Times what threads of a Rust program take that count on one series at once, for `benches/scale.py`.
//!
//! `threads THREADS...` prints a JSON line per number of threads and client, once all clients counted the same: the
//! nanoseconds that one call took in each round, of all threads together.
#![expect(
    clippy::print_stdout,
    reason = "the results are for the script that runs this"
)]
#![expect(clippy::float_cmp, reason = "all sides count the same")]

#[path = "../rounds.rs"]
mod rounds;

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use forkmeter::{Counter, single_process_registry};

use crate::rounds::nanoseconds;

fn main() -> Result<(), Box<dyn Error>> {
    for threads in std::env::args().skip(1) {
        counters(threads.parse()?)?;
    }
    Ok(())
}

fn counters(threads: u32) -> Result<(), Box<dyn Error>> {
    let ours = Counter::builder("c", "Help.").register(&single_process_registry())?;
    let tikv = prometheus::Counter::new("c", "Help.")?;
    let other = prometheus_client::metrics::counter::Counter::<f64, AtomicU64>::default();
    let taken = nanoseconds(
        [
            &|calls| (0..calls).for_each(|_| black_box(&ours).inc()),
            &|calls| (0..calls).for_each(|_| black_box(&tikv).inc()),
            &|calls| {
                (0..calls).for_each(|_| {
                    black_box(&other).inc();
                });
            },
        ],
        usize::try_from(threads)?,
    );
    if ours.get() != tikv.get() || ours.get() != other.get() {
        return Err(format!("{} {} {}", ours.get(), tikv.get(), other.get()).into());
    }
    for (side, taken) in ["forkmeter", "prometheus", "prometheus-client"]
        .iter()
        .zip(taken)
    {
        let each: Vec<f64> = taken
            .iter()
            .map(|nanoseconds| nanoseconds / f64::from(threads))
            .collect();
        println!(r#"{{"side": "{side}", "threads": {threads}, "nanoseconds": {each:?}}}"#);
    }
    Ok(())
}
