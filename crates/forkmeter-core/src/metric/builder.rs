//! Declarations: what a family is called and how its series look.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::bounds::{Bound, Bounded, Bounds, DefaultBounds};
use super::error::{ErrorKind, Result};
use super::family::{DynFamily, Family};
use super::name::NameParts;
use super::{DEFAULT_UPPER_BOUNDS, Metric, histogram};
use crate::model::{
    Descriptor, LabelSet, MetricType, MultiprocessMode, NameScheme, validate_label_names,
};
use crate::registry::{Registered, Registry};
use crate::store::Store;

/// Collects the declaration of a metric; made by `builder` of a kind, for example
/// [`Counter::builder`](super::Counter::builder).
///
/// Nothing is checked before [`Builder::register`]. The second parameter says what registering gives:
/// [`Single`] a handle, [`Labelled`] a [`Family`], [`Dynamic`] a [`DynFamily`].
#[derive(Clone, Debug)]
#[must_use = "a declaration does nothing until it is registered"]
pub struct Builder<M, S = Single> {
    parts: NameParts,
    help: Arc<str>,
    label_names: Vec<Arc<str>>,
    const_labels: LabelSet,
    scheme: NameScheme,
    pub(super) mode: MultiprocessMode,
    pub(super) upper_bounds: Option<Vec<f64>>,
    pub(super) states: Box<[Arc<str>]>,
    bounds: Bounds,
    result: PhantomData<fn() -> (M, S)>,
}

/// Marks a declaration without labels: registering gives the one handle.
#[derive(Clone, Copy, Debug)]
pub enum Single {}

/// Marks a declaration with `N` labels: registering gives a [`Family`].
#[derive(Clone, Copy, Debug)]
pub enum Labelled<const N: usize> {}

/// Marks a declaration whose label count is known at run time only: registering gives a [`DynFamily`].
#[derive(Clone, Copy, Debug)]
pub enum Dynamic {}

/// Says what registering a declaration gives.
///
/// Implemented by [`Single`], [`Labelled`] and [`Dynamic`] only.
pub trait Shape<M: Metric>: sealed::Sealed {
    /// What the caller gets.
    type Output;

    /// Makes it from a family; none when the family has another number of labels.
    fn from_family(family: DynFamily<M>) -> Option<Self::Output>;
}

impl sealed::Sealed for Single {}
impl<const N: usize> sealed::Sealed for Labelled<N> {}
impl sealed::Sealed for Dynamic {}

impl<M: Metric> Shape<M> for Single {
    type Output = M;

    fn from_family(family: DynFamily<M>) -> Option<M> {
        family.try_with_label_values(&[]).ok()
    }
}

impl<M: Metric, const N: usize> Shape<M> for Labelled<N> {
    type Output = Family<M, N>;

    fn from_family(family: DynFamily<M>) -> Option<Family<M, N>> {
        family.try_into_family()
    }
}

impl<M: Metric> Shape<M> for Dynamic {
    type Output = DynFamily<M>;

    fn from_family(family: DynFamily<M>) -> Option<DynFamily<M>> {
        Some(family)
    }
}

impl<M: Metric> Builder<M> {
    pub(super) fn new(name: &str, help: &str) -> Self {
        Self {
            parts: NameParts {
                name: name.into(),
                ..NameParts::default()
            },
            help: help.into(),
            label_names: Vec::new(),
            const_labels: LabelSet::empty(),
            scheme: NameScheme::default(),
            mode: MultiprocessMode::default(),
            upper_bounds: None,
            states: Box::default(),
            bounds: Bounds::default(),
            result: PhantomData,
        }
    }

    /// Sets the label names, in the order in which label values are passed later.
    pub fn labels<const N: usize>(self, names: [&str; N]) -> Builder<M, Labelled<N>> {
        self.with_label_names(names.into_iter().map(Arc::from).collect())
    }

