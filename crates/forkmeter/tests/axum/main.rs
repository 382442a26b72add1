//! The HTTP layer, driven without sockets.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "counts are exact")]

mod app;
mod options;
mod property;
mod scrape;
mod server;
mod shapes;
