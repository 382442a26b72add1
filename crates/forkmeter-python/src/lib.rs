//! The native half of the Python package; its classes arrive with the package itself.