    /// Sets label names whose number is known at run time only.
    pub fn dynamic_labels<T: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = T>,
    ) -> Builder<M, Dynamic> {
        self.with_label_names(
            names
                .into_iter()
                .map(|name| Arc::from(name.as_ref()))
                .collect(),
        )
    }

    fn with_label_names<S>(self, label_names: Vec<Arc<str>>) -> Builder<M, S> {
        Builder {
            parts: self.parts,
            help: self.help,
            label_names,
            const_labels: self.const_labels,
            scheme: self.scheme,
            mode: self.mode,
            upper_bounds: self.upper_bounds,
            states: self.states,
            bounds: self.bounds,
            result: PhantomData,
        }
    }
}

impl<M: Metric, S> Builder<M, S> {
    /// Sets the first part of the name; empty for none.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.parts.namespace = namespace.into();
        self
    }

    /// Sets the part of the name between namespace and name; empty for none.
    pub fn subsystem(mut self, subsystem: &str) -> Self {
        self.parts.subsystem = subsystem.into();
        self
    }

    /// Sets the unit, for example `seconds`; it is put at the end of the name where it does not stand there.
    pub fn unit(mut self, unit: &str) -> Self {
        self.parts.unit = unit.into();
        self
    }

    /// Adds a label with the same value on all series of the family.
    pub fn const_label(mut self, name: &str, value: &str) -> Self {
        self.const_labels = self.const_labels.with(name, value);
        self
    }

    /// Sets how many series the family may have, or with `None` that there is no limit. When not called, the registry's
    /// default holds, which is none unless [`Registry::set_default_bounds`] set it.
    ///
    /// A label set for which there is no room is counted in one more series, whose labels all have the value
    /// [`OVERFLOW_LABEL_VALUE`](crate::model::OVERFLOW_LABEL_VALUE), and `forkmeter_series_overflows_total` says for each
    /// family how often. Series that are there count on; removed ones make room.
    ///
    /// In a store that workers share, the limit is on what all of them count together, and each worker should declare
    /// the same; workers that make series at the same time may go over it by an eighth and one each. Of gauges each
    /// worker has its own series. Without labels it means nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use forkmeter_core::{metric::Counter, registry::Registry, store::HeapStore};
    /// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
    /// let visits =
    ///     Counter::builder("visits", "Visits.").labels(["page"]).max_series(2).register(&registry)?;
    /// for page in ["/", "/about", "/?id=1", "/?id=2", "/"] {
    ///     visits.with_label_values([page]).inc();
    /// }
    /// assert_eq!(visits.find(["/"]).map(|series| series.get()), Some(2.0));
    /// assert_eq!(visits.find(["__overflow__"]).map(|series| series.get()), Some(2.0));
    /// # Ok::<(), forkmeter_core::metric::Error>(())
    /// ```
    pub fn max_series(mut self, max_series: impl Into<Option<usize>>) -> Self {
        self.bounds.max_series = Bound::Own(max_series.into());
        self
    }

    /// Removes series in which nobody counted for this long, as far as collections of the registry see; with `None`
    /// never. When not called, the registry's default holds, as for [`Builder::max_series`].
    ///
    /// A series is idle while its values stay what they are. It is removed by the first collection that finds it so
    /// for long enough, at its third look at the earliest, and is not in its result. Counted in again, also through a
    /// handle that was held meanwhile, it is there again and starts from zero. Series without labels stay, and so does
    /// the one for what has no room.
    pub fn idle_expiry(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.bounds.idle_seconds = Bound::Own(after.into().map(|after| after.as_secs_f64()));
        self
    }

    /// Sets which characters names may have; [`NameScheme::Utf8`] when not called.
    pub fn name_scheme(mut self, scheme: NameScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Registers the family in `registry` and declares it to the registry's store.
    ///
    /// A metric without labels is exposed at once, with value zero; a series with labels from the first time it
    /// is asked for.
    ///
    /// # Errors
    ///
    /// An [`ErrorKind`] that says what is wrong with the declaration, or [`ErrorKind::Duplicate`] when a name is
    /// taken; the error then carries what is registered already.
    pub fn register(self, registry: &Registry) -> Result<S::Output>
    where
        S: Shape<M>,
    {
        let defaults = registry.default_bounds();
        let family = self.family(registry.store(), registry.const_labels(), defaults)?;
        registry.register(&family)?;
        Ok(shaped::<M, S>(family))
    }

    /// Registers the family, or returns what is registered already under an equal declaration.
    ///
    /// Declarations are equal when all but their help texts are.
    ///
    /// # Errors
    ///
    /// As [`Builder::register`]; [`ErrorKind::Duplicate`] only when the declarations differ.
    pub fn register_or_get(self, registry: &Registry) -> Result<S::Output>
    where
        S: Shape<M>,
    {
        let defaults = registry.default_bounds();
        let family = self.family(registry.store(), registry.const_labels(), defaults)?;
        let Err(error) = registry.register(&family) else {
            return Ok(shaped::<M, S>(family));
        };
        match error.registered().and_then(Registered::family::<M>) {
            Some(registered) if registered.is_declared_like(&family) => {
                Ok(shaped::<M, S>(registered))
            }
            _ => Err(error),
        }
    }

    /// Makes the family in `store` without a registry: whoever collects the store exposes it.
    ///
    /// # Errors
    ///
    /// An [`ErrorKind`] that says what is wrong with the declaration.
    pub fn build_in(self, store: &Arc<dyn Store>) -> Result<S::Output>
    where
        S: Shape<M>,
    {
        let family = self.family(store, &LabelSet::empty(), &Arc::default())?;
        store.declare(family.descriptor());
        Ok(shaped::<M, S>(family))
    }

    fn family(
        self,
        store: &Arc<dyn Store>,
        outer: &LabelSet,
        defaults: &Arc<DefaultBounds>,
    ) -> Result<DynFamily<M>> {
        let name = self.parts.family_name(M::KIND, self.scheme)?;
        let mut label_names = self.label_names;
        let mut const_values = Vec::new();
        let inherited = outer
            .iter_shared()
            .filter(|(name, _)| self.const_labels.get(name).is_none());
        for (label, value) in self.const_labels.iter_shared().chain(inherited) {
            label_names.push(Arc::clone(label));
            const_values.push(Arc::clone(value));
        }
        let names = label_names.iter().map(|name| &**name);
        validate_label_names(names, &name, M::KIND, self.scheme).map_err(|cause| {
            ErrorKind::InvalidLabelName {
                family: name.as_str().into(),
                cause,
            }
        })?;
        let upper_bounds = match M::KIND {
            MetricType::Histogram => {
                let bounds = self
                    .upper_bounds
                    .unwrap_or_else(|| DEFAULT_UPPER_BOUNDS.into());
                histogram::checked(&name, bounds)?
            }
            _ => Box::default(),
        };
        if M::KIND == MetricType::StateSet {
            check_states(&name, &self.states)?;
        }
        let descriptor = Descriptor {
            name: name.into(),
            help: self.help,
            unit: self.parts.unit.into(),
            kind: M::KIND,
            label_names: label_names.into(),
            mode: self.mode,
            upper_bounds,
            states: self.states,
        };
        let bounded = Bounded::new(self.bounds, Arc::clone(defaults), &descriptor, &**store);
        Ok(DynFamily::new(
            Arc::new(descriptor),
            Arc::clone(store),
            const_values.into(),
            bounded,
        ))
    }
}

/// Gives a new family, or one that is declared alike, the form that its declaration promises.
fn shaped<M: Metric, S: Shape<M>>(family: DynFamily<M>) -> S::Output {
    S::from_family(family).expect("invariant: a declaration's form is made with its label names")
}

mod sealed {
    /// Keeps other crates from implementing [`Shape`](super::Shape).
    pub trait Sealed {}
}

fn check_states(family: &str, states: &[Arc<str>]) -> Result<()> {
    let repeated = states
        .iter()
        .enumerate()
        .any(|(index, state)| states[..index].contains(state));
    if states.is_empty() || repeated {
        return Err(ErrorKind::InvalidStates {
            family: family.into(),
        }
        .into());
    }
    Ok(())
}
