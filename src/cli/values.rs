//! How flags read values of a closed list: the engines define the list, help and completions show its names.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::named::Named;
use crate::produce::OnInvalid;
use crate::reading::membership::GroupProtocol;
use crate::record::codec::Codec;
use crate::record::decode::Decode;
use crate::sending::settings::Acks;
use crate::worker::{OnFailure, OnOutage, Order};

/// A value of the list, by its name.
pub(super) fn one_of<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    described::<T>(|_| None)
}

/// The same, with a line of help for each value.
fn described<T: Named + Send + Sync>(
    help: impl Fn(T) -> Option<&'static str>,
) -> impl TypedValueParser<Value = T> {
    let values = T::ALL.iter().map(|value| {
        let possible = PossibleValue::new(value.name());
        match help(*value) {
            Some(text) => possible.help(text),
            None => possible,
        }
    });
    PossibleValuesParser::new(values).try_map(|name| T::named(&name).ok_or("not in the list"))
}

/// `--decode`
pub(super) fn decode() -> impl TypedValueParser<Value = Decode> {
    PossibleValuesParser::new(Decode::all().map(Decode::name)).try_map(|name| name.parse::<Decode>())
}

/// `--value-codec`
pub(super) fn value_codec() -> impl TypedValueParser<Value = Codec> {
    PossibleValuesParser::new(Codec::COMPRESSES.map(Codec::name)).try_map(|name| name.parse::<Codec>())
}

/// `--group-protocol`
pub(super) fn group_protocol() -> impl TypedValueParser<Value = GroupProtocol> {
    described(|protocol| {
        Some(match protocol {
            GroupProtocol::Classic => "The members, by --assignor",
            GroupProtocol::Consumer => {
                "The brokers, without stopping the other members (KIP-848, Apache Kafka 4.0 and later)"
            }
        })
    })
}

/// `--on-invalid`
pub(super) fn on_invalid() -> impl TypedValueParser<Value = OnInvalid> {
    described(|on_invalid| {
        Some(match on_invalid {
            OnInvalid::Stop => "Report it and read no more",
            OnInvalid::Skip => "Report it, count it, and read the next one",
        })
    })
}

/// `--order`
pub(super) fn order() -> impl TypedValueParser<Value = Order> {
    described(|order| {
        Some(match order {
            Order::Key => "Records of one key in one partition run one after the other",
            Order::Partition => "Records of one partition run one after the other",
            Order::None => "Any record runs at any time",
        })
    })
}

/// `--on-failure`
pub(super) fn on_failure() -> impl TypedValueParser<Value = OnFailure> {
    described(|on_failure| {
        Some(match on_failure {
            OnFailure::Stop => "Stop the worker; the record is not committed",
            OnFailure::Skip => "Continue; the record is committed as if it had succeeded",
            OnFailure::Retry => "Try again without a limit, with the longest backoff",
            OnFailure::Dlq => "Send it to --dlq, then continue",
        })
    })
}

/// `--on-outage`
pub(super) fn on_outage() -> impl TypedValueParser<Value = OnOutage> {
    described(|on_outage| {
        Some(match on_outage {
            OnOutage::Pause => {
                "Try one record at a time until one is done; meanwhile at most one is given up in each longest --backoff"
            }
            OnOutage::Stop => "Stop the worker; the record is not committed",
        })
    })
}

/// `--acks`: `-1` is Kafka's own word for all.
pub(super) fn acks() -> impl TypedValueParser<Value = Acks> {
    PossibleValuesParser::new(["all", "-1", "1", "0"]).map(|name| match name.as_str() {
        "0" => Acks::None,
        "1" => Acks::Some,
        _ => Acks::All,
    })
}
