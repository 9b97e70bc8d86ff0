//! Flags of what happens to a record before it is used: decompression, and filters.

use crate::cli::{sizes, values};
use crate::record::decode::{Decode, MAX_DECODED};

/// How values are decompressed.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Decoding and filters")]
pub(crate) struct DecodeArgs {
    /// How to decompress values that were compressed one by one: auto follows the header
    /// content-encoding, and recognises Snappy streams (framed, and Java's) by their first bytes
    /// [default: auto; with consume -J none]
    #[arg(long, value_name = "CODEC", value_parser = values::decode())]
    pub decode: Option<Decode>,

    /// The largest size of a decompressed value, as in 64MiB
    #[arg(long, value_name = "SIZE", default_value_t = MAX_DECODED, value_parser = sizes::parse, hide_short_help = true)]
    pub max_decoded: usize,
}

/// Which records are used.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Decoding and filters")]
pub(crate) struct FilterArgs {
    /// Only records whose value matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub grep: Option<regex::bytes::Regex>,

    /// Only records with this key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub where_key: Option<String>,

    /// Only records with this header; repeatable: a record must have all of them
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub where_header: Vec<String>,
}
