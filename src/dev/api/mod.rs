//! The handlers: one module for each family of requests, one function a request.

pub mod admin;
pub mod configs;
pub mod fetch;
pub mod groups;
pub mod members;
pub mod metadata;
pub mod offsets;
pub mod produce;

use kafka_protocol::protocol::StrBytes;

/// A string as the wire has it.
fn text(s: impl Into<String>) -> StrBytes {
    StrBytes::from_string(s.into())
}

/// A string, where the wire could have null.
#[expect(clippy::unnecessary_wraps, reason = "the wire's type is optional")]
fn message(s: impl Into<String>) -> Option<StrBytes> {
    Some(text(s))
}
