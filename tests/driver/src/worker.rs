//! Does what it is told, on one registry over the shared store.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use forkmeter::metric::Dynamic;
use forkmeter::{
    Builder, Counter, DynFamily, Escaping, Format, Gather, Gauge, Histogram, Info, LabelSet,
    Metric, MultiprocessMode, Registry, StateSet, Summary, Untyped,
};
use forkmeter_shm::{Directory, Options, ShmStore};
use serde_json::{Value, json};

use crate::operation::{Declaration, Number, Operation, Target};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Holds what was declared.
#[derive(Debug)]
pub(crate) struct Worker {
    store: Arc<ShmStore>,
    registry: Registry,
    families: HashMap<String, Declared>,
}

#[derive(Debug)]
enum Declared {
    Counter(DynFamily<Counter>),
    Gauge(DynFamily<Gauge>),
    Histogram(DynFamily<Histogram>),
    Summary(DynFamily<Summary>),
    Info(DynFamily<Info>),
    StateSet(DynFamily<StateSet>),
    Untyped(DynFamily<Untyped>),
}

impl Worker {
    pub(crate) fn new(directory: PathBuf) -> Self {
        let store = Arc::new(ShmStore::new(Options::new(Directory::Fixed(directory))));
        Self {
            registry: Registry::new(Arc::clone(&store) as _),
            store,
            families: HashMap::new(),
        }
    }

    /// Does one operation; returns the answer of those that have one.
    pub(crate) fn act(&mut self, operation: Operation) -> Result<Option<Value>> {
        match operation {
            Operation::Begin { directory } => *self = Self::new(directory),
            Operation::Declare(declaration) => self.declare(&declaration)?,
            Operation::Touch(target) => self.touch(&target)?,
            Operation::Inc {
                target,
                value,
                exemplar,
            } => self.inc(&target, value.0, exemplar)?,
            Operation::Set { target, value } => match self.family(&target)? {
                Declared::Gauge(family) => series(family, &target)?.set(value.0),
                Declared::Untyped(family) => series(family, &target)?.set(value.0),
                other => return Err(format!("cannot set {other:?}").into()),
            },
            Operation::Observe {
                target,
                value,
                exemplar,
            } => self.observe(&target, value.0, exemplar)?,
            Operation::Facts { target, facts } => match self.family(&target)? {
                Declared::Info(family) => series(family, &target)?.try_set(label_set(&facts))?,
                other => return Err(format!("no facts for {other:?}").into()),
            },
            Operation::State { target, state } => match self.family(&target)? {
                Declared::StateSet(family) => series(family, &target)?.set(&state)?,
                other => return Err(format!("no state for {other:?}").into()),
            },
            Operation::Remove(target) => self.remove(&target)?,
            Operation::Sync => return Ok(Some(json!({"pid": std::process::id()}))),
            Operation::Get(target) => return self.get(&target).map(Some),
            Operation::Text { openmetrics } => return self.text(openmetrics).map(Some),
            Operation::Kept => {
                let (series, cause) = self.store.kept_series();
                return Ok(Some(json!({"series": series, "cause": cause})));
            }
            Operation::Refresh => self.store.refresh(),
        }
        Ok(None)
    }

    fn declare(&mut self, declaration: &Declaration) -> Result<()> {
        let Declaration { name, help, .. } = declaration;
        let registry = &self.registry;
        let declared = match &*declaration.kind {
            "counter" => {
                let builder = shaped(Counter::builder(name, help), declaration);
                Declared::Counter(builder.register(registry)?)
            }
            "gauge" => {
                let builder = shaped(Gauge::builder(name, help), declaration);
                Declared::Gauge(
                    builder
                        .multiprocess_mode(mode(declaration)?)
                        .register(registry)?,
                )
            }
            "histogram" => {
                let mut builder = shaped(Histogram::builder(name, help), declaration);
                if let Some(bounds) = &declaration.buckets {
                    builder = builder.buckets(bounds.iter().map(|Number(bound)| *bound));
                }
                Declared::Histogram(builder.register(registry)?)
            }
            "summary" => {
                let builder = shaped(Summary::builder(name, help), declaration);
                Declared::Summary(builder.register(registry)?)
            }
            "info" => {
                let builder = shaped(Info::builder(name, help), declaration);
                Declared::Info(builder.register(registry)?)
            }
            "stateset" => {
                let builder = shaped(StateSet::builder(name, help), declaration);
                Declared::StateSet(builder.states(&declaration.states).register(registry)?)
            }
            "untyped" => {
                let builder = shaped(Untyped::builder(name, help), declaration);
                Declared::Untyped(
                    builder
                        .multiprocess_mode(mode(declaration)?)
                        .register(registry)?,
                )
            }
            other => return Err(format!("no metric is called {other}").into()),
        };
        // Without labels there is one series from the start, as with a handle that a program holds.
        if declaration.labels.is_empty() {
            let target = Target {
                name: name.clone(),
                labels: Vec::new(),
            };
            self.families.insert(name.clone(), declared);
            return self.touch(&target);
        }
        self.families.insert(name.clone(), declared);
        Ok(())
    }

