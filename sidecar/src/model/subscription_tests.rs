//! What a subscription may hold: URLs and headers that can be sent.
//!
//! Invariant: whatever is refused here can never reach a delivery.

use super::*;

#[test]
fn a_url_is_kept_in_its_normal_form() {
    for (text, normal) in [
        ("https://EXAMPLE.com", "https://example.com/"),
        ("http://example.com:80/a/../b", "http://example.com/b"),
        ("https://example.com/hook?x=1", "https://example.com/hook?x=1"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
    ] {
        assert_eq!(Target::parse(text).unwrap().as_str(), normal, "{text}");
    }
}

#[test]
fn a_url_that_cannot_be_delivered_to_is_refused() {
    let long = format!("https://example.com/{}", "x".repeat(2048));
    for (text, reason) in [
        ("", InvalidUrl::Malformed),
        ("example.com/hook", InvalidUrl::Malformed),
        ("http://", InvalidUrl::Malformed),
        ("http:///hook", InvalidUrl::Malformed),
        ("http:/example.com", InvalidUrl::Malformed),
        ("http:example.com", InvalidUrl::Malformed),
        ("ftp://example.com/", InvalidUrl::Scheme),
        ("file:///etc/passwd", InvalidUrl::Scheme),
        ("https://user@example.com/", InvalidUrl::UserInfo),
        ("https://user:pw@example.com/", InvalidUrl::UserInfo),
        ("https://example.com/#top", InvalidUrl::Fragment),
        ("https://example.com:0/", InvalidUrl::Port),
        ("https://exa\tmple.com/", InvalidUrl::Characters),
        ("https:\\\\example.com", InvalidUrl::Characters),
        (" https://example.com", InvalidUrl::Characters),
        ("http://256.256.256.256/", InvalidUrl::Malformed),
        (&long, InvalidUrl::TooLong),
    ] {
        assert_eq!(Target::parse(text), Err(reason), "{text}");
    }
}

/// What is stored is read again under the same rule.
#[test]
fn a_url_that_grows_beyond_the_limit_in_its_normal_form_is_refused() {
    let growing = |letters| format!("https://example.com/{}", "ß".repeat(letters));
    assert!(growing(1_000).len() < Target::MAX_LENGTH);
    assert_eq!(Target::parse(&growing(1_000)), Err(InvalidUrl::TooLong));
    let longest = Target::parse(&growing(338)).unwrap();
    assert_eq!(longest.as_str().len(), Target::MAX_LENGTH);
    assert_eq!(Target::parse(longest.as_str()), Ok(longest));
}

#[test]
fn headers_that_can_be_sent_are_kept_in_order() {
    let headers = Headers::parse([("X-Two", "2"), ("authorization", "Bearer x")]).unwrap();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-two", "authorization"]);
}

#[test]
fn headers_that_cannot_be_sent_are_refused_by_name() {
    for (name, value, flaw) in [
        ("x y", "1", HeaderFlaw::Name),
        ("", "1", HeaderFlaw::Name),
        ("x-ü", "1", HeaderFlaw::Name),
        ("x-a", "line\r\nbreak", HeaderFlaw::Value),
        ("x-a", "nul\0", HeaderFlaw::Value),
        ("x-a", "café", HeaderFlaw::Value),
        ("Host", "example.com", HeaderFlaw::Reserved),
        ("Content-Length", "3", HeaderFlaw::Reserved),
        ("Webhook-Id", "1", HeaderFlaw::Reserved),
        ("proxy-authorization", "1", HeaderFlaw::Reserved),
    ] {
        assert_eq!(Headers::parse([(name, value)]), Err((name.to_owned(), flaw)), "{name}");
    }
    let many: Vec<_> = (0..33).map(|n| format!("x-{n}")).collect();
    let many = many.iter().map(|name| (name.as_str(), ""));
    assert_eq!(Headers::parse(many), Err((String::new(), HeaderFlaw::TooMuch)));
}

/// RFC 9110, sections 7.6.1 and 7.8; Standard Webhooks; the HTTP binding of CloudEvents.
#[test]
fn what_frames_a_message_signs_it_or_is_between_hops_cannot_be_set_however_it_is_written() {
    for name in [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "webhook-anything",
        "ce-id",
        "ce-specversion",
    ] {
        for written in [name.to_owned(), name.to_uppercase()] {
            let refused = Err((written.clone(), HeaderFlaw::Reserved));
            assert_eq!(Headers::parse([(written.as_str(), "1")]), refused);
        }
    }
    for name in ["authorization", "cookie", "content-type", "user-agent", "x-host", "te-x"] {
        assert!(Headers::parse([(name, "1")]).is_ok(), "{name}");
    }
}

#[test]
fn as_much_as_is_allowed_and_nothing_more() {
    let names: Vec<_> = (10..42).map(|n| format!("x-{n}")).collect();
    assert_eq!(names.len(), Headers::MAX_COUNT);
    let bytes: usize = names.iter().map(String::len).sum();
    let first = "v".repeat(Headers::MAX_BYTES - bytes);
    let filled = |first: &str| {
        let values = names.iter().map(String::as_str).zip([first].into_iter().chain([""; 31]));
        Headers::parse(values.collect::<Vec<_>>())
    };
    assert!(filled(&first).is_ok(), "32 headers of 8 KiB together");
    let too_much = Err((String::new(), HeaderFlaw::TooMuch));
    assert_eq!(filled(&format!("{first}v")), too_much);
}

#[test]
fn every_format_is_known_by_its_name() {
    for (name, format) in Format::NAMES {
        assert_eq!(format.name(), name);
    }
}
