//! The topic, partition and offset that a message is about. Pure: no clock, no IO.
//!
//! Every message writes them in one form, `orders[3]` or `orders[3]@1042`, and the place that it is about first.

/// What a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: Option<i64>,
}

/// The longest name of a topic.
const LONGEST_TOPIC: usize = 249;

/// The place that a message is about: the one at its start, else the only one that is in it.
pub(super) fn of_message(message: &str) -> Option<Named<'_>> {
    if let Some((named, 0)) = first(message).map(|(named, start, _)| (named, start)) {
        return Some(named);
    }
    let (named, _, end) = first(message)?;
    first(&message[end..]).is_none().then_some(named)
}

/// The place at the start of what wrote a line, and whether there is nothing else in it.
pub(super) fn of_source(source: &str) -> Option<(Named<'_>, bool)> {
    let (named, start, end) = first(source)?;
    (start == 0).then_some((named, end == source.len()))
}

/// The first place in the text, where it starts and where it ends.
fn first(text: &str) -> Option<(Named<'_>, usize, usize)> {
    text.match_indices('[').find_map(|(bracket, _)| at(text, bracket))
}

/// The place whose partition begins with this bracket.
fn at(text: &str, bracket: usize) -> Option<(Named<'_>, usize, usize)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let before = &text[..bracket];
    let topic = &before[before.trim_end_matches(is_of_name).len()..];
    let (partition, rest) = number(&text[bracket + 1..])?;
    let rest = rest.strip_prefix(']')?;
    if topic.is_empty() || topic.len() > LONGEST_TOPIC {
        return None;
    }
    let (offset, rest) = match rest.strip_prefix('@').and_then(number) {
        Some((offset, rest)) => (Some(offset), rest),
        None => (None, rest),
    };
    let named = Named { topic, partition: i32::try_from(partition).ok()?, offset };
    Some((named, bracket - topic.len(), text.len() - rest.len()))
}

/// The number at the start of the text, and what follows it.
fn number(text: &str) -> Option<(i64, &str)> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    Some((text[..text.len() - rest.len()].parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(topic: &str, partition: i32, offset: Option<i64>) -> Named<'_> {
        Named { topic, partition, offset }
    }

    #[test]
    fn a_message_is_about_the_place_at_its_start_or_the_only_one_in_it() {
        for (message, expected) in [
            ("orders[0]@17: exit 1, to orders.dlq", Some(named("orders", 0, Some(17)))),
            ("orders[0]@17: no place in copies[3]", Some(named("orders", 0, Some(17)))),
            ("orders[0] held up by @17: attempt 67", Some(named("orders", 0, None))),
            ("orders[0]: its log was cut", Some(named("orders", 0, None))),
            ("group g: to a.b_c-d[12]@9", Some(named("a.b_c-d", 12, Some(9)))),
            ("stopped after orders[0]@17", Some(named("orders", 0, Some(17)))),
            ("assigned: a[0] a[1]", None),
            ("handler.py[pid 7]: its stdin is closed", None),
            ("orders[x]", None),
            ("orders[0", None),
            ("see [0]", None),
            ("orders[0]@", Some(named("orders", 0, None))),
            ("orders[0]@x", Some(named("orders", 0, None))),
            ("x[99999999999]", None),
            ("é[1]", None),
            ("", None),
        ] {
            assert_eq!(of_message(message), expected, "{message}");
        }
    }

    #[test]
    fn a_source_begins_with_its_place() {
        let place = named("orders", 0, Some(17));
        assert_eq!(of_source("orders[0]@17"), Some((place, true)));
        assert_eq!(of_source("orders[0]@17..19"), Some((place, false)));
        for text in ["handler.sh[pid 7]", "at orders[0]"] {
            assert_eq!(of_source(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_place_is_found_as_it_was_written(
            topic in "[a-zA-Z0-9._-]{1,20}",
            partition in 0..i32::MAX,
            offset in proptest::option::of(0..i64::MAX),
            rest in "(: [^\\[]{0,20})?",
        ) {
            let at = offset.map(|offset| format!("@{offset}")).unwrap_or_default();
            let message = format!("{topic}[{partition}]{at}{rest}");
            prop_assert_eq!(of_message(&message), Some(named(&topic, partition, offset)));
        }

        #[test]
        fn any_text_is_looked_at(text in "\\PC{0,40}") {
            let _ = of_message(&text);
        }
    }
}
