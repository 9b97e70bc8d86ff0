//! What a person or a pipe sees: stdout, notes on stderr, the live line, tables.

pub mod live;
pub mod notes;
pub mod stdout;
pub mod table;
mod writer;
