//! Expositions of the default registry.

use forkmeter_core::encode::{Format, negotiate};
use forkmeter_core::registry::{Exposition, Gather};

use crate::global::default_registry;

/// Answers a scrape of the default registry in the format that the `Accept` header of the request asks for.
///
/// Never fails as a whole: what could not be collected is named in [`Exposition::errors`], for a log.
///
/// # Examples
///
/// ```
/// let answer = forkmeter::expose(Some("application/openmetrics-text;version=1.0.0"));
/// assert!(answer.content_type.starts_with("application/openmetrics-text"));
/// assert!(answer.body.ends_with(b"# EOF\n"));
/// ```
pub fn expose(accept_header: Option<&str>) -> Exposition {
    default_registry().expose(negotiate(accept_header))
}

/// Returns the default registry in the text format 0.0.4, for a terminal or a test.
///
/// # Examples
///
/// ```
/// use forkmeter::{Counter, Declare};
///
/// Counter::builder("printed", "Pages printed.").declare().inc();
/// assert!(forkmeter::text().contains("printed_total 1.0\n"));
/// ```
pub fn text() -> String {
    let body = default_registry().expose(Format::Text004).body;
    String::from_utf8_lossy(&body).into_owned()
}
