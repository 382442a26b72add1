//! Gathering: collects everything, checks it, and puts it together.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::forgetful::forget;
use super::{Collector, Registry, RestrictedRegistry, State, What, target_info_family};
use crate::encode::{Encoding, Format, encode};
use crate::model::{LabelSet, MetricFamily, Sample};
use crate::store::Collected;

/// Is a registry or a view of one: what an exposition is made from.
pub trait Gather: Send + Sync {
    /// Collects the families to expose.
    fn gather(&self) -> Collected;

    /// Collects the families and encodes them.
    ///
    /// What could not be collected or written is left out of the body and named in the errors; the body is a
    /// complete exposition even so.
    fn expose(&self, format: Format) -> Exposition {
        let Collected {
            families,
            mut errors,
        } = self.gather();
        let mut body = Vec::new();
        if let Err(error) = encode(&families, format, &mut body) {
            errors.push(error.to_string());
        }
        Exposition {
            content_type: format.content_type(),
            body,
            errors,
        }
    }
}

/// Holds the answer to a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposition {
    /// The value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The encoded families.
    pub body: Vec<u8>,
    /// What was left out and why, in words for a log.
    pub errors: Vec<String>,
}

impl Gather for Registry {
    fn gather(&self) -> Collected {
        Registry::gather(self)
    }

    /// As for any, but the store writes its families itself, which need not be made into samples for it.
    fn expose(&self, format: Format) -> Exposition {
        expose(self, format)
    }
}

impl Gather for RestrictedRegistry {
    fn gather(&self) -> Collected {
        RestrictedRegistry::gather(self)
    }
}

/// Gathers all, or only samples with the names in `wanted`.
pub(super) fn gather(registry: &Registry, wanted: Option<&HashSet<Box<str>>>) -> Collected {
    let (collectors, hidden, target_info) = registry.locked(|state| {
        (
            collectors(state, wanted),
            state.hidden.clone(),
            state.target_info.clone(),
        )
    });
    let mut stored = match wanted {
        Some(names) => registry.store.collect_named(names),
        None => registry.store.collect(),
    };
    forget(registry, &mut stored.families);
    let mut result = Collected {
        families: Vec::new(),
        errors: stored.errors,
    };
    if !target_info.is_empty() {
        result.families.push(target_info_family(target_info));
    }
    let visible = |family: &MetricFamily| !hidden.contains(&family.name);
    result
        .families
        .extend(stored.families.into_iter().filter(visible));
    if !collectors.is_empty() {
        let mut sum = Sum::new(result);
        for collector in &collectors {
            sum.add_answer(ask(&**collector), &registry.const_labels);
        }
        result = sum.result;
    }
    if let Some(wanted) = wanted {
        let families = result.families.iter();
        result.families = families
            .filter_map(|family| family.restricted(&|name| wanted.contains(name)))
            .collect();
    }
    result
}

/// Encodes what [`gather`] returns for all names.
fn expose(registry: &Registry, format: Format) -> Exposition {
    if registry.has_forgetful() {
        // What is idle shows in samples only.
        forget(registry, &mut registry.store.collect().families);
    }
    let (collectors, hidden, target_info) = registry.locked(|state| {
        (
            collectors(state, None),
            state.hidden.clone(),
            state.target_info.clone(),
        )
    });
    let target_info = (!target_info.is_empty()).then(|| target_info_family(target_info));
    let mut names: HashSet<Arc<str>> = target_info.iter().map(|f| Arc::clone(&f.name)).collect();
    let mut body = Vec::new();
    let mut encoding = Encoding::new(format, &mut body);
    encoding.families(&target_info);
    let mut is_visible = |name: &Arc<str>| {
        let is_visible = !hidden.contains(name);
        if is_visible && !collectors.is_empty() {
            names.insert(Arc::clone(name));
        }
        is_visible
    };
    let mut errors = registry.store.encode_into(&mut is_visible, &mut encoding);
    let answers: Vec<_> = collectors.iter().map(|one| ask(&**one)).collect();
    let mut collected = answers.iter().flatten().flatten();
    if collected.any(|family| names.contains(&family.name)) {
        // The samples of both stand together, so those of the store are needed as samples after all.
        body.clear();
        encoding = Encoding::new(format, &mut body);
        let Collected {
            families,
            errors: again,
        } = registry.store.collect();
        errors = again;
        let visible = families.into_iter().filter(|f| !hidden.contains(&f.name));
        let families = target_info.into_iter().chain(visible).collect();
        let base = Collected { families, errors };
        errors = add_answers(base, answers, registry, &mut encoding);
    } else if !answers.is_empty() {
        let base = Collected {
            families: Vec::new(),
            errors,
        };
        errors = add_answers(base, answers, registry, &mut encoding);
    }
    if let Err(error) = encoding.finish() {
        errors.push(error.to_string());
    }
    Exposition {
        content_type: format.content_type(),
        body,
        errors,
    }
}

