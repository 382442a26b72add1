//! Numbers as the official Python client writes them.

/// Returns `value` as text; see [`write_value`].
pub fn format_value(value: f64) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// Appends `value` to `out` as `prometheus_client.utils.floatToGoString` does.
pub fn write_value(value: f64, out: &mut String) {
    use std::fmt::Write;
    let _ = if value == f64::INFINITY {
        out.write_str("+Inf")
    } else {
        write!(out, "{value:?}")
    };
}
