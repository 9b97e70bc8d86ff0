//! What every command that reads records needs: where to start and to stop, topics, positions, groups, outages.

pub(crate) mod bounds;
pub(crate) mod client;
pub(crate) mod commit;
pub(crate) mod contact;
pub(crate) mod group;
pub(crate) mod isolation;
pub(crate) mod membership;
mod pattern;
pub(crate) mod position;
pub(crate) mod properties;
pub(crate) mod questions;
pub(crate) mod reach;
pub(crate) mod silence;
pub(crate) mod start;
pub(crate) mod topics;
pub(crate) mod tracker;
