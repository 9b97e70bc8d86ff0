//! HTTP on kq's side: addresses, the accept loop, TLS, probes.

pub(crate) mod address;
mod connection;
mod counts;
pub(crate) mod exposition;
pub(crate) mod probes;
pub(crate) mod server;
mod settings;
pub(crate) mod slots;
mod stream;
mod timed;
pub(crate) mod tls;

#[cfg(test)]
mod tests;
