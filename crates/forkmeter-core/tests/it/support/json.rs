//! Families to and from the JSON of `tests/oracle/text_families.py`.

use forkmeter_core::{Exemplar, LabelSet, MetricFamily, Sample, Timestamp};
use serde_json::{Map, Value, json};

pub(crate) fn families_from_json(value: &Value) -> Vec<MetricFamily> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(family_from_json)
        .collect()
}

fn family_from_json(value: &Value) -> MetricFamily {
    let text = |name: &str| value[name].as_str().unwrap_or("");
    let mut family = MetricFamily::new(text("name"), text("help"), text("kind").parse().unwrap());
    family.unit = text("unit").into();
    family.samples = value["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(sample_from_json)
        .collect();
    family
}

fn sample_from_json(value: &Value) -> Sample {
    let name = value["name"].as_str().unwrap();
    let sample = Sample::new(
        name,
        labels_from_json(&value["labels"]),
        number(&value["value"]),
    );
    let exemplar = value.get("exemplar").filter(|exemplar| !exemplar.is_null());
    let exemplar = exemplar.map(|exemplar| Exemplar {
        labels: labels_from_json(&exemplar["labels"]),
        value: number(&exemplar["value"]),
        timestamp: timestamp_from_json(&exemplar["timestamp"]),
    });
    Sample {
        timestamp: timestamp_from_json(&value["timestamp"]),
        exemplar,
        ..sample
    }
}

fn labels_from_json(value: &Value) -> LabelSet {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn timestamp_from_json(value: &Value) -> Option<Timestamp> {
    if let Some(parts) = value["exact"].as_array() {
        return Some(Timestamp::Exact {
            seconds: parts[0].as_i64()?,
            nanoseconds: parts[1].as_i64()?.try_into().unwrap(),
        });
    }
    Some(Timestamp::Seconds(number(value.get("seconds")?)))
}

pub(crate) fn families_to_json(families: &[MetricFamily]) -> Value {
    families.iter().map(family_to_json).collect()
}

fn family_to_json(family: &MetricFamily) -> Value {
    json!({
        "name": &*family.name,
        "help": &*family.help,
        "kind": family.kind.as_str(),
        "unit": &*family.unit,
        "samples": family.samples.iter().map(sample_to_json).collect::<Value>(),
    })
}

fn sample_to_json(sample: &Sample) -> Value {
    let exemplar = sample.exemplar.as_ref().map(|exemplar| {
        json!({
            "labels": labels_to_json(&exemplar.labels),
            "value": exemplar.value.to_string(),
            "timestamp": timestamp_to_json(exemplar.timestamp),
        })
    });
    json!({
        "name": &*sample.name,
        "labels": labels_to_json(&sample.labels),
        "value": sample.value.to_string(),
        "timestamp": timestamp_to_json(sample.timestamp),
        "exemplar": exemplar,
    })
}

fn labels_to_json(labels: &LabelSet) -> Value {
    labels
        .iter()
        .map(|(n, v)| (n.to_owned(), v.into()))
        .collect::<Map<String, Value>>()
        .into()
}

fn timestamp_to_json(timestamp: Option<Timestamp>) -> Value {
    match timestamp {
        None => Value::Null,
        Some(Timestamp::Seconds(seconds)) => json!({ "seconds": seconds.to_string() }),
        Some(Timestamp::Exact {
            seconds,
            nanoseconds,
        }) => {
            json!({ "exact": [seconds, nanoseconds] })
        }
    }
}
