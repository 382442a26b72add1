//! `forkmeter dump`: prints the merged metrics of a directory once.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use forkmeter_core::{Exemplar, LabelSet, MetricFamily, Sample};
use forkmeter_shm::published;
use forkmeter_shm::reader::{DirectoryReader, FileReport, FileState};
use serde::{Serialize, Serializer};

use crate::error::{Error, check_directory};
use crate::escape::Terminal;
use crate::exposition::{self, Exposition};
use crate::output;

/// Print the merged metrics of a directory once.
///
/// Files that cannot be read, or only in part, are named on standard error and the rest is printed.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory that the workers count in (their PROMETHEUS_MULTIPROC_DIR)
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  forkmeter dump /run/app | grep http_requests
  forkmeter dump /run/app --format openmetrics > metrics.txt
  forkmeter dump /run/app --format json | jq '.families[].name'";

/// Names what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The Prometheus text format, version 0.0.4
    Text,
    /// OpenMetrics 1.0
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// One JSON object; NaN and infinities are strings
    Json,
}

/// Reads the directory, warns of bad files and prints the rest.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_directory(&args.directory)?;
    let mut snapshot = DirectoryReader::new(&args.directory).read();
    published::add_to(&mut snapshot, &args.directory);
    warn_of_bad_files(&snapshot.report.files);
    let exposition = match args.format {
        Format::Text => exposition::text(&snapshot.families),
        Format::OpenMetrics => exposition::openmetrics(&snapshot.families),
        Format::Json => Exposition {
            bytes: json(&snapshot.families)?,
            left_out: None,
        },
    };
    if let Some(error) = exposition.left_out {
        let text = error.to_string();
        // The metrics matter more than the warning.
        let _ = writeln!(
            io::stderr().lock(),
            "forkmeter: warning: {}",
            Terminal(&text)
        );
    }
    output::print(&exposition.bytes)
}

/// Names every file that did not give all it should, on standard error.
fn warn_of_bad_files(files: &[FileReport]) {
    let mut err = io::stderr().lock();
    for file in files.iter().filter(|file| file.state != FileState::Ok) {
        let path = file.path.display().to_string();
        let state = file.state.as_str();
        // The metrics matter more than the warning.
        let _ = writeln!(
            err,
            "forkmeter: warning: {}: {state}: {}",
            Terminal(&path),
            Terminal(&file.cause)
        );
    }
}

fn json(families: &[Arc<MetricFamily>]) -> Result<Vec<u8>, Error> {
    let families = families
        .iter()
        .map(|family| JsonFamily::new(family))
        .collect();
    let mut text =
        serde_json::to_vec(&JsonDump { families }).map_err(|e| Error::Encode(e.into()))?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Serialize)]
struct JsonDump<'a> {
    families: Vec<JsonFamily<'a>>,
}

#[derive(Serialize)]
struct JsonFamily<'a> {
    name: &'a str,
    help: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    unit: &'a str,
    samples: Vec<JsonSample<'a>>,
}

#[derive(Serialize)]
struct JsonSample<'a> {
    name: &'a str,
    labels: JsonLabels<'a>,
    value: JsonNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_seconds: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exemplar: Option<JsonExemplar<'a>>,
}

#[derive(Serialize)]
struct JsonExemplar<'a> {
    labels: JsonLabels<'a>,
    value: JsonNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_seconds: Option<JsonNumber>,
}

struct JsonLabels<'a>(&'a LabelSet);

impl Serialize for JsonLabels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// A float; JSON has no NaN and no infinities, so those are the strings of the text format.
struct JsonNumber(f64);

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.serialize_str(&forkmeter_core::encode::format_value(self.0))
        }
    }
}

impl<'a> JsonFamily<'a> {
    fn new(family: &'a MetricFamily) -> Self {
        Self {
            name: &family.name,
            help: &family.help,
            kind: family.kind.as_str(),
            unit: &family.unit,
            samples: family.samples.iter().map(JsonSample::new).collect(),
        }
    }
}

impl<'a> JsonSample<'a> {
    fn new(sample: &'a Sample) -> Self {
        Self {
            name: &sample.name,
            labels: JsonLabels(&sample.labels),
            value: JsonNumber(sample.value),
            timestamp_seconds: sample.timestamp.map(|time| JsonNumber(time.as_seconds())),
            exemplar: sample.exemplar.as_ref().map(JsonExemplar::new),
        }
    }
}

impl<'a> JsonExemplar<'a> {
    fn new(exemplar: &'a Exemplar) -> Self {
        Self {
            labels: JsonLabels(&exemplar.labels),
            value: JsonNumber(exemplar.value),
            timestamp_seconds: exemplar.timestamp.map(|time| JsonNumber(time.as_seconds())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forkmeter_core::MetricType;

    #[test]
    fn json_holds_any_float() {
        let mut family = MetricFamily::new("g", "h \"x\"", MetricType::Gauge);
        for value in [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            family.samples.push(Sample::new(
                "g",
                LabelSet::from_pairs([("a", "é\n")]),
                value,
            ));
        }
        let value: serde_json::Value =
            serde_json::from_slice(&json(&[Arc::new(family)]).unwrap()).unwrap();
        let samples = value["families"][0]["samples"].as_array().unwrap();
        let values: Vec<_> = samples
            .iter()
            .map(|sample| sample["value"].to_string())
            .collect();
        assert_eq!(values, ["1.0", "\"NaN\"", "\"+Inf\"", "\"-Inf\""]);
        assert_eq!(samples[0]["labels"]["a"], "é\n");
    }
}
