//! The egress rule: every special address in every notation, and none of its neighbours.
//!
//! Invariant: this table and the rule's own differ in form, so that a slip in one is seen.

use super::*;

fn target(host: &str) -> Target {
    Target::parse(&format!("http://{host}/hook")).unwrap()
}

fn denied(rule: &Rule, host: &str) -> bool {
    rule.check_written(&target(host)).is_err()
}

#[test]
fn an_address_that_is_not_public_is_denied_in_every_notation() {
    let rule = Rule::default();
    for host in [
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "１２７.0.0.1",
        "%31%32%37.0.0.1",
        "[::]",
        "[::1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:db8::1]",
        "[2002:7f00:1::]",
        "[3fff::1]",
        "[5f00::1]",
        "[fc00::1]",
        "[fdff::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ] {
        assert!(denied(&rule, host), "{host} must be denied");
    }
}

#[test]
fn the_neighbours_of_those_are_allowed() {
    let rule = Rule::default();
    for host in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.254",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "[64:ff9c::1]",
        "[2606:4700::1111]",
        "[2003::1]",
        "[64:ff9b::101:101]",
        "[::ffff:1.1.1.1]",
    ] {
        assert!(!denied(&rule, host), "{host} must be allowed");
    }
}

#[test]
fn what_the_operator_allows_is_allowed_and_nothing_beside_it() {
    let rule = Rule::allowing(["127.0.0.0/8".parse().unwrap(), "fd12::1".parse().unwrap()]);
    assert!(!denied(&rule, "127.0.0.1"));
    assert!(!denied(&rule, "[::ffff:127.0.0.1]"));
    assert!(!denied(&rule, "[fd12::1]"));
    assert!(denied(&rule, "[fd12::2]"));
    assert!(denied(&rule, "10.0.0.1"));
}

#[test]
fn metadata_services_are_denied_unless_named_singly() {
    let wide = Rule::allowing(["169.254.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    assert!(!denied(&wide, "169.254.1.1"));
    assert!(denied(&wide, "169.254.169.254"));
    assert!(denied(&wide, "[fd00:ec2::254]"));
    let named = Rule::allowing(["169.254.169.254".parse().unwrap()]);
    assert!(!denied(&named, "169.254.169.254"));
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    let local = target("localhost");
    let denied = Rule::default().check(&local).await.unwrap_err();
    assert!(matches!(denied, Denied::Address { .. }), "{denied}");
    let by_name = Rule::allowing(["localhost".parse().unwrap()]);
    assert_eq!(by_name.check(&local).await, Ok(()));
    let by_network = Rule::allowing(["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(by_network.check(&local).await, Ok(()));
}

#[tokio::test]
async fn a_name_without_address_is_unresolved_and_not_denied() {
    let unknown = target("nobody.invalid");
    let answer = Rule::default().check(&unknown).await.unwrap_err();
    assert!(matches!(answer, Denied::Unresolved { .. }), "{answer}");
}

/// Public or not, and whatever range is allowed.
#[test]
fn where_clouds_keep_credentials_nothing_is_sent_unless_it_is_named_singly() {
    let metadata =
        ["169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"];
    for text in metadata {
        let address: IpAddr = text.parse().unwrap();
        let range = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        for rule in [Rule::default(), Rule::allowing([range.parse().unwrap()])] {
            assert!(rule.check_address(address).is_err(), "{text}");
        }
        let named = Rule::allowing([text.parse().unwrap()]);
        assert_eq!(named.check_address(address), Ok(()), "{text}");
    }
    assert!(Rule::default().check_address("168.63.129.15".parse().unwrap()).is_ok());
}

#[test]
fn an_address_that_is_translated_is_looked_at_as_what_it_becomes() {
    let check = |text: &str| Rule::default().check_address(text.parse().unwrap());
    assert!(check("::ffff:0:127.0.0.1").is_err() && check("::ffff:0:8.8.8.8").is_ok());
}
