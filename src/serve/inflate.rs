//! Bodies that were compressed (`Content-Encoding`), decompressed within a bound. Pure: no clock, no IO.

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use hyper::{HeaderMap, StatusCode};

use super::problem::Problem;
use crate::record::codec::{Codec, Failure};

/// What is taken, as `Accept-Encoding` says it.
const ACCEPTED: &str = "gzip, zstd";

/// How a body was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

/// How the body of a request with these headers is compressed; `None`: it is not. Known before the body is
/// read. One coding at most; another one than these is 415.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Problem> {
    let lists = headers.get_all(CONTENT_ENCODING);
    let names = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let names: Vec<&[u8]> = names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .collect();
    let refused = |detail: String| Problem {
        header: Some((ACCEPT_ENCODING, ACCEPTED.to_owned())),
        ..Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "unsupported content encoding",
            detail,
        )
    };
    match names[..] {
        [] => Ok(None),
        [name] => match Codec::of_coding(name) {
            Some(Codec::Gzip) => Ok(Some(Coding::Gzip)),
            Some(Codec::Zstd) => Ok(Some(Coding::Zstd)),
            _ => {
                let name: String = String::from_utf8_lossy(name).chars().take(40).collect();
                Err(refused(format!("Content-Encoding {name:?} is not taken: send {ACCEPTED} or none")))
            }
        },
        _ => Err(refused(format!("more than one Content-Encoding: send one of {ACCEPTED}, or none"))),
    }
}

/// The body, decompressed: at most `most` bytes, which is `--max-body`. Nothing is decompressed beyond it.
pub(crate) fn inflate(coding: Coding, body: &[u8], most: usize) -> Result<Bytes, Problem> {
    let (name, codec) = match coding {
        Coding::Gzip => ("gzip", Codec::Gzip),
        Coding::Zstd => ("zstd", Codec::Zstd),
    };
    let mut inflated = Vec::new();
    match codec.decompress(body, most, &mut inflated) {
        Ok(()) => Ok(inflated.into()),
        Err(Failure::TooLarge(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "body too large",
            format!("the body is larger than {most} bytes (--max-body) after decompression"),
        )),
        Err(Failure::Corrupt(why)) => {
            Err(Problem::bad_request(format!("the body is not {name}, as its Content-Encoding says: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Result<Option<Coding>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        coding(&headers)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(body, 1).unwrap()
    }

    #[test]
    fn one_coding_is_taken_and_identity_is_none() {
        for none in [&[][..], &[""], &["identity"], &["Identity, ", "identity"]] {
            assert_eq!(of(none), Ok(None), "{none:?}");
        }
        for (name, coding) in
            [("gzip", Coding::Gzip), ("GZIP", Coding::Gzip), ("x-gzip", Coding::Gzip), ("zstd", Coding::Zstd)]
        {
            assert_eq!(of(&[name]), Ok(Some(coding)), "{name}");
        }
        assert_eq!(of(&["identity, gzip"]), Ok(Some(Coding::Gzip)));
    }

    #[test]
    fn another_coding_or_two_are_415_with_those_that_are_taken() {
        for values in [&["br"][..], &["deflate"], &["snappy"], &["lz4"], &["gzip, gzip"], &["gzip", "zstd"]] {
            let problem = of(values).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{values:?}");
            assert_eq!(problem.header, Some((ACCEPT_ENCODING, "gzip, zstd".to_owned())));
            assert!(problem.detail.contains("gzip, zstd"), "{}", problem.detail);
        }
    }

    #[test]
    fn members_that_follow_each_other_are_one_body() {
        let two = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(inflate(Coding::Gzip, &two, 2).unwrap(), "ab");
        let two = [zstd(b"a"), zstd(b"b")].concat();
        assert_eq!(inflate(Coding::Zstd, &two, 2).unwrap(), "ab");
    }

    #[test]
    fn what_is_not_whole_or_has_more_behind_it_is_400() {
        for (coding, whole) in [(Coding::Gzip, gzip(b"hello")), (Coding::Zstd, zstd(b"hello"))] {
            for body in [b"hello".to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat()] {
                let problem = inflate(coding, &body, 100).unwrap_err();
                assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{coding:?} {body:?}");
                assert!(problem.detail.contains("as its Content-Encoding says: "), "{}", problem.detail);
            }
        }
    }

    #[test]
    fn a_bomb_is_413_and_takes_no_memory_beyond_the_bound() {
        let most = 1 << 20;
        let zeros = vec![0; 64 << 20];
        for (coding, bomb) in [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd(&zeros))] {
            let problem = inflate(coding, &bomb, most).unwrap_err();
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(problem.detail.contains("1048576 bytes"), "{}", problem.detail);
        }
        assert_eq!(inflate(Coding::Gzip, &gzip(&zeros[..most]), most).unwrap().len(), most);
    }

    #[test]
    fn a_window_that_takes_more_memory_than_browsers_allow_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"small").unwrap();
        let body = encoder.finish().unwrap();
        assert_eq!(inflate(Coding::Zstd, &body, 1 << 20).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(body in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
            for (coding, compressed) in [(Coding::Gzip, gzip(&body)), (Coding::Zstd, zstd(&body))] {
                prop_assert_eq!(&inflate(coding, &compressed, body.len()).unwrap()[..], &body[..]);
                let _ = inflate(coding, &other, 1000);
                let _ = inflate(coding, &[&compressed[..], &other].concat(), 1000);
            }
        }
    }
}
