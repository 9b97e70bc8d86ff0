//! What every command that sends records uses: one producer, and single records with an answer.

pub mod client;
pub mod outbox;
pub mod properties;
pub mod settings;
