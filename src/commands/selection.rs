//! From the flags of decoding and of filters to the decoder and the filter of both engines.

use anyhow::anyhow;

use crate::cli::selection::{DecodeArgs, FilterArgs};
use crate::record::decode::{Decode, Decoder};
use crate::record::filter::Filter;

/// How values are decompressed: by `default` where the flag is not given.
pub(super) fn decoder(args: &DecodeArgs, default: Decode) -> Decoder {
    Decoder { decode: args.decode.unwrap_or(default), max: args.max_decoded }
}

/// Which records are used; an error names the flag.
pub(super) fn filter(args: &FilterArgs) -> anyhow::Result<Filter> {
    let header = |text: &String| text.parse().map_err(|e| anyhow!("--where-header {e}"));
    Ok(Filter {
        grep: args.grep.clone(),
        key: args.where_key.as_ref().map(|key| key.as_bytes().to_vec()),
        headers: args.where_header.iter().map(header).collect::<anyhow::Result<_>>()?,
    })
}
