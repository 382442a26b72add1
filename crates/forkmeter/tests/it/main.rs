//! Integration tests of the user crate; one binary, so that they link once.

#![allow(clippy::float_cmp, reason = "values are exact")]

mod process;
