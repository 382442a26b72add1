//! Durations and the present time as metric values: what the core, which reads no clock, leaves out.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forkmeter_core::metric::{Gauge, Histogram, Summary};

/// Is a metric that takes a number of seconds: observed by histograms and summaries, set by gauges.
pub trait TakesSeconds {
    /// Takes `seconds`.
    fn take_seconds(&self, seconds: f64);
}

impl TakesSeconds for Histogram {
    fn take_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

impl TakesSeconds for Summary {
    fn take_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

impl TakesSeconds for Gauge {
    fn take_seconds(&self, seconds: f64) {
        self.set(seconds);
    }
}

/// Measures how long something takes.
///
/// # Examples
///
/// A block, also one that awaits:
///
/// ```
/// use forkmeter::{Declare, Histogram, Timing};
///
/// let latency = Histogram::builder("handler_seconds", "Time to answer.").declare();
/// {
///     let _timer = latency.start_timer();
///     // ... what is measured ...
/// }
/// let answer = latency.time(|| 6 * 7);
/// assert_eq!((answer, latency.count()), (42, 2));
/// ```
pub trait Timing: TakesSeconds + Clone {
    /// Starts a timer whose duration is taken when it is dropped or stopped.
    fn start_timer(&self) -> Timer<Self> {
        Timer {
            metric: Some(self.clone()),
            start: Instant::now(),
        }
    }

    /// Calls `f` and takes how long that was, also where it panics.
    fn time<R>(&self, f: impl FnOnce() -> R) -> R {
        let _timer = self.start_timer();
        f()
    }
}

impl<M: TakesSeconds + Clone> Timing for M {}

/// Measures the time from its making to its end on a monotonic clock.
#[derive(Debug)]
#[must_use = "a timer that is dropped at once measures nothing"]
pub struct Timer<M: TakesSeconds> {
    metric: Option<M>,
    start: Instant,
}

impl<M: TakesSeconds> Timer<M> {
    /// Ends the timer and returns the duration that the metric took.
    pub fn stop(mut self) -> Duration {
        self.take()
    }

    /// Ends the timer without telling the metric, and returns the duration.
    pub fn discard(mut self) -> Duration {
        self.metric = None;
        self.start.elapsed()
    }

    fn take(&mut self) -> Duration {
        let elapsed = self.start.elapsed();
        if let Some(metric) = self.metric.take() {
            metric.take_seconds(elapsed.as_secs_f64());
        }
        elapsed
    }
}

impl<M: TakesSeconds> Drop for Timer<M> {
    fn drop(&mut self) {
        self.take();
    }
}

/// Sets gauges to the present time.
pub trait SetToCurrentTime {
    /// Sets the gauge to the Unix time in seconds.
    fn set_to_current_time(&self);
}

impl SetToCurrentTime for Gauge {
    fn set_to_current_time(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.set(since.map_or(0.0, |since| since.as_secs_f64()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::single_process_registry;

    #[test]
    fn a_timer_tells_its_metric_once_or_not_at_all() {
        let registry = single_process_registry();
        let histogram = Histogram::builder("h", "").register(&registry).unwrap();
        let stopped = histogram.start_timer().stop();
        assert_eq!(histogram.count(), 1);
        assert!((histogram.sum() - stopped.as_secs_f64()).abs() < 1e-9);
        drop(histogram.start_timer());
        assert_eq!(histogram.count(), 2);
        histogram.start_timer().discard();
        assert_eq!(histogram.count(), 2);
        let summary = Summary::builder("s", "").register(&registry).unwrap();
        let timed = summary.clone();
        assert!(
            std::thread::spawn(move || timed.time(|| panic!("on purpose")))
                .join()
                .is_err()
        );
        assert_eq!(summary.count(), 1);
    }

    #[test]
    fn a_gauge_takes_durations_and_the_present_time() {
        let registry = single_process_registry();
        let gauge = Gauge::builder("g", "").register(&registry).unwrap();
        gauge.set(-1.0);
        gauge.time(|| ());
        assert!(gauge.get() >= 0.0);
        gauge.set_to_current_time();
        assert!(gauge.get() > 1.7e9, "{}", gauge.get());
    }
}
