//! What every command that sends records uses: one producer, single records with an answer, and
//! the records of many requests.

pub(crate) mod client;
pub(crate) mod outbox;
pub(crate) mod properties;
pub(crate) mod publisher;
pub(crate) mod settings;
