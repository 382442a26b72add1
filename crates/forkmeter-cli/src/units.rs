//! Numbers as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a time: a number of seconds, or numbers with their units.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let time = seconds.or_else(|_| humantime::parse_duration(text));
    time.map_err(|_| "not a time such as 30s, 10m or 1h30m".to_owned())
}

/// Formats a number with a comma between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a size with the greatest binary unit of which there is at least one.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn bytes(size_bytes: u64) -> String {
    if size_bytes < 1024 {
        return format!("{size_bytes} B");
    }
    let mut size = size_bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

/// Formats a short duration with three digits or so.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Formats how long ago `unix_seconds` was, with one unit, or a dash where it is no time.
pub(crate) fn age(unix_seconds: f64, now: SystemTime) -> String {
    let Some(then) = time(unix_seconds) else {
        return "-".to_owned();
    };
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Formats `unix_seconds` in UTC to the second, or as a dash where it is no time.
pub(crate) fn timestamp(unix_seconds: f64) -> String {
    match time(unix_seconds) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => "-".to_owned(),
    }
}

/// The times that have a four-digit year; a file may hold any float.
fn time(unix_seconds: f64) -> Option<SystemTime> {
    const LAST_SECONDS: f64 = 253_402_300_799.0;
    if !(unix_seconds > 0.0 && unix_seconds < LAST_SECONDS) {
        return None;
    }
    UNIX_EPOCH.checked_add(Duration::from_secs_f64(unix_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(duration(Duration::from_micros(42)), "42 µs");
        assert_eq!(duration(Duration::from_millis(1500)), "1.50 s");
    }

    #[test]
    fn times_are_told_apart_from_other_words() {
        let seconds = |text| parse_time(text).map(|time| time.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("0s"), Ok(0));
        for bad in ["", "soon", "-1s", "10x", "1e3"] {
            assert_eq!(
                seconds(bad),
                Err("not a time such as 30s, 10m or 1h30m".into()),
                "{bad}"
            );
        }
    }

    #[test]
    fn times_of_any_float_are_safe() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(age(1_000_000.0 - 90.0, now), "90 s ago");
        assert_eq!(age(1_000_000.0 - 7_200.0, now), "2 h ago");
        assert_eq!(age(2_000_000.0, now), "0 s ago");
        assert_eq!(timestamp(86_400.0), "1970-01-02T00:00:00Z");
        for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 253_402_300_799.0] {
            assert_eq!(timestamp(odd), "-");
            assert_eq!(age(odd, now), "-");
        }
    }
}
