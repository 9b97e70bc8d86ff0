//! `kq serve`: HTTP in, Kafka out. A request is answered with 2xx once all of its records are acknowledged.

pub(crate) mod addressing;
mod answer;
mod body;
mod budget;
pub(crate) mod copied;
mod dispatch;
mod endpoint;
mod fault;
pub(crate) mod guard;
mod identity;
pub(crate) mod inflate;
mod keys;
pub(crate) mod media;
mod metrics;
pub(crate) mod problem;
mod publish;
mod reply;
pub(crate) mod route;
mod run;
pub(crate) mod settings;
mod stage;
mod tally;

pub(crate) use run::run;
