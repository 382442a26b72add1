//! The multi-process store: a directory of memory-mapped segments that all workers of a program share.
//!
//! Writers and the reader meet only in the bytes that `docs/format.md` specifies. This crate formats no
//! expositions and knows no HTTP; it holds all unsafe code of the workspace.

pub mod deletion;
mod directory;
mod fault;
mod guard;
pub mod key;
pub mod layout;
mod map;
pub mod process;
pub mod published;
pub mod reader;
mod segment;
pub mod side;
mod store;
mod sys;
pub mod workers;

pub use directory::leftovers;
pub use store::{CollectedShared, Directory, Options, SharedSlots, ShmStore};
pub use sys::{SignalMask, block_signals, end_with_parent};

// Helpers that unit tests share with integration tests name the crate from outside.
#[cfg(test)]
extern crate self as forkmeter_shm;
