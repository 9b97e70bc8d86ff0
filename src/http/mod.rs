//! HTTP on kq's side: where an endpoint listens.

pub(crate) mod address;
