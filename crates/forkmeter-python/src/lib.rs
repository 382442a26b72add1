//! The native half of the Python package: converts and delegates.
//!
//! Lock rule: no lock of this crate or of the store is held while Python code may run or the interpreter's lock is
//! waited for. So store calls that may block stand inside `Python::detach`, and what they return is used after.
//!
//! Fork rule: nothing is made once and late. A cell that is being set while another thread forks stays half set in the
//! child, where whoever needs it waits for ever; and the interpreter's lock changes hands inside the cells of PyO3. So
//! neither `intern!` nor `PyOnceLock` is used, nor a conversion that is built on it (such as a path's into Python).
//!
//! Interpreters without a global lock switch it on when they load this module: `Family::slots` relies on it.

mod attached;
mod audit;
mod bounds;
mod call;
mod clock;
mod collect;
mod command;
mod default_bounds;
mod descriptor;
mod exception_counter;
mod exemplar;
mod exposition;
mod family;
mod http;
mod inprogress_tracker;
mod interpreter;
mod keeper;
mod kinds;
mod layout;
mod metric;
mod mode;
mod names;
mod plain;
mod published;
mod quick;
mod series;
mod shared;
mod testing;
mod text;
mod timer;
mod value;

use pyo3::prelude::*;

/// Native types and functions of forkmeter; private, use the package.
#[pymodule(gil_used = true)]
mod _forkmeter {
    #[pymodule_export]
    use super::bounds::{NativeIdleWatch, has_room, without_series};
    #[pymodule_export]
    use super::clock::follow_clock;
    #[pymodule_export]
    use super::collect::{collect_directory, collect_store, read_directory, self_metrics};
    #[pymodule_export]
    use super::command::command;
    #[pymodule_export]
    use super::default_bounds::{
        problems_of_bounds, process_bounds, set_idle_seconds, set_max_series,
    };
    #[pymodule_export]
    use super::exception_counter::ExceptionCounter;
    #[pymodule_export]
    use super::exposition::Exposition;
    #[pymodule_export]
    use super::family::{NativeFamily, native_family};
    #[pymodule_export]
    use super::http::{AsgiExchange, HttpRecorder, WsgiExchange};
    #[pymodule_export]
    use super::inprogress_tracker::InprogressTracker;
    #[pymodule_export]
    use super::keeper::{
        end_keeper, enter_collectors, keeper_after_fork_in_child, keeper_after_fork_in_parent,
        keeper_before_fork, leave_collectors, set_keeper, start_keeper, want_keeper,
    };
    #[pymodule_export]
    use super::kinds::{NativeCounter, NativeGauge, NativeHistogram, NativeStates, NativeSummary};
    #[pymodule_export]
    use super::metric::NativeMetric;
    #[pymodule_export]
    use super::mode::{directory, set_directory, uses_deprecated_variable};
    #[pymodule_export]
    use super::plain::know_plain;
    #[pymodule_export]
    use super::published::{begin_publishing, collect_published, make_family, publish};
    #[pymodule_export]
    use super::shared::{expire_series, refresh, refresh_at_exit, remove_series, status, workers};
    #[pymodule_export]
    use super::testing::{begin_part_of_test, reset_on_deletion};
    #[pymodule_export]
    use super::timer::Timer;
    #[pymodule_export]
    use super::value::NativeValue;

    use forkmeter_core::metric::{OVERFLOWS_HELP, OVERFLOWS_NAME};
    use forkmeter_core::model::OVERFLOW_LABEL_VALUE;

    use super::{
        PyModule, PyResult, audit, default_bounds, interpreter, layout, mode, names, quick, shared,
    };
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        interpreter::claim(module.py())?;
        layout::know_version(module.py());
        names::intern(module.py());
        mode::read_environment();
        default_bounds::read_environment();
        let _ = shared::store();
        audit::install(module.py())?;
        quick::install(module.py())?;
        module.add("OVERFLOW_LABEL_VALUE", OVERFLOW_LABEL_VALUE)?;
        module.add("OVERFLOWS_NAME", OVERFLOWS_NAME)?;
        module.add("OVERFLOWS_HELP", OVERFLOWS_HELP)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
