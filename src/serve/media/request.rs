//! What all kinds of bodies share: a value becomes a record with the key, headers and time that are its request's. Pure: no clock, no IO.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use crate::record::OwnedHeader;
use crate::record::draft::{Draft, weight_of};
use crate::record::shape::keepable;
use crate::record::validate::Validator;
use crate::serve::addressing::Named;
use crate::serve::copied::copied;
use crate::serve::problem::{MOST_ERRORS, Problem, Wrong};
use crate::serve::settings::{KeyFrom, Limits, Topic};

/// A request, as it concerns each of its records.
pub(super) struct Request<'a> {
    pub named: &'a Named,
    pub headers: &'a HeaderMap,
    pub topic: &'a Topic,
    pub limits: &'a Limits,
    /// Each record gets these, after its own.
    added: Vec<OwnedHeader>,
    /// The key of each record that has none of its own.
    key: Option<Bytes>,
}

/// Whether the request says that a value is JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Claim {
    Json,
    #[default]
    Bytes,
    /// It was checked already, with all that the topic asks for.
    Checked,
}

/// What a record of a body says of itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    pub claim: Claim,
    pub partition: Option<i32>,
    /// Milliseconds since the epoch, as it was given.
    pub timestamp: Option<i64>,
    pub headers: Vec<OwnedHeader>,
    /// The event's attribute `partitionkey`: the key with `--key-from ce:partitionkey`.
    pub partition_key: Option<Bytes>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        named: &'a Named,
        headers: &'a HeaderMap,
        topic: &'a Topic,
        limits: &'a Limits,
    ) -> Self {
        let added = named.headers.iter().cloned();
        let added = added.chain(copied(headers, topic)).chain(topic.headers.iter().cloned());
        let from_header = || match &topic.key_from {
            // Of two it is not known which one is meant.
            Some(KeyFrom::Header(name)) if headers.get_all(name).iter().count() == 1 => {
                headers.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes()))
            }
            _ => None,
        };
        let key = named.key.clone().or_else(from_header);
        Self { named, headers, topic, limits, added: added.collect(), key }
    }

    /// The record that is to be sent; an error says in one line why there is none.
    pub(super) fn draft(&self, own: Own) -> Result<Draft, String> {
        // A tombstone has no value to check.
        if let Some(value) = &own.value {
            self.check(value, own.claim)?;
        }
        let timestamp = match own.timestamp {
            Some(ms) => Some(keepable(ms).map_err(|e| e.to_string())?),
            None => self.named.timestamp,
        };
        let key = match own.key.or_else(|| self.key.clone()) {
            Some(key) => Some(key),
            None => self.key_from(own.value.as_ref(), own.partition_key)?,
        };
        let mut headers = own.headers;
        headers.extend_from_slice(&self.added);
        let partition = own.partition.or(self.named.partition);
        Ok(Draft { partition, key, value: own.value, headers, timestamp })
    }

    /// Whether the topic takes this value. `--validate json` is for what the request calls JSON: bytes that
    /// come as bytes (base64, text in an envelope) claim nothing.
    fn check(&self, value: &[u8], claim: Claim) -> Result<(), String> {
        match (&self.topic.validator, claim) {
            (None, _) | (_, Claim::Checked) | (Some(Validator::Json), Claim::Bytes) => Ok(()),
            (Some(validator), _) => validator.check(value),
        }
    }

    /// The key of a record for which neither it nor its request names one.
    fn key_from(&self, value: Option<&Bytes>, partition_key: Option<Bytes>) -> Result<Option<Bytes>, String> {
        let found = match &self.topic.key_from {
            None => return Ok(None),
            Some(KeyFrom::Header(name)) if self.headers.contains_key(name) => {
                Err(format!("no key: header {name} comes more than once"))
            }
            Some(KeyFrom::Header(name)) => Err(format!("no key: the request has no header {name}")),
            Some(KeyFrom::PartitionKey) => {
                partition_key.ok_or_else(|| "no key: there is no attribute partitionkey".to_owned())
            }
            Some(KeyFrom::Pointer(pointer)) => pointer
                .key(value.map(|value| &value[..]))
                .map(|key| value.map_or_else(Bytes::new, |value| part(value, key))),
        };
        match (found, self.topic.key_optional) {
            (Ok(key), _) => Ok(Some(key)),
            (Err(_), true) => Ok(None),
            (Err(why), false) => Err(why),
        }
    }

    /// Bytes that each record gets from the request.
    fn repeated(&self) -> usize {
        weight_of(&self.added) + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// Bytes that were found in a value, as a part of it where they are one.
pub(super) fn part(of: &Bytes, found: Cow<'_, [u8]>) -> Bytes {
    match found {
        Cow::Borrowed(found) => of.slice_ref(found),
        Cow::Owned(found) => found.into(),
    }
}

/// The records of a body that may have several: all of them, or what is wrong.
pub(super) struct Batch<'a> {
    request: &'a Request<'a>,
    drafts: Vec<Draft>,
    wrong: Vec<Wrong>,
    count: usize,
    repeated: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        Self { request, drafts: Vec::new(), wrong: Vec::new(), count: 0, repeated: request.repeated() }
    }

    /// Adds the next record, or why it is none. `place` names it in the body: `line 2`.
    ///
    /// The problem, if there is one, ends the request: too many records, or enough that are wrong.
    pub(super) fn add(
        &mut self,
        place: impl fmt::Display,
        made: impl FnOnce(&Request<'a>) -> Result<Draft, String>,
    ) -> Result<(), Problem> {
        let limits = self.request.limits;
        if self.count == limits.records {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "too_many_records",
                "too many records",
                format!(
                    "the body has more than {} records (--max-records): send several requests",
                    limits.records
                ),
            ));
        }
        let index = self.count;
        self.count += 1;
        // Each record has its own copy of them in the client's queue.
        if index > 0 && self.repeated.saturating_mul(self.count) > limits.body.saturating_mul(REPEATED) {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "headers_too_large",
                "headers too large",
                format!(
                    "each record gets {} bytes of key and headers from the request, which is too much for so \
                     many records: send fewer in a request",
                    self.repeated
                ),
            ));
        }
        match made(self.request) {
            Ok(draft) if self.wrong.is_empty() => self.drafts.push(draft),
            Ok(_) => {}
            Err(detail) => {
                self.drafts = Vec::new();
                self.wrong.push(Wrong { index, detail: format!("{place}: {detail}") });
                if self.wrong.len() == MOST_ERRORS {
                    return Err(Problem::invalid_records(std::mem::take(&mut self.wrong)));
                }
            }
        }
        Ok(())
    }

    /// All of the records, if each of them is right.
    pub(super) fn finish(self) -> Result<Vec<Draft>, Problem> {
        if self.wrong.is_empty() { Ok(self.drafts) } else { Err(Problem::invalid_records(self.wrong)) }
    }
}

/// Keys and headers that a request gives to all of its records may take so many times `--max-body` in all.
const REPEATED: usize = 8;
