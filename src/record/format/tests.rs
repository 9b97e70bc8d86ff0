//! What formats are to do, token by token and for arbitrary records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;

use super::*;
use crate::record::{Header, Timestamp};

/// Two days before the year 10000.
const LAST: i64 = 253_402_127_999_999;

const HEADERS: &[Header<'_>] = &[
    Header { name: b"h", value: Some(b"1") },
    Header { name: b"n", value: None },
    Header { name: b"a:b", value: Some(b"") },
    Header { name: b"h", value: Some(b"\x01\xff") },
];

const RECORD: RecordRef<'_> = RecordRef {
    topic: "orders",
    partition: 3,
    offset: 1042,
    leader_epoch: None,
    timestamp: Timestamp::Create(1_700_000_000_123),
    key: Some(b"k1"),
    value: Some(b"v\xffw"),
    headers: HEADERS,
};

const BARE: RecordRef<'_> =
    RecordRef { key: None, value: None, headers: &[], timestamp: Timestamp::None, ..RECORD };

fn shown(format: &str, record: &RecordRef<'_>) -> Vec<u8> {
    let mut out = b"before|".to_vec();
    Template::parse(format).unwrap().append(record, &mut out);
    out.split_off(7)
}

fn text(format: &str, record: &RecordRef<'_>) -> String {
    String::from_utf8(shown(format, record)).unwrap()
}

#[test]
fn every_token_shows_its_part_of_the_record() {
    assert_eq!(text("%t[%p]@%o %k/%K %S %T %%", &RECORD), "orders[3]@1042 k1/2 3 1700000000123 %");
    assert_eq!(
        text("%{topic} %{partition} %{offset} %{key} %{timestamp}", &RECORD),
        "orders 3 1042 k1 1700000000123"
    );
    assert_eq!(text("%{time}", &RECORD), "2023-11-14T22:13:20.123Z");
    assert_eq!(
        text("%{key:hex} %{key:base64} %{value:hex} %{value:base64}", &RECORD),
        "6b31 azE= 76ff77 dv93"
    );
    for value in ["%s", "%v", "%{value}"] {
        assert_eq!(shown(value, &RECORD), b"v\xffw");
    }
    assert_eq!(shown("%R", &RECORD), [0, 0, 0, 3]);
}

#[test]
fn each_token_of_the_table_is_understood_by_every_name_and_named_in_errors_and_help() {
    let (error, table) = (format!("{:#}", Template::parse("%z").unwrap_err()), table());
    for token in &TOKENS {
        let letters = token.letters.chars().map(|letter| format!("%{letter}"));
        let names = token.name.into_iter().map(|name| format!("%{{{name}}}"));
        let spellings: Vec<String> = letters.chain(names).collect();
        assert!(!spellings.is_empty());
        for spelling in &spellings {
            let same = Template::parse(spelling).unwrap() == Template::parse(&spellings[0]).unwrap();
            assert!(same && error.contains(spelling), "{spelling}");
            let row = table.lines().find(|row| row.split(' ').any(|word| word == spelling));
            assert!(row.is_some_and(|row| row.ends_with(token.meaning)), "{spelling}: {table}");
        }
    }
}

#[test]
fn headers_are_as_in_kcat_and_one_of_them_is_the_last_of_its_name() {
    assert_eq!(shown("%h", &RECORD), b"h=1,n=NULL,a:b=,h=\x01\xff");
    assert_eq!(shown("%{headers}", &RECORD), shown("%h", &RECORD));
    assert_eq!(shown("%{header:h}", &RECORD), b"\x01\xff");
    assert_eq!(text("%{header:h:hex} %{header:h:base64}", &RECORD), "01ff Af8=");
    assert_eq!(text("<%{header:a:b}> <%{header:none}> <%{header:n}>", &RECORD), "<> <> <>");
    assert_eq!(text("%h", &BARE), "");
}

#[test]
fn null_is_empty_and_its_length_is_less_than_nothing() {
    assert_eq!(text("<%k> <%s> %K %S %T <%{time}> <%{key:hex}>", &BARE), "<> <> -1 -1 -1 <> <>");
    assert_eq!(shown("%R", &BARE), [0xff; 4]);
    let empty = RecordRef { key: Some(b""), value: Some(b""), ..BARE };
    assert_eq!(text("%K %S", &empty), "0 0");
}

#[test]
fn a_null_token_stands_for_null_and_not_for_empty() {
    let template = Template::parse("%k,%s,%{value:base64},%{header:none}").unwrap().with_null(b"NULL");
    let mut out = Vec::new();
    template.append(&BARE, &mut out);
    assert_eq!(out, b"NULL,NULL,NULL,NULL");
    out.clear();
    template.append(&RecordRef { key: Some(b""), value: Some(b""), ..BARE }, &mut out);
    assert_eq!(out, b",,,NULL");
}

