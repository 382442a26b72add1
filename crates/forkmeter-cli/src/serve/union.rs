//! Makes one list of families out of those of several directories.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forkmeter_core::{LabelSet, MetricFamily, Sample};

use crate::overview::inner_label;

/// Holds what one directory has.
#[derive(Debug)]
pub(crate) struct Source {
    /// The labels that every series gets.
    pub(crate) labels: LabelSet,
    /// The families.
    pub(crate) families: Vec<Arc<MetricFamily>>,
}

/// Says that something of one source was left out, so that the exposition stays valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conflict {
    /// The index of the source that lost.
    pub(crate) source: usize,
    /// The family.
    pub(crate) family: Arc<str>,
    /// Why.
    pub(crate) reason: Reason,
    /// How many samples were left out.
    pub(crate) samples: usize,
}

/// Says why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// An earlier source has the family with another type.
    Type,
    /// An earlier source, or the exporter itself, has another family that exposes the same name.
    Name,
    /// An earlier source has series with the same labels.
    Duplicate,
}

impl Reason {
    pub(crate) const ALL: [Self; 3] = [Self::Type, Self::Name, Self::Duplicate];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type_conflict",
            Self::Name => "name_conflict",
            Self::Duplicate => "duplicate_series",
        }
    }
}

/// Merges `sources` by family name, in order of first appearance; earlier sources win conflicts.
///
/// Names that `reserved` accepts belong to the exporter itself.
pub(crate) fn union(
    sources: Vec<Source>,
    reserved: impl Fn(&str) -> bool,
) -> (Vec<Arc<MetricFamily>>, Vec<Conflict>) {
    let mut union = Union {
        several: sources.len() > 1,
        ..Union::default()
    };
    let labels: Vec<LabelSet> = sources.iter().map(|source| source.labels.clone()).collect();
    for (index, source) in sources.into_iter().enumerate() {
        for mut family in source.families {
            if !source.labels.is_empty() {
                // Copies the family, which is the reader's as well.
                for sample in &mut Arc::make_mut(&mut family).samples {
                    relabel(sample, &source.labels);
                }
            }
            if claims(&family).iter().any(|name| reserved(name)) {
                union.conflict(index, &family.name, Reason::Name, family.samples.len());
            } else {
                union.add(index, family, &labels);
            }
        }
    }
    (union.families, union.conflicts)
}

#[derive(Default)]
struct Union {
    several: bool,
    families: Vec<Arc<MetricFamily>>,
    /// By family: the sources that gave it samples.
    origins: Vec<Vec<usize>>,
    /// By exposed name, a family's own included: the family.
    claims: HashMap<Arc<str>, usize>,
    conflicts: Vec<Conflict>,
}

impl Union {
    fn conflict(&mut self, source: usize, family: &Arc<str>, reason: Reason, samples: usize) {
        self.conflicts.push(Conflict {
            source,
            family: Arc::clone(family),
            reason,
            samples,
        });
    }

    fn add(&mut self, source: usize, mut family: Arc<MetricFamily>, labels: &[LabelSet]) {
        if !self.several {
            self.families.push(family);
            return;
        }
        let claims = claims(&family);
        let known = self.claims.get(&family.name).copied();
        let known = known.filter(|&index| self.families[index].name == family.name);
        // Within one source, overlapping names are not the union's business.
        let foreign = |&index: &usize| {
            Some(index) != known && self.origins[index].iter().any(|&o| o != source)
        };
        if claims
            .iter()
            .filter_map(|name| self.claims.get(name))
            .any(foreign)
        {
            self.conflict(source, &family.name, Reason::Name, family.samples.len());
            return;
        }
        let Some(index) = known else {
            self.claim(claims, self.families.len());
            self.families.push(family);
            self.origins.push(vec![source]);
            return;
        };
        if self.families[index].kind != family.kind {
            self.conflict(source, &family.name, Reason::Type, family.samples.len());
            return;
        }
        let rivals = self.origins[index]
            .iter()
            .filter(|&&origin| !told_apart(&labels[origin], &labels[source]));
        if rivals.count() > 0 {
            let left_out = drop_known_series(&self.families[index], Arc::make_mut(&mut family));
            if left_out > 0 {
                self.conflict(source, &family.name, Reason::Duplicate, left_out);
            }
        }
        self.claim(claims, index);
        self.origins[index].push(source);
        let family = Arc::unwrap_or_clone(family);
        let merged = Arc::make_mut(&mut self.families[index]);
        merged.samples.extend(family.samples);
        if merged.unit.is_empty() {
            merged.unit = family.unit;
        }
    }

    fn claim(&mut self, names: Vec<Arc<str>>, index: usize) {
        for name in names {
            self.claims.entry(name).or_insert(index);
        }
    }
}

/// Returns the family's name and those of its samples, each at least once.
fn claims(family: &MetricFamily) -> Vec<Arc<str>> {
    let mut names = vec![Arc::clone(&family.name)];
    for sample in &family.samples {
        if !names.contains(&sample.name) {
            names.push(Arc::clone(&sample.name));
        }
    }
    names
}

