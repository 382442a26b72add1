//! The forkmeter command.
fn main() {}
