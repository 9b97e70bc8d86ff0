//! What every command that reads records needs: where to start and to stop, topics, positions, groups, outages.

pub mod bounds;
pub mod client;
pub mod commit;
pub mod contact;
pub mod group;
pub mod isolation;
pub mod membership;
pub mod position;
pub mod properties;
pub mod questions;
pub mod silence;
pub mod start;
pub mod topics;
pub mod tracker;
