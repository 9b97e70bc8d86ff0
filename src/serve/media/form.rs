//! Forms: `application/x-www-form-urlencoded` as one JSON object. Pure: no clock, no IO.

use std::collections::HashMap;

use bytes::Bytes;

use super::request::{Claim, Own, Request};
use crate::record::draft::Draft;
use crate::record::json::short;
use crate::serve::problem::{Problem, Wrong};

/// The record of a form.
pub(super) fn drafts(body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let own = Own {
        value: Some(object(body, request.limits.records)?.into()),
        claim: Claim::Json,
        ..Own::default()
    };
    let draft = request.draft(own);
    draft
        .map(|draft| vec![draft])
        .map_err(|detail| Problem::invalid_records(vec![Wrong { index: 0, detail }]))
}

/// The object of a form. The values are strings; a name that comes twice has an array of them. Names keep their order.
///
/// Bytes that are not UTF-8 are an error: a parser of forms by the WHATWG would replace them.
fn object(body: &[u8], most: usize) -> Result<Vec<u8>, Problem> {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (count, pair) in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == most {
            return Err(Problem::bad_request(format!(
                "the form has more than {most} fields (--max-records)"
            )));
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let name = decoded(&pair[..at]).map_err(|()| not_utf8("a name"))?;
        let value = decoded(pair.get(at + 1..).unwrap_or_default())
            .map_err(|()| not_utf8(&format!("the value of {:?}", short(&name))))?;
        if let Some(place) = places.get(&name) {
            fields[*place].1.push(value);
        } else {
            places.insert(name.clone(), fields.len());
            fields.push((name, vec![value]));
        }
    }
    if fields.is_empty() {
        return Err(Problem::bad_request("the form is empty"));
    }
    let mut value = Vec::with_capacity(body.len() + 2);
    for (name, values) in &fields {
        value.push(if value.is_empty() { b'{' } else { b',' });
        write(name, &mut value);
        value.push(b':');
        match &values[..] {
            [one] => write(one, &mut value),
            several => write(several, &mut value),
        }
    }
    value.push(b'}');
    Ok(value)
}

/// A plus is a space; then percent-decoding.
fn decoded(text: &[u8]) -> Result<String, ()> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(drop)
}

fn not_utf8(what: &str) -> Problem {
    Problem::bad_request(format!("{what} in the form is not UTF-8"))
}

fn write(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    // Cannot fail: strings into memory.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn value(body: &[u8]) -> Result<String, String> {
        let value = object(body, 100).map_err(|problem| problem.detail)?;
        Ok(String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_form_is_an_object_of_strings_in_its_order() {
        assert_eq!(value(b"b=2&a=x+y%26z&b=3&c").unwrap(), r#"{"b":["2","3"],"a":"x y&z","c":""}"#);
        assert_eq!(value(b"&a==%22&&").unwrap(), r#"{"a":"=\""}"#);
        assert_eq!(value("é=%C3%A9".as_bytes()).unwrap(), r#"{"é":"é"}"#);
        assert_eq!(value(b"100%=%zz").unwrap(), r#"{"100%":"%zz"}"#);
    }

    #[test]
    fn bytes_that_would_be_replaced_are_refused() {
        assert_eq!(value(b"a=%ff").unwrap_err(), r#"the value of "a" in the form is not UTF-8"#);
        assert_eq!(value(b"\xff=1").unwrap_err(), "a name in the form is not UTF-8");
        assert_eq!(value(b"&").unwrap_err(), "the form is empty");
    }

    proptest! {
        #[test]
        fn what_a_browser_encodes_arrives(pairs in prop::collection::vec(any::<(String, String)>(), 1..6)) {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let object: serde_json::Map<String, Value> = serde_json::from_str(&value(encoded.as_bytes()).unwrap()).unwrap();
            for (name, _) in &pairs {
                let expected: Vec<_> = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| Value::from(v.as_str())).collect();
                let expected = if let [one] = &expected[..] { one.clone() } else { Value::from(expected) };
                prop_assert_eq!(&object[name], &expected);
            }
        }

        #[test]
        fn no_form_panics(body in any::<Vec<u8>>()) {
            if let Ok(value) = value(&body) {
                prop_assert!(serde_json::from_str::<Value>(&value).unwrap().is_object());
            }
        }
    }
}
