//! Any bytes go through the OpenMetrics parser without a panic, and what it accepts survives the encoder.

use forkmeter_core::encode::{Escaping, Format, encode};
use forkmeter_core::{Timestamp, parse};

pub(crate) fn run(data: &[u8]) {
    let families = match parse::openmetrics(data) {
        Ok(families) => families,
        Err(error) => {
            assert!(error.line() >= 1);
            assert!(error.to_string().starts_with("line "));
            return;
        }
    };
    let mut out = Vec::new();
    let format = Format::OpenMetrics100 {
        escaping: Escaping::AllowUtf8,
    };
    if let Err(error) = encode(&families, format, &mut out) {
        panic!("{error}");
    }
    // Float times lose what lies beyond nanoseconds when they are read again, and with it perhaps their order.
    let has_float_times = families
        .iter()
        .flat_map(|family| &family.samples)
        .any(|sample| matches!(sample.timestamp, Some(Timestamp::Seconds(_))));
    match parse::openmetrics(&out) {
        Err(error) if !has_float_times => {
            panic!("{error} in {:?}", String::from_utf8_lossy(&out));
        }
        _ => {}
    }
}
