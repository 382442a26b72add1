//! Any bytes go through the text parser without a panic, and what it accepts survives the encoder.

use forkmeter_core::encode::{Escaping, Format, encode};
use forkmeter_core::parse;

pub(crate) fn run(data: &[u8]) {
    let families = match parse::text(data) {
        Ok(families) => families,
        Err(error) => {
            assert!(error.line() >= 1);
            assert!(error.to_string().starts_with("line "));
            return;
        }
    };
    for format in [
        Format::Text004,
        Format::Text100 {
            escaping: Escaping::AllowUtf8,
        },
    ] {
        let mut out = Vec::new();
        // A huge timestamp may overflow; the exposition is complete all the same.
        let _ = encode(&families, format, &mut out);
        assert!(std::str::from_utf8(&out).is_ok());
        // Underscores may make two label names one, so only the other escaping can be read back for sure.
        if format != Format::Text004
            && let Err(error) = parse::text(&out)
        {
            panic!("{error} in {:?}", String::from_utf8_lossy(&out));
        }
    }
}
