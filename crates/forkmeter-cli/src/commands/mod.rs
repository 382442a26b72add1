//! One file per command.

pub(crate) mod dump;
pub(crate) mod gc;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod serve;
