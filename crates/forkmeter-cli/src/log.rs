//! A small logger: one line per event on standard error.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::time::SystemTime;

use crate::escape::Terminal;

/// Names the form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Time, level, message, then name=value fields.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Says how much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Names and values that belong to an event.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a dyn fmt::Display)];

/// Writes events to standard error. Failing to write is not reported: there is nowhere left to say so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logger {
    format: Format,
}

impl Logger {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn info(self, message: &str, fields: Fields<'_>) {
        self.write(Level::Info, message, fields);
    }

    pub(crate) fn warn(self, message: &str, fields: Fields<'_>) {
        self.write(Level::Warn, message, fields);
    }

    pub(crate) fn error(self, message: &str, fields: Fields<'_>) {
        self.write(Level::Error, message, fields);
    }

    pub(crate) fn write(self, level: Level, message: &str, fields: Fields<'_>) {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut line = match self.format {
            Format::Text => text_line(&time, level, message, fields),
            Format::Json => json_line(&time, level, message, fields),
        };
        line.push('\n');
        // One call per line, so lines of several threads do not mix.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

fn text_line(time: &str, level: Level, message: &str, fields: Fields<'_>) -> String {
    let mut line = format!("{time} {:<5} {}", level.as_str(), Terminal(message));
    for (name, value) in fields {
        let value = value.to_string();
        let plain = !value.is_empty() && !value.contains([' ', '"', '=', '\\']);
        let quoted = if plain {
            value
        } else {
            format!("\"{}\"", value.replace('"', "\\\""))
        };
        let _ = write!(line, " {name}={}", Terminal(&quoted));
    }
    line
}

fn json_line(time: &str, level: Level, message: &str, fields: Fields<'_>) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".to_owned(), time.into());
    object.insert("level".to_owned(), level.as_str().into());
    object.insert("message".to_owned(), message.into());
    for (name, value) in fields {
        object.insert((*name).to_owned(), value.to_string().into());
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_quotes_and_escapes_values() {
        let line = text_line(
            "T",
            Level::Warn,
            "a file is skipped",
            &[("path", &"/a/b.db"), ("cause", &"bad \"key\"\n")],
        );
        assert_eq!(
            line,
            r#"T warn  a file is skipped path=/a/b.db cause="bad \"key\"\n""#
        );
    }

    #[test]
    fn json_is_one_object() {
        let line = json_line("T", Level::Info, "listening", &[("address", &"[::1]:1")]);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "info");
        assert_eq!(value["address"], "[::1]:1");
    }
}
