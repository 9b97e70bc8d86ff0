//! What query and headers of a request say of its records: key, partition, timestamp, headers. Pure: no clock, no IO.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use hyper::HeaderMap;
use percent_encoding::percent_decode;

use super::problem::Problem;
use crate::clock::time;
use crate::record::OwnedHeader;
use crate::record::json::short;
use crate::record::shape::keepable;

/// What a request says of all of its records. A record that says the same of itself rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub key: Option<Bytes>,
    /// Never negative.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch; one that [`keepable`] accepts.
    pub timestamp: Option<i64>,
    /// `Kafka-Header-NAME`: names in lower case, values as they came. Those of one name keep their order.
    pub headers: Vec<OwnedHeader>,
    pub report: Report,
}

/// What the answer to a batch tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Report {
    /// Partition and offset of each record.
    #[default]
    Records,
    /// How many were acknowledged.
    Summary,
}

/// The parameters of a query, as an error lists them.
const PARAMETERS: &str = "key, key_base64, partition, timestamp and report";

/// With and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Named {
    /// Reads the query, without its `?`, and the headers. `in_path` is the partition that the path names.
    /// What is not known, given twice or not readable is a problem (400).
    pub(crate) fn read(
        query: Option<&str>,
        headers: &HeaderMap,
        in_path: Option<i32>,
    ) -> Result<Self, Problem> {
        let mut named = Self::default();
        let mut key = Once::new("the key");
        let mut partition = Once::new("the partition");
        let mut timestamp = Once::new("the timestamp");
        let mut report = Once::new("what is reported");
        if let Some(number) = in_path {
            partition.set("the path", number)?;
        }
        for (name, value) in parameters(query.unwrap_or_default()) {
            match &*decoded(name, "the query")? {
                b"key" => key.set("?key", Bytes::from(decoded(value, "?key")?))?,
                b"key_base64" => {
                    key.set("?key_base64", from_base64(&decoded(value, "?key_base64")?, "?key_base64")?)?;
                }
                b"partition" => partition.set("?partition", number(&text(value, "?partition")?)?)?,
                b"timestamp" => timestamp.set("?timestamp", moment(&text(value, "?timestamp")?)?)?,
                b"report" => report.set("?report", reported(&text(value, "?report")?)?)?,
                unknown => {
                    let unknown = short(&String::from_utf8_lossy(unknown));
                    return Err(Problem::bad_request(format!(
                        "unknown query parameter {unknown:?}: there are {PARAMETERS}"
                    )));
                }
            }
        }
        for (name, value) in headers {
            let Some(rest) = name.as_str().strip_prefix("kafka-") else { continue };
            match (rest, rest.strip_prefix("header-")) {
                ("key", _) => key.set("Kafka-Key", Bytes::copy_from_slice(value.as_bytes()))?,
                ("key-base64", _) => {
                    key.set("Kafka-Key-Base64", from_base64(value.as_bytes(), "Kafka-Key-Base64")?)?;
                }
                (_, Some(name)) if !name.is_empty() => {
                    named.headers.push((name.as_bytes().to_vec(), Some(value.as_bytes().to_vec())));
                }
                _ => {
                    return Err(Problem::bad_request(format!(
                        "unknown header {:?}: there are Kafka-Key, Kafka-Key-Base64 and Kafka-Header-NAME",
                        short(name.as_str())
                    )));
                }
            }
        }
        Ok(Self {
            key: key.value,
            partition: partition.value,
            timestamp: timestamp.value,
            report: report.value.unwrap_or_default(),
            ..named
        })
    }
}

/// A value that may be given once, in any of its places.
struct Once<T> {
    what: &'static str,
    given: Option<&'static str>,
    value: Option<T>,
}

impl<T> Once<T> {
    fn new(what: &'static str) -> Self {
        Self { what, given: None, value: None }
    }

    fn set(&mut self, place: &'static str, value: T) -> Result<(), Problem> {
        match self.given.replace(place) {
            None => {
                self.value = Some(value);
                Ok(())
            }
            Some(first) if first == place => Err(Problem::bad_request(format!("{place} is given twice"))),
            Some(first) => {
                let what = self.what;
                Err(Problem::bad_request(format!("both {first} and {place} give {what}: give one")))
            }
        }
    }
}

/// The parameters of a query, not decoded. One without `=` has an empty value.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let given = query.split('&').filter(|parameter| !parameter.is_empty());
    given.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// The bytes that a part of a query stands for: `+` is a space, as forms and the query functions of most
/// languages write it, and `%XX` is a byte (URL standard, application/x-www-form-urlencoded). A `%` without
/// two digits is refused: what was meant is not known.
fn decoded(text: &str, place: &str) -> Result<Vec<u8>, Problem> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(Problem::bad_request(format!(
            "{place} has a % without two hexadecimal digits after it: write % itself as %25"
        )));
    }
    Ok(percent_decode(text.replace('+', " ").as_bytes()).collect())
}

/// The same as text.
fn text(value: &str, place: &str) -> Result<String, Problem> {
    let bytes = decoded(value, place)?;
    String::from_utf8(bytes).map_err(|_| Problem::bad_request(format!("{place} is not UTF-8")))
}