#[test]
fn escapes_stand_between_tokens() {
    assert_eq!(shown(r"%p\t%o\n\x00\0\\n%%\xff", &RECORD), b"3\t1042\n\0\0\\n%\xff");
    assert_eq!(text("é %p — %o", &RECORD), "é 3 — 1042");
    assert_eq!(text("", &RECORD), "");
}

#[test]
fn a_bad_format_is_named_with_its_place_and_the_tokens_listed() {
    for (format, named) in [
        ("é%z", "character 2: unknown token %z"),
        ("%p %", "character 4: a % at the end"),
        ("%{nope}", "unknown token %{nope}"),
        ("%{key:hexx}", "unknown token %{key:hexx}"),
        ("%{topic:hex}", "unknown token %{topic:hex}"),
        ("%{header:}", "unknown token %{header:}"),
        ("%{header:NAME", "without its }"),
        ("%{header}", "unknown token %{header}"),
        ("%{headers:hex}", "unknown token %{headers:hex}"),
        ("%{}", "unknown token %{}"),
        ("%{key", "without its }"),
        ("%é", "unknown token %é"),
    ] {
        let error = format!("{:#}", Template::parse(format).unwrap_err());
        assert!(error.contains(named) && error.contains("%{header:NAME}"), "{format}: {error}");
    }
    let error = format!("{:#}", Template::parse(r"%p\q").unwrap_err());
    assert!(error.contains(r"character 3: unknown escape \q"), "{error}");
}

#[test]
fn plain_is_the_value_and_the_delimiter_with_the_key_before_them_if_asked() {
    let plain = |template: Template, record| {
        let mut out = Vec::new();
        template.append(record, &mut out);
        out
    };
    assert_eq!(plain(Template::plain(None, b"\n", None), &RECORD), b"v\xffw\n");
    assert_eq!(plain(Template::plain(Some(b"\t"), b"\0", None), &RECORD), b"k1\tv\xffw\0");
    assert_eq!(plain(Template::plain(Some(b":"), b"", Some(b"NULL")), &BARE), b"NULL:NULL");
    // A delimiter is bytes: nothing in it is a token.
    assert_eq!(plain(Template::plain(Some(b"%s"), b"\\n", None), &BARE), b"%s\\n");
}

#[test]
fn headers_are_needed_only_where_a_token_shows_them() {
    for (format, needed) in [("%s %{time}", false), ("%h", true), ("%{header:a}", true), ("%%h", false)] {
        assert_eq!(Template::parse(format).unwrap().needs_headers(), needed, "{format}");
    }
}

#[test]
fn a_time_beyond_rfc_3339_is_in_milliseconds() {
    let at = |ms| text("%{time}", &RecordRef { timestamp: Timestamp::LogAppend(ms), ..RECORD });
    assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(-1), "1969-12-31T23:59:59.999Z");
    assert_eq!(at(LAST), "9999-12-29T23:59:59.999Z");
    assert_eq!(at(LAST + 3 * 86_400_000), (LAST + 3 * 86_400_000).to_string());
    assert_eq!(at(i64::MIN), i64::MIN.to_string());
    assert_eq!(at(YEAR_0), "0000-01-01T00:00:00.000Z");
    assert_eq!(at(YEAR_0 - 1), (YEAR_0 - 1).to_string());
}

proptest! {
    #[test]
    fn no_format_panics(format in any::<String>(), likely in "[%\\\\{}:a-zSKTRx0-9]{0,20}") {
        for format in [format, likely] {
            if let Ok(template) = Template::parse(&format) {
                template.append(&RECORD, &mut Vec::new());
                template.append(&BARE, &mut Vec::new());
            }
        }
    }

    #[test]
    fn text_without_tokens_is_itself(text in "[^%\\\\]*") {
        prop_assert_eq!(shown(&text, &RECORD), text.as_bytes());
    }

    #[test]
    fn what_a_record_holds_comes_out_as_it_is(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let record = RecordRef { key: Some(&key), value: Some(&value), ..RECORD };
        prop_assert_eq!(shown("%k%s", &record), [key.clone(), value.clone()].concat());
        prop_assert_eq!(BASE64.decode(shown("%{value:base64}", &record)).unwrap(), value.clone());
        let hex = text("%{key:hex}", &record);
        let back: Vec<u8> = (0..key.len()).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        prop_assert_eq!(back, key);
    }

    #[test]
    fn a_time_reads_back_as_its_milliseconds(ms in YEAR_0..=LAST) {
        let shown = text("%{time}", &RecordRef { timestamp: Timestamp::Create(ms), ..RECORD });
        prop_assert_eq!(shown.parse::<jiff::Timestamp>().unwrap().as_millisecond(), ms);
        prop_assert_eq!(shown.len(), 24);
    }
}
