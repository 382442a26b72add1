//! What a layer measures, and under which names.

use std::collections::BTreeMap;

use forkmeter_core::metric::{DEFAULT_UPPER_BOUNDS, exponential_bounds};
use forkmeter_core::registry::Registry;
use http::Method;

use crate::global::default_registry;

/// Names a family that a layer can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HttpFamily {
    /// How many requests there were.
    Requests,
    /// How long they took, in seconds.
    Duration,
    /// How many are being answered.
    InProgress,
    /// How large their bodies were.
    RequestSize,
    /// How large the bodies of the responses were.
    ResponseSize,
}

impl HttpFamily {
    const ALL: [Self; 5] = [
        Self::Requests,
        Self::Duration,
        Self::InProgress,
        Self::RequestSize,
        Self::ResponseSize,
    ];

    const fn default_name(self) -> &'static str {
        match self {
            Self::Requests => "http_requests",
            Self::Duration => "http_request_duration_seconds",
            Self::InProgress => "http_requests_in_progress",
            Self::RequestSize => "http_request_size_bytes",
            Self::ResponseSize => "http_response_size_bytes",
        }
    }
}

/// Names a label by what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HttpLabel {
    /// The method.
    Method,
    /// The template of the route.
    Route,
    /// The status. Of requests that are in progress nobody knows it, so that family never has this label.
    Status,
}

impl HttpLabel {
    pub(super) const ALL: [Self; 3] = [Self::Method, Self::Route, Self::Status];

    const fn default_name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Route => "route",
            Self::Status => "status",
        }
    }
}

/// Says how the status is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusLabel {
    /// `404`.
    #[default]
    Code,
    /// `4xx`.
    Class,
}

/// Says what an [`HttpMetricsLayer`](super::HttpMetricsLayer) measures, where, and under which names.
///
/// # Examples
///
/// As `prometheus-fastapi-instrumentator` names things:
///
/// ```
/// use forkmeter::axum::{HttpFamily, HttpLabel, HttpMetricsLayer, HttpMetricsOptions, StatusLabel};
///
/// let options = HttpMetricsOptions::new()
///     .label_name(HttpLabel::Route, "handler")
///     .status(StatusLabel::Class)
///     .labels(HttpFamily::Duration, [HttpLabel::Method, HttpLabel::Route])
///     .labels(HttpFamily::RequestSize, [HttpLabel::Route])
///     .labels(HttpFamily::ResponseSize, [HttpLabel::Route])
///     .without(HttpFamily::InProgress)
///     .unmatched("none")
///     .exclude_paths(["/metrics", "/static/*"]);
/// # let registry = forkmeter::single_process_registry();
/// # let options = options.registry(&registry);
/// let layer = HttpMetricsLayer::with_options(options)?;
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a layer is made with them"]
pub struct HttpMetricsOptions {
    registry: Option<Registry>,
    families: BTreeMap<HttpFamily, FamilyOptions>,
    label_names: BTreeMap<HttpLabel, String>,
    pub(super) status: StatusLabel,
    pub(super) unmatched: String,
    pub(super) duration_buckets: Vec<f64>,
    pub(super) size_buckets: Vec<f64>,
    pub(super) excluded: Excluded,
}

/// Says what a family is called, and which labels it has.
#[derive(Clone, Debug)]
pub(super) struct FamilyOptions {
    pub(super) name: String,
    pub(super) labels: Vec<HttpLabel>,
}

/// Names requests that are not measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Excluded {
    paths: Vec<String>,
    methods: Vec<Method>,
}

impl HttpMetricsOptions {
    /// Returns what [`HttpMetricsLayer::new`](super::HttpMetricsLayer::new) does.
    pub fn new() -> Self {
        let family = |family: HttpFamily| FamilyOptions {
            name: family.default_name().into(),
            labels: HttpLabel::ALL.into(),
        };
        let families = HttpFamily::ALL.map(|f| (f, family(f)));
        Self {
            registry: None,
            families: families.into(),
            label_names: HttpLabel::ALL.map(|l| (l, l.default_name().into())).into(),
            status: StatusLabel::default(),
            unmatched: "unmatched".into(),
            duration_buckets: DEFAULT_UPPER_BOUNDS.into(),
            size_buckets: exponential_bounds(100.0, 10.0, 7),
            excluded: Excluded::default(),
        }
    }

    /// Sets the registry; the default one when not called. Constant labels of the handle are on all families.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what a family is called.
    pub fn name(mut self, family: HttpFamily, name: &str) -> Self {
        self.family_mut(family).name = name.into();
        self
    }

    /// Sets which labels a family has, each once.
    pub fn labels(
        mut self,
        family: HttpFamily,
        labels: impl IntoIterator<Item = HttpLabel>,
    ) -> Self {
        self.family_mut(family).labels = labels.into_iter().collect();
        self
    }

    /// Leaves a family out.
    pub fn without(mut self, family: HttpFamily) -> Self {
        self.families.remove(&family);
        self
    }

    /// Sets what a label is called, in all families.
    pub fn label_name(mut self, label: HttpLabel, name: &str) -> Self {
        self.label_names.insert(label, name.into());
        self
    }

    /// Sets how the status is written.
    pub fn status(mut self, status: StatusLabel) -> Self {
        self.status = status;
        self
    }

    /// Sets the route of requests that no route matches; `unmatched` when not called.
    pub fn unmatched(mut self, route: &str) -> Self {
        self.unmatched = route.into();
        self
    }

    /// Sets the upper bounds of durations, in seconds.
    pub fn duration_buckets(mut self, upper_bounds: impl IntoIterator<Item = f64>) -> Self {
        self.duration_buckets = upper_bounds.into_iter().collect();
        self
    }

    /// Sets the upper bounds of sizes, in bytes; powers of ten from 100 to 100 million when not called.
    pub fn size_buckets(mut self, upper_bounds: impl IntoIterator<Item = f64>) -> Self {
        self.size_buckets = upper_bounds.into_iter().collect();
        self
    }

    /// Leaves requests for these paths out, also from what is in progress. A path that ends in `*` means all that
    /// start with what stands before. Compared with the path that the client sent, nested routers or not.
    pub fn exclude_paths<T: AsRef<str>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned());
        self.excluded.paths.extend(paths);
        self
    }

    /// Leaves requests with these methods out, also from what is in progress.
    pub fn exclude_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.excluded.methods.extend(methods);
        self
    }

    fn family_mut(&mut self, family: HttpFamily) -> &mut FamilyOptions {
        let families = self.families.entry(family);
        families.or_insert_with(|| FamilyOptions {
            name: family.default_name().into(),
            labels: HttpLabel::ALL.into(),
        })
    }

    /// Returns the registry that was set, or else the default one.
    pub(super) fn registry_or_default(&self) -> &Registry {
        match &self.registry {
            Some(registry) => registry,
            None => default_registry(),
        }
    }

    /// Returns name and labels of a family that is measured.
    pub(super) fn family(&self, family: HttpFamily) -> Option<FamilyOptions> {
        let mut options = self.families.get(&family)?.clone();
        if family == HttpFamily::InProgress {
            options.labels.retain(|label| *label != HttpLabel::Status);
        }
        Some(options)
    }

    pub(super) fn name_of(&self, label: HttpLabel) -> &str {
        let name = self.label_names.get(&label);
        name.map_or(label.default_name(), |name| name)
    }
}

impl Default for HttpMetricsOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Excluded {
    pub(super) fn has(&self, method: &Method, path: &str) -> bool {
        let is_path = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == pattern,
        };
        self.methods.contains(method) || self.paths.iter().any(is_path)
    }
}
