//! What a person or a pipe sees: stdout, notes on stderr, the live line.

pub mod live;
pub mod notes;
pub mod stdout;
mod writer;
