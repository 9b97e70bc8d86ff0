//! What every command that sends records uses: one producer, and single records with an answer.

pub(crate) mod client;
pub(crate) mod outbox;
pub(crate) mod properties;
pub(crate) mod settings;