/// Base64 by either alphabet, with or without padding. In a query, a `+` arrives as a space.
fn from_base64(text: &[u8], place: &str) -> Result<Bytes, Problem> {
    let standard = text.iter().map(|byte| match byte {
        b'-' | b' ' => b'+',
        b'_' => b'/',
        other => *other,
    });
    let bytes = BASE64.decode(standard.collect::<Vec<u8>>());
    bytes.map(Bytes::from).map_err(|e| Problem::bad_request(format!("{place} is not base64: {e}")))
}

fn number(text: &str) -> Result<i32, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<i32>().ok().filter(|_| is_number).ok_or_else(|| {
        Problem::bad_request(format!("?partition {:?} is not a partition's number, from 0 on", short(text)))
    })
}

/// A time in milliseconds, or RFC 3339.
fn moment(text: &str) -> Result<i64, Problem> {
    let negative = text.parse::<i64>().ok().filter(|ms| *ms < 0);
    let read = match negative {
        Some(ms) => Ok(ms),
        // The + of an offset that was not written as %2B.
        None => time::parse(text).or_else(|e| time::parse(&text.replace(' ', "+")).map_err(|_| e)),
    };
    read.and_then(keepable)
        .map_err(|e| Problem::bad_request(format!("?timestamp: {}", short(&e.to_string()))))
}

