//! The native half of the Python package: converts and delegates.
//!
//! Lock rule: no lock of this crate or of the store is held while Python code may run or the interpreter's lock is
//! waited for. So store calls that may block stand inside `Python::detach`, and what they return is used after.

mod audit;
mod collect;
mod command;
mod descriptor;
mod exemplar;
mod kinds;
mod metric;
mod mode;
mod series;
mod shared;
mod value;

use pyo3::prelude::*;

/// Native types and functions of forkmeter; private, use the package.
#[pymodule]
mod _forkmeter {
    #[pymodule_export]
    use super::collect::{collect_directory, collect_store};
    #[pymodule_export]
    use super::command::command;
    #[pymodule_export]
    use super::kinds::{NativeCounter, NativeGauge, NativeHistogram, NativeStates, NativeSummary};
    #[pymodule_export]
    use super::metric::NativeMetric;
    #[pymodule_export]
    use super::mode::{directory, set_directory, uses_deprecated_variable};
    #[pymodule_export]
    use super::shared::{refresh, remove_series, status, workers};
    #[pymodule_export]
    use super::value::NativeValue;

    use super::{PyModule, PyResult, audit, mode};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        mode::read_environment();
        audit::install(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
