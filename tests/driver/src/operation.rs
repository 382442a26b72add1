//! What a worker can be told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// One line of standard input.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Goes on in another directory, with nothing declared.
    Begin { directory: PathBuf },
    /// Makes a family.
    Declare(Declaration),
    /// Makes a series and leaves it at zero.
    Touch(Target),
    /// Adds to a counter, a gauge or an untyped metric.
    Inc {
        #[serde(flatten)]
        target: Target,
        value: Number,
        #[serde(default)]
        exemplar: Option<BTreeMap<String, String>>,
    },
    /// Sets a gauge or an untyped metric.
    Set {
        #[serde(flatten)]
        target: Target,
        value: Number,
    },
    /// Observes a value.
    Observe {
        #[serde(flatten)]
        target: Target,
        value: Number,
        #[serde(default)]
        exemplar: Option<BTreeMap<String, String>>,
    },
    /// Sets the facts of an info metric.
    Facts {
        #[serde(flatten)]
        target: Target,
        facts: BTreeMap<String, String>,
    },
    /// Sets the state of a state set.
    State {
        #[serde(flatten)]
        target: Target,
        state: String,
    },
    /// Removes a series.
    Remove(Target),
    /// Answers with the process id, once everything before is done.
    Sync,
    /// Answers with the value that this process sees: a count of observations for histograms and summaries.
    Get(Target),
    /// Answers with the exposition that this process would give.
    Text {
        #[serde(default)]
        openmetrics: bool,
    },
    /// Answers with the number of series that are kept in memory, and why.
    Kept,
    /// Looks at the directory now.
    Refresh,
}

/// Describes a family.
#[derive(Debug, Deserialize)]
pub(crate) struct Declaration {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) help: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) mode: Option<String>,
    #[serde(default)]
    pub(crate) buckets: Option<Vec<Number>>,
    #[serde(default)]
    pub(crate) states: Vec<String>,
}

/// Names a series.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
}

/// A float; NaN and infinities are strings.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub(crate) struct Number(pub(crate) f64);

impl TryFrom<serde_json::Value> for Number {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let number = match &value {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        };
        number
            .map(Self)
            .ok_or_else(|| format!("{value} is no number"))
    }
}
