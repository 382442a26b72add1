//! Times closures of some nanoseconds in turns, for `benches/rust.py`.

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 41;
const CALLS: u32 = 200_000;

/// Is one side of a comparison: what it does `CALLS` times, in each of its threads.
pub(crate) type Side<'a> = &'a (dyn Fn(u32) + Sync);

/// Returns for each side the nanoseconds that one call takes in each round, without those of an empty loop.
///
/// With several threads it is the time of the round that counts, divided by the calls of one thread.
pub(crate) fn nanoseconds<const N: usize>(sides: [Side<'_>; N], threads: usize) -> [Vec<f64>; N] {
    let mut taken = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (side, taken) in sides.iter().zip(&mut taken) {
            let nothing = round(
                &|calls| {
                    for call in 0..calls {
                        black_box(call);
                    }
                },
                threads,
            );
            taken.push((round(*side, threads) - nothing) / f64::from(CALLS));
        }
    }
    taken
}

fn round(side: Side<'_>, threads: usize) -> f64 {
    if threads == 1 {
        let begin = Instant::now();
        side(CALLS);
        return begin.elapsed().as_secs_f64() * 1e9;
    }
    let barrier = std::sync::Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let begin = Instant::now();
                    side(CALLS);
                    begin.elapsed().as_secs_f64() * 1e9
                })
            })
            .collect();
        barrier.wait();
        let times = running.into_iter().filter_map(|thread| thread.join().ok());
        times.fold(0.0, f64::max)
    })
}