/// Encodes the sum of the families that are there and collectors' answers, and returns all errors.
fn add_answers(
    base: Collected,
    answers: Vec<Answer>,
    registry: &Registry,
    encoding: &mut Encoding<'_>,
) -> Vec<String> {
    let mut sum = Sum::new(base);
    for answer in answers {
        sum.add_answer(answer, &registry.const_labels);
    }
    encoding.families(&sum.result.families);
    sum.result.errors
}

/// Is what a collector yielded, or how it panicked.
type Answer = std::result::Result<Vec<MetricFamily>, String>;

fn ask(collector: &dyn Collector) -> Answer {
    catch_unwind(AssertUnwindSafe(|| collector.collect())).map_err(|payload| {
        let cause = payload.downcast_ref::<&str>().copied();
        let cause = cause.or_else(|| payload.downcast_ref::<String>().map(|s| &**s));
        let cause = cause.unwrap_or("of unknown cause");
        format!("collector {collector:?} panicked: {cause}")
    })
}

fn collectors(state: &State, wanted: Option<&HashSet<Box<str>>>) -> Vec<Arc<dyn Collector>> {
    let entries = state.entries.values().filter(|entry| {
        let names = &entry.names;
        wanted.is_none_or(|wanted| names.is_empty() || names.iter().any(|n| wanted.contains(&**n)))
    });
    let collectors = entries.filter_map(|entry| match &entry.what {
        What::Collector(collector) => Some(Arc::clone(collector)),
        _ => None,
    });
    collectors.collect()
}

/// Puts collectors' families behind those that are there.
struct Sum {
    result: Collected,
    /// Where the family of a name stands.
    positions: HashMap<Arc<str>, usize>,
    /// The series of the families that a collector yielded, by the family's position; filled when first needed.
    series: HashMap<usize, HashSet<(Arc<str>, LabelSet)>>,
}

impl Sum {
    fn new(result: Collected) -> Self {
        let families = result.families.iter().enumerate();
        let positions = families
            .map(|(position, f)| (Arc::clone(&f.name), position))
            .collect();
        Self {
            result,
            positions,
            series: HashMap::new(),
        }
    }

    fn add_answer(&mut self, answer: Answer, const_labels: &LabelSet) {
        match answer {
            Ok(families) => families
                .into_iter()
                .for_each(|family| self.add(family, const_labels)),
            Err(text) => self.result.errors.push(text),
        }
    }

    fn add(&mut self, family: MetricFamily, const_labels: &LabelSet) {
        let families = &mut self.result.families;
        let position = match self.positions.entry(Arc::clone(&family.name)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                families.push(MetricFamily {
                    samples: Vec::new(),
                    ..family.clone()
                });
                *free.insert(families.len() - 1)
            }
        };
        let target = &mut families[position];
        if target.kind != family.kind {
            self.result.errors.push(format!(
                "family {:?} was collected as {} and as {}: the second one is left out",
                family.name, target.kind, family.kind
            ));
            return;
        }
        let series = self.series.entry(position).or_insert_with(|| {
            target
                .samples
                .iter()
                .map(|s| (Arc::clone(&s.name), s.labels.clone()))
                .collect()
        });
        for sample in family.samples {
            let labels = with_outer(&sample.labels, const_labels);
            if series.insert((Arc::clone(&sample.name), labels.clone()))
                || sample.timestamp.is_some()
            {
                target.samples.push(Sample { labels, ..sample });
            } else {
                let text = format!("series {}{labels:?} was collected twice", sample.name);
                self.result.errors.push(text);
            }
        }
    }
}

/// Returns `labels` with those of `outer` that it does not have.
fn with_outer(labels: &LabelSet, outer: &LabelSet) -> LabelSet {
    if outer.is_empty() {
        return labels.clone();
    }
    let both = outer.iter_shared().chain(labels.iter_shared());
    both.map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
        .collect()
}
