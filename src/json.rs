//! The JSON record, both ways.
