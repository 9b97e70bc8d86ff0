//! Which hosts and origins pass, and what CORS answers.

use proptest::prelude::*;

use super::*;

fn browsers(origins: &[&str], hosts: &[&str]) -> Browsers {
    let owned = |list: &[&str]| list.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    Browsers::new(&owned(origins), &owned(hosts)).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// The code of what is refused, or `ok`.
fn code(result: Result<(), Problem>) -> &'static str {
    result.map_or_else(
        |problem| {
            assert_eq!(problem.status.as_u16(), if problem.code == "bad_request" { 400 } else { 403 });
            problem.code
        },
        |()| "ok",
    )
}

fn sorted(headers: &Headers) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

#[test]
fn names_of_loopback_and_those_that_are_allowed_pass() {
    let rules = browsers(&[], &["Tunnel.example", "kq.example:8443"]);
    let of = |host: &str| code(rules.check_host(&headers(&[("host", host)])));
    for right in [
        "localhost",
        "localhost:8080",
        "LOCALHOST:1",
        "localhost.",
        "kq.localhost:8080",
        "127.0.0.1:8080",
        "127.9.8.7",
        "[::1]:8080",
        "[::1]",
        "[::ffff:127.0.0.1]:1",
        "tunnel.example",
        "TUNNEL.example.:443",
        "kq.example",
    ] {
        assert_eq!(of(right), "ok", "{right}");
    }
    for wrong in [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "tunnel.example.evil",
        "0.0.0.0:8080",
        "192.168.1.5:8080",
        "[::]:8080",
        "[::1",
        "::1",
        "localhost:x",
        "localhost:80:80",
        "a@localhost",
        "localhost/",
        "[::1]x",
    ] {
        assert_eq!(of(wrong), "host_not_allowed", "{wrong}");
    }
    assert_eq!(code(rules.check_host(&headers(&[]))), "bad_request");
    let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
    assert_eq!(code(rules.check_host(&twice)), "bad_request");
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let of = |origins: &[&str], origin: &str, host: &str, care| {
        code(browsers(origins, &[]).check_origin(&headers(&[("origin", origin), ("host", host)]), care))
    };
    let (app, here) = ("https://app.example", "localhost:8080");
    for wrong in [
        app,
        "null",
        "",
        "http://localhost:3000",
        "http://localhost:8080",
        "https://localhost:8080.evil",
        "file://",
    ] {
        assert_eq!(of(&[], wrong, here, Care::Always), "origin_not_allowed", "{wrong}");
        // A token is not sent by a page that does not know it.
        assert_eq!(of(&[], wrong, here, Care::IfListed), "ok", "{wrong}");
        assert_eq!(of(&["https://b.example"], wrong, here, Care::IfListed), "origin_not_allowed", "{wrong}");
        assert_eq!(of(&["*"], wrong, here, Care::Always), "ok", "{wrong}");
    }
    for right in [app, "HTTPS://APP.example", "https://app.example:443"] {
        assert_eq!(of(&[app], right, here, Care::Always), "ok", "{right}");
        assert_eq!(of(&["https://App.example:443"], right, here, Care::Always), "ok", "{right}");
    }
    for wrong in [
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "https://x.app.example",
    ] {
        assert_eq!(of(&[app], wrong, here, Care::Always), "origin_not_allowed", "{wrong}");
    }
    assert_eq!(code(browsers(&[], &[]).check_origin(&headers(&[]), Care::Always)), "ok", "not of a page");
    let twice = headers(&[("origin", app), ("origin", app), ("host", here)]);
    assert_eq!(code(browsers(&[app], &[]).check_origin(&twice, Care::Always)), "origin_not_allowed");
}

#[test]
fn a_preflight_is_answered_for_an_allowed_origin() {
    let asked = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, kafka-header-source"),
    ];
    let all = |origins: &[&str], asked: &[(&str, &str)]| {
        let (rules, request) = (browsers(origins, &[]), headers(asked));
        sorted(&[rules.preflight(&request).unwrap().unwrap(), rules.answer(&request)].concat())
    };
    let exposed = "access-control-expose-headers: Kq-Request-Id, Retry-After";
    assert_eq!(
        all(&["https://app.example"], &asked),
        [
            "access-control-allow-headers: authorization, kafka-header-source",
            "access-control-allow-methods: POST",
            "access-control-allow-origin: https://app.example",
            exposed,
            "access-control-max-age: 600",
            "vary: Origin",
        ],
        "each once: with two origins a browser refuses"
    );
    let any = ["access-control-allow-methods: POST", "access-control-allow-origin: *", exposed];
    assert_eq!(
        all(&["*"], &asked[..2]),
        [&any[..], &["access-control-max-age: 600"]].concat(),
        "no credentials"
    );

    for origins in [&[][..], &["https://b.example"]] {
        let refused = browsers(origins, &[]).preflight(&headers(&asked)).map(|_| ());
        assert_eq!(code(refused), "origin_not_allowed", "{origins:?}");
    }
    for part in [&asked[..1], &asked[1..]] {
        let plain = browsers(&["https://app.example"], &[]).preflight(&headers(part)).unwrap();
        assert_eq!(plain, None, "it is no preflight: {part:?}");
    }
}

#[test]
fn each_answer_for_an_allowed_origin_can_be_read() {
    let of =
        |origins: &[&str], pairs: &[(&str, &str)]| sorted(&browsers(origins, &[]).answer(&headers(pairs)));
    let app = [("origin", "https://app.example")];
    let exposed = "access-control-expose-headers: Kq-Request-Id, Retry-After";
    assert_eq!(
        of(&["https://app.example"], &app),
        ["access-control-allow-origin: https://app.example", exposed, "vary: Origin"]
    );
    assert_eq!(of(&["*"], &app), ["access-control-allow-origin: *", exposed]);
    assert_eq!(of(&["https://b.example"], &app), ["vary: Origin"]);
    assert_eq!(of(&["https://b.example"], &[]), ["vary: Origin"], "a cache may keep it");
    assert_eq!(of(&[], &app), [] as [&str; 0]);
}

#[test]
fn what_is_not_an_origin_or_a_name_is_refused_at_the_start() {
    let owned = |text: &str| vec![text.to_owned()];
    for wrong in
        ["app.example", "https://", "https://app.example/", "https://a b", "null", "", "https://a:b", "://a"]
    {
        let said = Browsers::new(&owned(wrong), &[]).unwrap_err().to_string();
        assert!(said.contains("is not an origin"), "{said}");
    }
    for wrong in ["", "https://kq.example", "a b", "kq.example/x", ":80", "*"] {
        let said = Browsers::new(&[], &owned(wrong)).unwrap_err().to_string();
        assert!(said.contains("is not a name of a host"), "{said}");
    }
}

proptest! {
    #[test]
    fn only_a_name_of_loopback_passes_by_itself(host in "[a-z0-9.:\\[\\]-]{0,24}") {
        let passes = browsers(&[], &[]).check_host(&headers(&[("host", &host)])).is_ok();
        let bare = host.split(':').next().unwrap_or_default().trim_end_matches('.');
        let could = bare.ends_with("localhost") || bare.starts_with("127.") || host.starts_with('[');
        prop_assert!(!passes || could, "{host}");
    }

    #[test]
    fn no_header_makes_it_fail(value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let map: HeaderMap = [(header::HOST, value.clone()), (header::ORIGIN, value)].into_iter().collect();
        let rules = browsers(&["https://app.example"], &[]);
        let _ = (rules.check_host(&map), rules.check_origin(&map, Care::Always), rules.answer(&map));
    }
}
