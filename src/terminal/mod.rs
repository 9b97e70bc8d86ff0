//! What a person or a pipe sees: stdout, notes on stderr, the live line, tables.

pub(crate) mod live;
pub(crate) mod notes;
pub(crate) mod stdout;
pub(crate) mod table;
