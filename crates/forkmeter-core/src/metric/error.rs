//! What can be wrong with a declaration or an argument.

use std::fmt;
use std::sync::Arc;

use crate::model::NameError;
use crate::registry::Registered;

/// Shorthand for results of this area.
pub type Result<T> = std::result::Result<T, Error>;

/// Reports a metric that cannot be declared or registered, or an argument that a metric does not take.
///
/// Recording never fails because of storage, so no error stands for it.
#[derive(Clone, Debug)]
pub struct Error(Box<ErrorKind>);

/// Says what was wrong. All variants are stable; more may come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The family's name is not valid.
    InvalidName {
        /// The name and what is wrong with it.
        cause: NameError,
    },
    /// A label name is not valid, reserved for the metric type, or declared twice.
    InvalidLabelName {
        /// The family.
        family: Box<str>,
        /// The label name and what is wrong with it.
        cause: NameError,
    },
    /// Another number of label values than the family has label names.
    LabelCount {
        /// The family.
        family: Box<str>,
        /// How many label names it has.
        expected: usize,
        /// How many values were given.
        got: usize,
    },
    /// A label name that the family was not declared with.
    UnknownLabel {
        /// The family.
        family: Box<str>,
        /// The label name.
        label: Box<str>,
    },
    /// A unit on a type that cannot have one: info and state set.
    UnitNotAllowed {
        /// The family.
        family: Box<str>,
        /// The unit.
        unit: Box<str>,
    },
    /// Upper bounds that are NaN or do not ascend strictly.
    UnsortedBuckets {
        /// The family.
        family: Box<str>,
        /// The bound that does not stand above the one before it.
        bound: f64,
    },
    /// No upper bound below infinity.
    NoBuckets {
        /// The family.
        family: Box<str>,
    },
    /// A state set without states, or with one state twice.
    InvalidStates {
        /// The family.
        family: Box<str>,
    },
    /// A state that the state set was not declared with.
    UnknownState {
        /// The family.
        family: Box<str>,
        /// The state.
        state: Box<str>,
    },
    /// An amount below zero, or NaN, for a counter.
    InvalidAmount {
        /// The amount.
        amount: f64,
    },
    /// Labels of an exemplar that cannot be exposed: an invalid name, or too many characters.
    InvalidExemplar {
        /// The name and what is wrong with it.
        cause: NameError,
    },
    /// A fact of an info metric with the name of one of its labels.
    OverlappingFact {
        /// The family.
        family: Box<str>,
        /// The fact's name.
        fact: Box<str>,
    },
    /// A name that something registered earlier exposes already.
    Duplicate {
        /// What was to be registered: its family name, or the first of a collector's.
        family: Box<str>,
        /// The exposed names that are taken, sorted.
        names: Vec<Arc<str>>,
        /// What holds the first of them.
        registered: Registered,
    },
}

impl Error {
    /// Returns what was wrong, for matching.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Tells whether a name was taken already.
    pub fn is_duplicate(&self) -> bool {
        matches!(*self.0, ErrorKind::Duplicate { .. })
    }

    /// Returns what is registered under the name that was taken.
    pub fn registered(&self) -> Option<&Registered> {
        match &*self.0 {
            ErrorKind::Duplicate { registered, .. } => Some(registered),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            ErrorKind::InvalidName { cause } | ErrorKind::InvalidExemplar { cause } => cause.fmt(f),
            ErrorKind::InvalidLabelName { family, cause } => {
                write!(f, "metric {family:?}: {cause}")
            }
            ErrorKind::LabelCount {
                family,
                expected,
                got,
            } => {
                write!(
                    f,
                    "metric {family:?} takes {expected} label values, got {got}"
                )
            }
            ErrorKind::UnknownLabel { family, label } => {
                write!(f, "metric {family:?} has no label {label:?}")
            }
            ErrorKind::UnitNotAllowed { family, unit } => {
                write!(
                    f,
                    "metric {family:?} is of a type that cannot have a unit, got {unit:?}"
                )
            }
            ErrorKind::UnsortedBuckets { family, bound } => {
                write!(
                    f,
                    "upper bounds of {family:?} must ascend strictly, {bound} does not"
                )
            }
            ErrorKind::NoBuckets { family } => {
                write!(
                    f,
                    "histogram {family:?} needs at least one upper bound below infinity"
                )
            }
            ErrorKind::InvalidStates { family } => {
                write!(f, "state set {family:?} needs states, each once")
            }
            ErrorKind::UnknownState { family, state } => {
                write!(f, "state set {family:?} has no state {state:?}")
            }
            ErrorKind::InvalidAmount { amount } => {
                write!(
                    f,
                    "a counter can only rise by a non-negative amount, got {amount}"
                )
            }
            ErrorKind::OverlappingFact { family, fact } => {
                write!(
                    f,
                    "fact {fact:?} of info {family:?} has the name of one of its labels"
                )
            }
            ErrorKind::Duplicate { family, names, .. } => {
                write!(
                    f,
                    "cannot register {family:?}: already registered: {}",
                    names.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            ErrorKind::InvalidName { cause }
            | ErrorKind::InvalidLabelName { cause, .. }
            | ErrorKind::InvalidExemplar { cause } => Some(cause),
            _ => None,
        }
    }
}
