//! Bodies of any type: one record of the bytes, with its `content-type`. Pure: no clock, no IO.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;

use super::request::{Own, Request};
use crate::record::draft::Draft;
use crate::serve::problem::{Problem, Wrong};

/// The record of a body that is not looked into: the bytes as they came, and a header `content-type` where the
/// request has one.
pub(super) fn drafts(body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let content_type = request.headers.get(CONTENT_TYPE);
    let headers = content_type.map(|value| (b"content-type".to_vec(), Some(value.as_bytes().to_vec())));
    let own = Own { value: Some(body.clone()), headers: headers.into_iter().collect(), ..Own::default() };
    let draft = request.draft(own);
    draft
        .map(|draft| vec![draft])
        .map_err(|detail| Problem::invalid_records(vec![Wrong { index: 0, detail }]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::media::testing::{headers, records, topic};
    use crate::serve::media::{Kind, kind};
    use crate::serve::settings::Topic;

    #[test]
    fn bytes_stay_as_they_are_and_their_type_is_a_header() {
        let topic = Topic { any: true, ..topic() };
        let body = Bytes::from_static(b"\x00\xff\r\n");
        let typed = headers(&[("content-type", "Image/PNG; a=b")]);
        assert_eq!(kind(&typed, &topic).unwrap(), Kind::Raw);
        let drafts = records(Kind::Raw, &body, &typed, &topic).unwrap();
        let content_type = (b"content-type".to_vec(), Some(b"Image/PNG; a=b".to_vec()));
        let expected = Draft { value: Some(body.clone()), headers: vec![content_type], ..Draft::default() };
        assert_eq!(drafts, [expected]);
        let drafts = records(Kind::Raw, &body, &headers(&[]), &topic).unwrap();
        assert_eq!(drafts, [Draft { value: Some(body), ..Draft::default() }]);
    }
}
