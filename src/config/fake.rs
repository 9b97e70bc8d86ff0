//! A catalogue for tests: the table of properties in the place of librdkafka. Pure: no clock, no IO.

use super::properties::{Catalogue, Refusal, values};

/// Accepts the names and values of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table;

impl Catalogue for Table {
    fn refusal(&self, name: &str, value: &str) -> Option<Refusal> {
        let Some(values) = values(name) else { return Some(Refusal::Unknown) };
        if (name, value) == ("sasl.oauthbearer.method", "oidc") {
            // This build has no OIDC.
            return Some(Refusal::Value(format!("{name}={value} not available at build time")));
        }
        // A property may take several words of its list: debug=broker,topic.
        let right = value.split(',').all(|word| values.split('|').any(|form| takes(form, word)));
        (values != "text" && !right).then(|| Refusal::Value("it is not in the list".into()))
    }

    fn default_of(&self, _name: &str) -> Option<String> {
        None
    }

    fn version(&self) -> String {
        "0".into()
    }
}

/// Whether a form of the table, a word or a range of numbers, takes this value.
fn takes(form: &str, value: &str) -> bool {
    match form.split_once("..") {
        Some((least, most)) => {
            let number = |text: &str| text.parse::<i64>().ok();
            let range = number(least).zip(number(most));
            range.zip(number(value)).is_some_and(|((least, most), value)| (least..=most).contains(&value))
        }
        None => form == "list" || form.eq_ignore_ascii_case(value),
    }
}
