//! Flags of what becomes of a record before it is used: decompression, and filters.

use crate::cli::values;
use crate::record::decode::{Decode, MAX_DECODED};

/// How values are decompressed.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Decoding and filters")]
pub struct DecodeArgs {
    /// Values that were compressed by themselves: auto goes by content-encoding and by the magic of
    /// framed and Java's Snappy [default: auto; with consume -J none]
    #[arg(long, value_name = "CODEC", value_parser = values::decode())]
    pub decode: Option<Decode>,

    /// The largest size that a value may decode to, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = MAX_DECODED, hide_short_help = true)]
    pub max_decoded: usize,
}

/// Which records are used.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Decoding and filters")]
pub struct FilterArgs {
    /// Only records whose value matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub grep: Option<regex::bytes::Regex>,

    /// Only records whose key is this
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub where_key: Option<String>,

    /// Only records with this header, repeatable (all must be there)
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub where_header: Vec<String>,
}
