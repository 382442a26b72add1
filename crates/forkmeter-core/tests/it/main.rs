//! Integration tests of forkmeter-core, one module per area.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]

mod encode;
mod number;
mod oracle;
mod support;