fn reported(text: &str) -> Result<Report, Problem> {
    match text {
        "records" => Ok(Report::Records),
        "summary" => Ok(Report::Summary),
        _ => Err(Problem::bad_request(format!(
            "?report {:?}: give summary, or records, which is the default",
            short(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn of_query(query: &str) -> Result<Named, Problem> {
        Named::read(Some(query), &HeaderMap::new(), None)
    }

    fn of_headers(pairs: &[(&str, &[u8])]) -> Result<Named, Problem> {
        Named::read(None, &headers(pairs), None)
    }

    /// What is refused, and that it is 400.
    fn refused(read: Result<Named, Problem>) -> String {
        let problem = read.unwrap_err();
        assert_eq!(problem, Problem::bad_request(problem.detail.clone()));
        problem.detail
    }

    fn key_of(query: &str) -> Option<Vec<u8>> {
        of_query(query).unwrap().key.map(|key| key.to_vec())
    }

    #[test]
    fn a_request_without_any_of_it_names_nothing() {
        assert_eq!(Named::read(None, &HeaderMap::new(), None), Ok(Named::default()));
        assert_eq!(of_query("&&"), Ok(Named::default()));
        assert_eq!(of_headers(&[("kafka", b"x"), ("x-kafka-key", b"x")]), Ok(Named::default()));
    }

    #[test]
    fn a_key_is_bytes() {
        assert_eq!(key_of("key=customer-7"), Some(b"customer-7".to_vec()));
        assert_eq!(key_of("key=a+b%20c%2B%26%3d="), Some(b"a b c+&==".to_vec()));
        assert_eq!(key_of("key=%ff%00%0A"), Some(b"\xff\x00\n".to_vec()));
        assert_eq!(key_of("%6bey=a"), Some(b"a".to_vec()));
        // Empty is not null.
        assert_eq!(key_of("key="), Some(vec![]));
        assert_eq!(key_of("key"), Some(vec![]));
        for text in ["%2Bv8=", "%2bv8", "+v8=", "-v8%3D", "-v8"] {
            assert_eq!(key_of(&format!("key_base64={text}")), Some(b"\xfa\xff".to_vec()), "{text}");
        }
        assert_eq!(key_of("key_base64=_-8"), Some(b"\xff\xef".to_vec()));
        let named = of_headers(&[("Kafka-Key", b"a+b%20\xe9")]).unwrap();
        assert_eq!(named.key.as_deref(), Some(b"a+b%20\xe9".as_slice()));
        let named = of_headers(&[("Kafka-Key-Base64", b"+v8=")]).unwrap();
        assert_eq!(named.key.as_deref(), Some(b"\xfa\xff".as_slice()));
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        assert_eq!(refused(of_query("key=a&key=a")), "?key is given twice");
        assert_eq!(
            refused(of_query("key=a&key_base64=YQ")),
            "both ?key and ?key_base64 give the key: give one"
        );
        assert_eq!(
            refused(Named::read(Some("key=a"), &headers(&[("kafka-key", b"a")]), None)),
            "both ?key and Kafka-Key give the key: give one"
        );
        assert_eq!(
            refused(of_headers(&[("kafka-key", b"a"), ("kafka-key", b"b")])),
            "Kafka-Key is given twice"
        );
        assert_eq!(
            refused(Named::read(Some("partition=1"), &HeaderMap::new(), Some(1))),
            "both the path and ?partition give the partition: give one"
        );
        assert_eq!(
            refused(of_query("timestamp=1800000000000&timestamp=1800000000000")),
            "?timestamp is given twice"
        );
    }

    #[test]
    fn a_partition_is_a_number_from_0_on() {
        assert_eq!(of_query("partition=0").unwrap().partition, Some(0));
        assert_eq!(of_query("partition=2147483647").unwrap().partition, Some(i32::MAX));
        assert_eq!(Named::read(None, &HeaderMap::new(), Some(3)).unwrap().partition, Some(3));
        for text in ["", "-1", "2147483648", "1.0", "%2B1", "+1", "one", "%ff"] {
            let detail = refused(of_query(&format!("partition={text}")));
            assert!(detail.contains("?partition"), "{text}: {detail}");
        }
    }

    #[test]
    fn a_timestamp_is_milliseconds_or_rfc_3339_and_one_that_cannot_be_kept_says_why() {
        for text in [
            "1714559400000",
            "2024-05-01T10:30:00Z",
            "2024-05-01T12:30:00%2B02:00",
            "2024-05-01T12:30:00+02:00",
            "2024-05-01T10:30:00",
            "1714559400s",
        ] {
            let named = of_query(&format!("timestamp={text}"));
            assert_eq!(named.unwrap().timestamp, Some(1_714_559_400_000), "{text}");
        }
        for (text, part) in [
            ("0", "timestamp 0 can't be kept"),
            ("-1", "timestamp -1: Kafka has no time before 1970"),
            ("1969-12-31T23:59:59Z", "Kafka has no time before 1970"),
            ("1714559400", "ambiguous"),
            ("now", "is not a time"),
            ("", "is not a time"),
            ("99999999999999999999", "more milliseconds"),
        ] {
            let detail = refused(of_query(&format!("timestamp={text}")));
            assert!(detail.starts_with("?timestamp: ") && detail.contains(part), "{text}: {detail}");
        }
    }

    #[test]
    fn the_headers_of_a_name_keep_their_order_and_their_bytes() {
        let named = of_headers(&[
            ("Kafka-Header-Trace", b"1"),
            ("Kafka-Header-B", b""),
            ("kafka-header-trace", b"\xff 2"),
            ("Kafka-Header-TRACE", b"1"),
        ]);
        let headers = named.unwrap().headers;
        let of = |name: &[u8]| {
            let values = headers.iter().filter(|header| header.0 == name);
            values.map(|(_, value)| value.clone().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(b"trace"), [b"1".to_vec(), b"\xff 2".to_vec(), b"1".to_vec()]);
        assert_eq!(of(b"b"), [Vec::<u8>::new()]);
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is_and_without_its_value() {
        let detail = refused(of_query("key=a&access_token=secret"));
        assert_eq!(
            detail,
            "unknown query parameter \"access_token\": there are key, key_base64, partition, timestamp and report"
        );
        assert!(refused(of_query("Key=a")).contains("\"Key\""));
        for name in ["kafka-header-", "kafka-headers-a", "kafka-partition", "kafka-"] {
            let detail = refused(of_headers(&[(name, b"secret")]));
            assert!(detail.starts_with(&format!("unknown header {name:?}: there are Kafka-Key")), "{detail}");
            assert!(!detail.contains("secret"));
        }
        assert!(refused(of_query(&"x".repeat(10_000))).len() < 1000);
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for query in
            ["key=%", "key=a%4", "key=%zz", "key=100%&partition=1", "%k=a", "key=%%20", "key_base64=%4"]
        {
            let detail = refused(of_query(query));
            assert!(detail.ends_with("write % itself as %25"), "{query}: {detail}");
        }
        assert!(refused(of_query("key_base64=a")).starts_with("?key_base64 is not base64: "));
        assert!(
            refused(of_headers(&[("kafka-key-base64", b"*")])).starts_with("Kafka-Key-Base64 is not base64")
        );
    }

    #[test]
    fn a_report_is_of_records_or_a_summary() {
        assert_eq!(of_query("report=summary").unwrap().report, Report::Summary);
        assert_eq!(of_query("report=records").unwrap().report, Report::Records);
        assert!(refused(of_query("report=all")).contains("give summary, or records"));
    }

    proptest! {
        #[test]
        fn a_key_arrives_as_any_client_encodes_it(key in any::<Vec<u8>>(), more in "[a-z%]{0,3}") {
            // Every byte, only those that must be, and as forms do it.
            let whole: String = key.iter().map(|byte| format!("%{byte:02x}")).collect();
            let encoded = percent_encode(&key, NON_ALPHANUMERIC).to_string();
            let form: String = form_urlencoded::byte_serialize(&key).collect();
            for text in [whole, encoded, form] {
                prop_assert_eq!(key_of(&format!("partition=1&key={text}")), Some(key.clone()));
            }
            for engine in [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE_NO_PAD] {
                let named = of_query(&format!("key_base64={}", engine.encode(&key))).unwrap();
                prop_assert_eq!(named.key.as_deref(), Some(&key[..]));
            }
            let _ = of_query(&format!("key={more}"));
        }

        #[test]
        fn no_query_panics_and_a_refusal_is_one_short_line(query in "\\PC{0,300}", like in "(key|partition|timestamp|%|=|&|[+a-f0-9]){0,20}") {
            for query in [query, like] {
                if let Err(problem) = of_query(&query) {
                    prop_assert!(problem.detail.len() < 1200 && !problem.detail.contains('\n'), "{}", problem.detail);
                }
            }
        }
    }
}
