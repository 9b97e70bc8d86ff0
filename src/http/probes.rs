//! What probes and Prometheus ask for: `/metrics`, `/livez`, `/readyz`, `/healthz`.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use prometheus_client::registry::Registry;

use super::exposition;

/// The paths, as an answer names them.
const PATHS: [&str; 4] = ["/metrics", "/livez", "/readyz", "/healthz"];
const PLAIN: &str = "text/plain; charset=utf-8";

/// What is asked. A text says in a few words why not.
pub(crate) trait Probes {
    /// Whether a restart would not help.
    fn alive(&self) -> Result<(), String>;
    /// Whether it does its work.
    fn ready(&self) -> Result<(), String>;
    /// The metrics.
    fn registry(&self) -> &Registry;
}

/// The answer where this is the path of a probe. `/healthz` is another name of `/livez`.
pub(crate) fn answer(
    probes: &impl Probes,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response<Full<Bytes>>> {
    if !PATHS.contains(&path) {
        return None;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let (status, kind, body) = match path {
        "/metrics" => metrics(probes.registry(), headers),
        "/readyz" => verdict(probes.ready()),
        _ => verdict(probes.alive()),
    };
    Some(text(status, kind, body))
}

/// The answer of a listener that has only probes.
pub(crate) fn answer_all(
    probes: &impl Probes,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    let none = || text(StatusCode::NOT_FOUND, PLAIN, format!("there are {}\n", PATHS.join(", ")));
    answer(probes, method, path, headers).unwrap_or_else(none)
}

fn metrics(registry: &Registry, headers: &HeaderMap) -> (StatusCode, &'static str, String) {
    match exposition::text(registry) {
        Ok(text) if takes_openmetrics(headers) => (StatusCode::OK, exposition::CONTENT_TYPE, text),
        Ok(text) => (StatusCode::OK, exposition::PLAIN_CONTENT_TYPE, exposition::plain(&text)),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{e}\n")),
    }
}

/// Whether who asks names the format, as Prometheus does.
fn takes_openmetrics(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("application/openmetrics-text")))
}

/// A probe's answer: 200, or 503 and why.
fn verdict(outcome: Result<(), String>) -> (StatusCode, &'static str, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(Registry);

    impl Probes for Fake {
        fn alive(&self) -> Result<(), String> {
            Ok(())
        }

        fn ready(&self) -> Result<(), String> {
            Err("ending".to_owned())
        }

        fn registry(&self) -> &Registry {
            &self.0
        }
    }

    fn ask(method: &Method, path: &str) -> Response<Full<Bytes>> {
        answer_all(&Fake(Registry::default()), method, path, &HeaderMap::new())
    }

    #[test]
    fn probes_answer_get_and_head_and_nothing_else() {
        for (method, path, status) in [
            (Method::GET, "/livez", 200),
            (Method::HEAD, "/healthz", 200),
            (Method::GET, "/readyz", 503),
            (Method::GET, "/metrics", 200),
            (Method::POST, "/livez", 405),
            (Method::GET, "/", 404),
            (Method::GET, "/livez/", 404),
        ] {
            let response = ask(&method, path);
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers().contains_key(ALLOW), status == 405, "{method} {path}");
        }
    }

    #[test]
    fn metrics_come_in_the_format_that_is_asked_for() {
        let kind = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let answer = answer_all(&Fake(Registry::default()), &Method::GET, "/metrics", &headers);
            answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert!(
            kind("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.4").contains("openmetrics")
        );
        assert!(kind("*/*").starts_with("text/plain"));
    }
}
