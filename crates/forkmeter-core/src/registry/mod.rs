//! Registries: which families are exposed together.