    fn family(&self, target: &Target) -> Result<&Declared> {
        let family = self.families.get(&target.name);
        family.ok_or_else(|| format!("{} is not declared", target.name).into())
    }

    fn touch(&self, target: &Target) -> Result<()> {
        match self.family(target)? {
            Declared::Counter(family) => drop(series(family, target)?),
            Declared::Gauge(family) => drop(series(family, target)?),
            Declared::Histogram(family) => drop(series(family, target)?),
            Declared::Summary(family) => drop(series(family, target)?),
            Declared::Info(family) => drop(series(family, target)?),
            Declared::StateSet(family) => drop(series(family, target)?),
            Declared::Untyped(family) => drop(series(family, target)?),
        }
        Ok(())
    }

    fn inc(
        &self,
        target: &Target,
        value: f64,
        exemplar: Option<BTreeMap<String, String>>,
    ) -> Result<()> {
        match self.family(target)? {
            Declared::Counter(family) => {
                let counter = series(family, target)?;
                match exemplar {
                    Some(labels) => counter.try_inc_by_with_exemplar(value, label_set(&labels))?,
                    None => counter.try_inc_by(value)?,
                }
            }
            Declared::Gauge(family) => series(family, target)?.inc_by(value),
            Declared::Untyped(family) => series(family, target)?.inc_by(value),
            other => return Err(format!("cannot add to {other:?}").into()),
        }
        Ok(())
    }

    fn observe(
        &self,
        target: &Target,
        value: f64,
        exemplar: Option<BTreeMap<String, String>>,
    ) -> Result<()> {
        match (self.family(target)?, exemplar) {
            (Declared::Histogram(family), Some(labels)) => {
                series(family, target)?.try_observe_with_exemplar(value, label_set(&labels))?;
            }
            (Declared::Histogram(family), None) => series(family, target)?.observe(value),
            (Declared::Summary(family), None) => series(family, target)?.observe(value),
            (other, _) => return Err(format!("cannot observe that with {other:?}").into()),
        }
        Ok(())
    }

    fn remove(&self, target: &Target) -> Result<()> {
        let values: Vec<&str> = target.labels.iter().map(String::as_str).collect();
        match self.family(target)? {
            Declared::Counter(family) => family.remove(&values)?,
            Declared::Gauge(family) => family.remove(&values)?,
            Declared::Histogram(family) => family.remove(&values)?,
            Declared::Summary(family) => family.remove(&values)?,
            Declared::Info(family) => family.remove(&values)?,
            Declared::StateSet(family) => family.remove(&values)?,
            Declared::Untyped(family) => family.remove(&values)?,
        };
        Ok(())
    }

    fn get(&self, target: &Target) -> Result<Value> {
        Ok(match self.family(target)? {
            Declared::Counter(family) => json!({"value": series(family, target)?.get()}),
            Declared::Gauge(family) => json!({"value": series(family, target)?.get()}),
            Declared::Untyped(family) => json!({"value": series(family, target)?.get()}),
            Declared::Histogram(family) => json!({"value": series(family, target)?.count()}),
            Declared::Summary(family) => json!({"value": series(family, target)?.count()}),
            Declared::StateSet(family) => json!({"value": series(family, target)?.state()}),
            Declared::Info(_) => return Err("an info has no value".into()),
        })
    }

    fn text(&self, openmetrics: bool) -> Result<Value> {
        let format = if openmetrics {
            Format::OpenMetrics100 {
                escaping: Escaping::AllowUtf8,
            }
        } else {
            Format::Text004
        };
        let exposition = self.registry.expose(format);
        Ok(json!({"text": String::from_utf8(exposition.body)?, "errors": exposition.errors}))
    }
}

fn shaped<M: Metric>(builder: Builder<M>, declaration: &Declaration) -> Builder<M, Dynamic> {
    builder
        .unit(&declaration.unit)
        .dynamic_labels(&declaration.labels)
}

fn mode(declaration: &Declaration) -> Result<MultiprocessMode> {
    let name = declaration.mode.as_deref().unwrap_or("all");
    name.parse()
        .map_err(|_| format!("no mode is called {name}").into())
}

fn series<M: Metric>(family: &DynFamily<M>, target: &Target) -> Result<M> {
    let values: Vec<&str> = target.labels.iter().map(String::as_str).collect();
    Ok(family.try_with_label_values(&values)?)
}

fn label_set(pairs: &BTreeMap<String, String>) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))
}