/// Adds `labels`; a label of the sample that is in the way is renamed as Prometheus does on a scrape.
fn relabel(sample: &mut Sample, labels: &LabelSet) {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> =
        Vec::with_capacity(sample.labels.len() + labels.len());
    for (name, value) in sample.labels.iter_shared() {
        let mut name = Arc::clone(name);
        if labels.get(&name).is_some() {
            while labels.get(&name).is_some() || sample.labels.get(&name).is_some() {
                name = format!("exported_{name}").into();
            }
        }
        pairs.push((name, Arc::clone(value)));
    }
    pairs.extend(
        labels
            .iter_shared()
            .map(|(name, value)| (Arc::clone(name), Arc::clone(value))),
    );
    sample.labels = LabelSet::from_pairs(pairs);
}

/// Tells whether no series of the one can have the labels of a series of the other.
pub(crate) fn told_apart(a: &LabelSet, b: &LabelSet) -> bool {
    a.iter()
        .any(|(name, value)| b.get(name).is_some_and(|other| other != value))
}

/// Removes the series of `family` that `known` has, and returns how many samples that were.
fn drop_known_series(known: &MetricFamily, family: &mut MetricFamily) -> usize {
    let inner = inner_label(known).map(str::to_owned);
    let key = |sample: &Sample| match &inner {
        Some(inner) if sample.labels.get(inner).is_some() => sample.labels.without(inner),
        _ => sample.labels.clone(),
    };
    let seen: HashSet<LabelSet> = known.samples.iter().map(key).collect();
    let before = family.samples.len();
    family.samples.retain(|sample| !seen.contains(&key(sample)));
    before - family.samples.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use forkmeter_core::MetricType;

    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

    fn family(name: &str, kind: MetricType, samples: &[Row<'_>]) -> MetricFamily {
        let sample = |(name, labels, value): &Row<'_>| {
            Sample::new(*name, LabelSet::from_pairs(labels.iter().copied()), *value)
        };
        let samples = samples.iter().map(sample).collect();
        MetricFamily {
            samples,
            ..MetricFamily::new(name, "help", kind)
        }
    }

    fn source(labels: &[(&str, &str)], families: Vec<MetricFamily>) -> Source {
        Source {
            labels: LabelSet::from_pairs(labels.iter().copied()),
            families: families.into_iter().map(Arc::new).collect(),
        }
    }

    fn show(families: &[Arc<MetricFamily>]) -> Vec<String> {
        let samples = families.iter().flat_map(|family| &family.samples);
        let text = |sample: &Sample| {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            format!("{}{{{}}} {}", sample.name, labels.join(","), sample.value)
        };
        samples.map(text).collect()
    }

    #[test]
    fn families_of_one_name_become_one() {
        let counter = || {
            family(
                "c",
                MetricType::Counter,
                &[("c_total", &[("zone", "x")], 1.0)],
            )
        };
        let gauge = || family("g", MetricType::Gauge, &[("g", &[], 2.0)]);
        let sources = vec![
            source(&[("zone", "a")], vec![counter()]),
            source(&[("zone", "b")], vec![gauge(), counter()]),
        ];
        let (families, conflicts) = union(sources, |_| false);
        assert_eq!(conflicts, []);
        assert_eq!(
            show(&families),
            [
                "c_total{exported_zone=x,zone=a} 1",
                "c_total{exported_zone=x,zone=b} 1",
                "g{zone=b} 2"
            ]
        );
    }

    #[test]
    fn a_renamed_label_never_meets_another() {
        let labels: &[(&str, &str)] = &[("a", "1"), ("exported_a", "2")];
        let sources = vec![source(
            &[("a", "0")],
            vec![family("g", MetricType::Gauge, &[("g", labels, 1.0)])],
        )];
        let (families, _) = union(sources, |_| false);
        assert_eq!(
            show(&families),
            ["g{a=0,exported_a=2,exported_exported_a=1} 1"]
        );
    }

    #[test]
    fn contradictions_are_left_out_and_named() {
        let sources = vec![
            source(
                &[],
                vec![
                    family("a", MetricType::Gauge, &[("a", &[], 1.0)]),
                    family(
                        "h",
                        MetricType::Histogram,
                        &[("h_bucket", &[("le", "+Inf")], 1.0), ("h_count", &[], 1.0)],
                    ),
                ],
            ),
            source(
                &[],
                vec![
                    family("a", MetricType::Counter, &[("a_total", &[], 2.0)]),
                    family("h_count", MetricType::Gauge, &[("h_count", &[], 2.0)]),
                    family("mine", MetricType::Gauge, &[("mine", &[], 2.0)]),
                    family(
                        "h",
                        MetricType::Histogram,
                        &[
                            ("h_bucket", &[("le", "1.0")], 2.0),
                            ("h_bucket", &[("le", "+Inf")], 2.0),
                            ("h_count", &[], 2.0),
                            ("h_count", &[("path", "/")], 2.0),
                        ],
                    ),
                ],
            ),
        ];
        let (families, conflicts) = union(sources, |name| name == "mine");
        assert_eq!(
            show(&families),
            [
                "a{} 1",
                "h_bucket{le=+Inf} 1",
                "h_count{} 1",
                "h_count{path=/} 2"
            ]
        );
        let named: Vec<_> = conflicts
            .iter()
            .map(|c| (c.source, &*c.family, c.reason, c.samples))
            .collect();
        assert_eq!(
            named,
            [
                (1, "a", Reason::Type, 1),
                (1, "h_count", Reason::Name, 1),
                (1, "mine", Reason::Name, 1),
                (1, "h", Reason::Duplicate, 3),
            ]
        );
    }
}
