//! A place in a JSON text (RFC 6901), and what is there, without a tree of the text. Pure: no clock, no IO.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use anyhow::{anyhow, bail, ensure};

use super::json::parts;

/// The deepest place: each step looks at what is left of the text.
const DEEPEST: usize = 100;

/// A JSON Pointer, such as `/order/id` or `/items/0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// As it was written.
    text: String,
    steps: Vec<Step>,
}

/// One reference token of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// The name of a member.
    name: String,
    /// The same as an index of an array: digits without leading zeros.
    index: Option<usize>,
}

impl FromStr for Pointer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wrong = |why: &str| anyhow!("{text:?} is not a JSON pointer such as /order/id: {why}");
        ensure!(
            text.starts_with('/'),
            wrong("it begins with /, and each part of the way down stands behind a /")
        );
        let step = |token: &str| {
            let escapes = token.matches('~').count();
            if token.matches("~0").count() + token.matches("~1").count() != escapes {
                bail!(wrong("~ is written as ~0, and / in a name as ~1"));
            }
            let is_index =
                token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
            Ok(Step {
                name: token.replace("~1", "/").replace("~0", "~"),
                index: if is_index { token.parse().ok() } else { None },
            })
        };
        let steps = text[1..].split('/').map(step).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(steps.len() <= DEEPEST, wrong("it is deeper than 100"));
        Ok(Self { text: text.to_owned(), steps })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pointer {
    /// The key that is at this place of a value; else why there is none, in one line. Of what counts as one,
    /// see [`Pointer::find`].
    pub(crate) fn key<'a>(&self, value: Option<&'a [u8]>) -> Result<Cow<'a, [u8]>, String> {
        let value = value.ok_or_else(|| format!("no key: a null value has nothing at {self}"))?;
        match self.find(value) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(format!("no key: the value has nothing at {self}, or null")),
            Err(why) => Err(format!("no key: nothing is at {self}: the value is {why}")),
        }
    }

    /// What is at this place of a JSON text: the text of a string, without its quotes and escapes; a number,
    /// `true`, `false`, an object or an array as its bytes stand there. `None` where nothing is, or `null`. Of
    /// members of one name the last counts, as for most parsers.
    ///
    /// An error says in one line why the text can't be read.
    fn find<'a>(&self, text: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, String> {
        let mut at = parts::json(text)?;
        for step in &self.steps {
            let below = match at.members() {
                Some(members) => {
                    members.filter(|(name, _)| *name == step.name).last().map(|(_, value)| value)
                }
                None => at.elements().zip(step.index).and_then(|(mut elements, index)| elements.nth(index)),
            };
            let Some(below) = below else { return Ok(None) };
            at = below;
        }
        match at.string() {
            Some(Cow::Borrowed(plain)) => Ok(Some(plain.as_bytes().into())),
            Some(Cow::Owned(plain)) => Ok(Some(plain.into_bytes().into())),
            None if at.is_null() => Ok(None),
            None if at.is_string() => Err("not JSON: half of a surrogate pair".into()),
            None => Ok(Some(at.as_str().as_bytes().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn at(pointer: &str) -> Pointer {
        pointer.parse().unwrap()
    }

    fn found(pointer: &str, text: &str) -> Option<String> {
        let found = at(pointer).find(text.as_bytes()).unwrap();
        found.map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    /// The document of RFC 6901, 5.
    const RFC: &str =
        r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;

    #[test]
    fn the_pointers_of_the_rfc_find_what_it_says() {
        for (pointer, value) in [
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", "bar"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(found(pointer, RFC).as_deref(), Some(value), "{pointer}");
            assert_eq!(at(pointer).to_string(), pointer);
        }
        for nowhere in
            ["/foo/2", "/foo/-", "/foo/01", "/foo/00", "/foo/+1", "/foo/bar", "/bar", "/foo/0/0", "//"]
        {
            assert_eq!(found(nowhere, RFC), None, "{nowhere}");
        }
    }

    #[test]
    fn a_text_that_is_no_pointer_says_so() {
        for (text, part) in [
            ("", "begins with /"),
            ("id", "begins with /"),
            ("$.id", "begins with /"),
            ("/a~b", "~0"),
            ("/a~", "~0"),
            ("/~2", "~0"),
            (&"/a".repeat(101), "deeper than 100"),
        ] {
            let error = text.parse::<Pointer>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("/order/id"), "{text}: {error}");
        }
        assert_eq!(at("/~01").steps[0].name, "~1");
    }

    #[test]
    fn a_string_gives_its_text_and_anything_else_its_bytes() {
        for (text, key) in [
            (r#"{"k":"a b"}"#, Some("a b")),
            (r#"{"k":""}"#, Some("")),
            (r#"{"k":"\ud83e\udd80\n\"\u0041"}"#, Some("🦀\n\"A")),
            (r#"{"k":"null"}"#, Some("null")),
            (r#"{"k": null }"#, None),
            (r#"{"k": 1.50e+3 }"#, Some("1.50e+3")),
            (r#"{"k":-0}"#, Some("-0")),
            (r#"{"k":123456789012345678901234567890}"#, Some("123456789012345678901234567890")),
            (r#"{"k":true}"#, Some("true")),
            ("{\"k\":\t{ \"b\" : [ 1 ] } }", Some("{ \"b\" : [ 1 ] }")),
            (r#"{"k":1,"\u006b":2}"#, Some("2")),
            (r#"{"k":1,"k":null}"#, None),
            (r#"{"k":1,"j":{"k":3}}"#, Some("1")),
            (r#" [{"k":1}] "#, None),
            ("1", None),
            ("\"k\"", None),
        ] {
            assert_eq!(found("/k", text).as_deref(), key, "{text}");
        }
        // It is a part of the text, where that is possible.
        assert!(matches!(at("/k").find(br#"{"k":"plain"}"#), Ok(Some(Cow::Borrowed(b"plain")))));
    }

    #[test]
    fn why_there_is_no_key_is_said() {
        let why = |value: Option<&[u8]>| at("/k/0").key(value).unwrap_err();
        assert_eq!(why(None), "no key: a null value has nothing at /k/0");
        assert_eq!(why(Some(b"{}")), "no key: the value has nothing at /k/0, or null");
        for (value, part) in [
            (b"" as &[u8], "empty"),
            (b"{\"k\":[1]} x", "trailing characters (column 11)"),
            (b"{\"k\":[1]", "EOF"),
            (b"\"\xff\"", "byte 2 is not UTF-8"),
            (br#"{"k":["\ud800"]}"#, "half of a surrogate pair"),
        ] {
            let why = why(Some(value));
            assert!(why.starts_with("no key: nothing is at /k/0: the value is not JSON: "), "{why}");
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn no_depth_of_what_is_passed_over_overflows_the_stack() {
        let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
        let text = [b"{\"deep\":".as_slice(), &deep, b",\"k\":7}"].concat();
        assert_eq!(at("/k").find(&text).unwrap().as_deref(), Some(b"7".as_slice()));
        assert_eq!(at("/deep").find(&text).unwrap().as_deref(), Some(deep.as_slice()));
        let pointer = at(&"/0".repeat(100));
        assert_eq!(pointer.find(&deep).unwrap().map(|found| found.len()), Some(deep.len() - 200));
    }

    /// Small JSON with few names, so that pointers meet.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\é🦀]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a/~0]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_a_tree_has_at_this_place(value in json(), tokens in prop::collection::vec("[a/~01-]{0,2}", 1..4)) {
            let pointer: String =
                tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect();
            let text = serde_json::to_vec(&value).unwrap();
            let expected = match value.pointer(&pointer) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone().into_bytes()),
                Some(other) => Some(serde_json::to_vec(other).unwrap()),
            };
            prop_assert_eq!(at(&pointer).find(&text).unwrap().map(Cow::into_owned), expected);
        }

        #[test]
        fn no_bytes_panic(text in any::<Vec<u8>>(), like in r#"[\[\]{}",:0-9ak\\u \n]{0,40}"#) {
            let _ = at("/k/0").find(&text);
            let _ = at("/k/0").find(like.as_bytes());
        }
    }
}
