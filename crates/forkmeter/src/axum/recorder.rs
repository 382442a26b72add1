//! The families of a layer, and how a request is counted in them.

use std::sync::Arc;
use std::time::Duration;

use forkmeter_core::MultiprocessMode;
use forkmeter_core::metric::{
    Builder, Counter, DynFamily, Dynamic, Gauge, Histogram, InProgress, Metric, Result,
};
use http::{Method, StatusCode};

use super::options::{
    Excluded, FamilyOptions, HttpFamily, HttpLabel, HttpMetricsOptions, StatusLabel,
};

/// The status of a request that was dropped before there was a response.
const CANCELLED: &str = "cancelled";
const CLASSES: [&str; 10] = [
    "0xx", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx",
];

/// Counts requests; made once per layer.
#[derive(Debug)]
pub(super) struct Recorder {
    requests: Option<Measured<Counter>>,
    duration: Option<Measured<Histogram>>,
    in_progress: Option<Measured<Gauge>>,
    request_size: Option<Measured<Histogram>>,
    response_size: Option<Measured<Histogram>>,
    status: StatusLabel,
    unmatched: String,
    excluded: Excluded,
}

/// Is a family with the labels that it has.
#[derive(Debug)]
struct Measured<M> {
    family: DynFamily<M>,
    labels: Vec<HttpLabel>,
}

/// Says how a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a response.
    Response(StatusCode),
    /// With a panic or an error of the service.
    Failed,
    /// Nobody waited for the response.
    Cancelled,
}

/// Holds what is known of a request in the end.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) method: &'static str,
    pub(super) route: Option<&'a str>,
    pub(super) end: End,
    pub(super) duration: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

/// Holds a request's values of all labels.
#[derive(Clone, Copy, Debug)]
struct Values<'a> {
    method: &'a str,
    route: &'a str,
    status: &'a str,
}

impl Values<'_> {
    fn of(&self, label: HttpLabel) -> &str {
        match label {
            HttpLabel::Method => self.method,
            HttpLabel::Route => self.route,
            HttpLabel::Status => self.status,
        }
    }
}

impl<M: Metric> Measured<M> {
    /// Returns the series; there is always one, since values and labels are as many.
    fn series(&self, values: &Values<'_>) -> Option<M> {
        let mut all = [""; HttpLabel::ALL.len()];
        for (value, label) in all.iter_mut().zip(&self.labels) {
            *value = values.of(*label);
        }
        let given = all.get(..self.labels.len())?;
        self.family.try_with_label_values(given).ok()
    }
}

impl Recorder {
    /// Registers the families, or takes those that another layer registered alike.
    pub(super) fn new(options: HttpMetricsOptions) -> Result<Self> {
        let counter = |f: &FamilyOptions| Counter::builder(&f.name, "HTTP requests.");
        let gauge = |f: &FamilyOptions| {
            let help = "HTTP requests that are being answered.";
            Gauge::builder(&f.name, help).multiprocess_mode(MultiprocessMode::LiveSum)
        };
        let histogram = |help: &'static str, unit: &'static str, bounds: &[f64]| {
            let bounds = bounds.to_vec();
            move |f: &FamilyOptions| {
                let builder = Histogram::builder(&f.name, help).buckets(bounds);
                let has_unit = f.name.ends_with(&format!("_{unit}"));
                if has_unit {
                    builder.unit(unit)
                } else {
                    builder
                }
            }
        };
        let seconds = &*options.duration_buckets;
        let bytes = &*options.size_buckets;
        let time = "Time from an HTTP request to the end of its response.";
        let read = "What was read of the bodies of HTTP requests.";
        let sent = "What was taken of the bodies of HTTP responses.";
        Ok(Self {
            requests: measured(&options, HttpFamily::Requests, counter)?,
            in_progress: measured(&options, HttpFamily::InProgress, gauge)?,
            duration: measured(
                &options,
                HttpFamily::Duration,
                histogram(time, "seconds", seconds),
            )?,
            request_size: measured(
                &options,
                HttpFamily::RequestSize,
                histogram(read, "bytes", bytes),
            )?,
            response_size: measured(
                &options,
                HttpFamily::ResponseSize,
                histogram(sent, "bytes", bytes),
            )?,
            status: options.status,
            unmatched: options.unmatched,
            excluded: options.excluded,
        })
    }

    pub(super) fn excludes(&self, method: &Method, path: &str) -> bool {
        self.excluded.has(method, path)
    }

    /// Tells whether both count in the same families, so that a request which passes both should count once.
    pub(super) fn counts_with(&self, other: &Self) -> bool {
        fn key<M: Metric>(measured: Option<&Measured<M>>) -> Option<(*const (), &str)> {
            let family = &measured?.family;
            let store = Arc::as_ptr(family.store()).cast::<()>();
            Some((store, &family.descriptor().name))
        }
        std::ptr::eq(self, other)
            || key(self.requests.as_ref()) == key(other.requests.as_ref())
                && key(self.duration.as_ref()) == key(other.duration.as_ref())
                && key(self.in_progress.as_ref()) == key(other.in_progress.as_ref())
                && key(self.request_size.as_ref()) == key(other.request_size.as_ref())
                && key(self.response_size.as_ref()) == key(other.response_size.as_ref())
    }

    /// Counts a request as being answered until the guard is dropped.
    pub(super) fn begin(&self, method: &str, route: Option<&str>) -> Option<InProgress> {
        let values = Values {
            method,
            route: route.unwrap_or(&self.unmatched),
            status: "",
        };
        let series = self.in_progress.as_ref()?.series(&values)?;
        Some(series.track_in_progress())
    }

    /// Counts a request that ended.
    pub(super) fn end(&self, ended: &Ended<'_>) {
        let code = match ended.end {
            End::Response(code) => Some(code),
            End::Failed => Some(StatusCode::INTERNAL_SERVER_ERROR),
            End::Cancelled => None,
        };
        let status = match (&code, self.status) {
            (None, _) => CANCELLED,
            (Some(code), StatusLabel::Code) => code.as_str(),
            (Some(code), StatusLabel::Class) => {
                let class = usize::from(code.as_u16() / 100);
                CLASSES.get(class).copied().unwrap_or("0xx")
            }
        };
        let values = Values {
            method: ended.method,
            route: ended.route.unwrap_or(&self.unmatched),
            status,
        };
        if let Some(series) = self.requests.as_ref().and_then(|f| f.series(&values)) {
            series.inc();
        }
        let observe = |family: &Option<Measured<Histogram>>, value: f64| {
            if let Some(series) = family.as_ref().and_then(|f| f.series(&values)) {
                series.observe(value);
            }
        };
        observe(&self.duration, ended.duration.as_secs_f64());
        observe(&self.request_size, size(ended.request_bytes));
        observe(&self.response_size, size(ended.response_bytes));
    }
}

/// Registers a family, unless it is left out.
fn measured<M: Metric>(
    options: &HttpMetricsOptions,
    family: HttpFamily,
    builder: impl FnOnce(&FamilyOptions) -> Builder<M>,
) -> Result<Option<Measured<M>>> {
    let Some(family) = options.family(family) else {
        return Ok(None);
    };
    let names = family.labels.iter().map(|label| options.name_of(*label));
    let builder: Builder<M, Dynamic> = builder(&family).dynamic_labels(names);
    Ok(Some(Measured {
        family: builder.register_or_get(options.registry_or_default())?,
        labels: family.labels,
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a body of 9 petabytes may be off by a byte"
)]
fn size(bytes: u64) -> f64 {
    bytes as f64
}

/// Returns the label value of a method.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}
