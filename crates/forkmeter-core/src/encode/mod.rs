//! Encoders: metric families in, expositions out.

mod number;

pub use number::{format_value, write_value};
