//! The configuration: what may be written, what wins, what is refused and why.
//!
//! Invariant: every error names the key it is about.

use super::*;

fn read(toml: &str, overrides: &[(&'static str, &str)]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let overrides = overrides.iter().map(|(key, value)| (*key, Value::Text((*value).to_owned())));
    Config::read(Some(file.path().to_owned()), overrides).map_err(|error| error.to_string())
}

#[test]
fn without_a_word_it_serves_on_loopback_from_a_file_beside_it() {
    let config = Config::read(None, []).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert!(matches!(config.store, StoreUrl::Sqlite(path) if path.as_os_str() == "sidehook.db"));
    assert_eq!(config.retry.schedule.len(), 10);
}

#[test]
fn a_flag_wins_over_the_file() {
    let file =
        "listen = \"127.0.0.1:1\"\nstore = \"sqlite:/tmp/a.db\"\nretry_schedule = [\"0s\", \"1m\"]";
    let config = read(file, &[("listen", "127.0.0.1:2")]).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert!(matches!(config.store, StoreUrl::Sqlite(path) if path.as_os_str() == "/tmp/a.db"));
    assert_eq!(*config.retry.schedule, [Duration::ZERO, Duration::from_mins(1)]);
}

#[test]
fn ingest_may_listen_at_a_place_of_its_own() {
    let config = read("ingest_listen = \"unix:/run/sidehook/ingest.sock\"", &[]).unwrap();
    assert_eq!(config.ingest_listen, Some(Listen::Unix("/run/sidehook/ingest.sock".into())));
    let config = read("", &[("ingest_listen", "127.0.0.1:5002")]).unwrap();
    assert_eq!(config.ingest_listen, "127.0.0.1:5002".parse().ok());
    assert_eq!(config.listen.port(), 5000);
}

#[test]
fn metrics_may_have_a_place_of_their_own_and_tell_subscriptions_apart() {
    let usual = read("", &[]).unwrap();
    assert_eq!((usual.metrics_listen, usual.metrics_per_subscription), (None, false));
    let file = "metrics_listen = \"127.0.0.1:5003\"\nmetrics_per_subscription = true";
    let config = read(file, &[]).unwrap();
    assert_eq!(config.metrics_listen, "127.0.0.1:5003".parse().ok());
    assert!(config.metrics_per_subscription);
}

#[test]
fn ingest_may_speak_tls() {
    let listen = "ingest_listen = \"0.0.0.0:5002\"\ningest_tls_certificate = \"/tls/tls.crt\"";
    let config = read(&format!("{listen}\ningest_tls_key = \"/tls/tls.key\""), &[]).unwrap();
    let (certificate, key) = ("/tls/tls.crt".into(), "/tls/tls.key".into());
    let expected = IngestTls { certificate, key, client_ca: None };
    assert_eq!(config.ingest_tls, Some(expected.clone()));
    let overrides = [("ingest_tls_key", "/tls/tls.key"), ("ingest_tls_client_ca", "/tls/ca.crt")];
    let config = read(listen, &overrides).unwrap();
    assert_eq!(
        config.ingest_tls,
        Some(IngestTls { client_ca: Some("/tls/ca.crt".into()), ..expected })
    );
    assert_eq!(read("", &[]).unwrap().ingest_tls, None);
}

#[test]
fn what_is_wrong_with_the_files_of_tls_is_named() {
    let at = |place: &str, certificate: &str, others: &[(&'static str, &str)]| {
        let certificate = format!("ingest_tls_certificate = \"{certificate}\"");
        read(&format!("{place}\n{certificate}"), others).unwrap_err()
    };
    let (place, key) = ("ingest_listen = \"127.0.0.1:5002\"", ("ingest_tls_key", "/tls.key"));
    for (error, said) in [
        (at(place, "/tls.crt", &[]), "key ingest_tls_key: must be set, for ingest_tls_certificate"),
        (
            read(place, &[key]).unwrap_err(),
            "key ingest_tls_certificate: must be set, for ingest_tls_key is",
        ),
        (
            read(place, &[("ingest_tls_client_ca", "/ca.crt")]).unwrap_err(),
            "key ingest_tls_certificate: must be set, for ingest_tls_client_ca is",
        ),
        (
            at(place, "tls.crt", &[key]),
            "key ingest_tls_certificate: \"tls.crt\": must be an absolute path",
        ),
        (at("", "/tls.crt", &[key]), "key ingest_tls_certificate: needs ingest_listen"),
        (
            at("ingest_listen = \"unix:/a.sock\"", "/tls.crt", &[key]),
            "key ingest_tls_certificate: has no use at a Unix socket",
        ),
    ] {
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_unknown_role_is_named_with_its_place() {
    let error = read("roles = [\"ingest\", \"deliverer\"]", &[]).unwrap_err();
    let expected = "key roles[1]: \"deliverer\": must be one of ingest, dispatch, deliver, api";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn one_process_alone_does_everything() {
    assert!(read("", &[]).unwrap().roles.are_all());
    let error = read("roles = [\"ingest\"]", &[]).unwrap_err();
    assert!(error.contains("key roles: must be all of them on an SQLite file"), "{error}");
}

#[test]
fn a_token_is_never_shown() {
    let config = read("api_token = \"0123456789abcdef\"", &[]).unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn the_password_of_the_broker_is_never_shown() {
    let config = read("queue = \"amqp://me:s3cret@mq:5672/%2f\"", &[]).unwrap();
    assert!(matches!(config.queue, QueueUrl::RabbitMq(_)));
    assert!(!format!("{config:?}").contains("s3cret"));
    let error = read("queue = \"ampq://me:s3cret@mq:5672/%2f\"", &[]).unwrap_err();
    assert!(!error.contains("s3cret"), "{error}");
}

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

#[test]
fn the_keys_stand_in_a_list_in_one_text_or_in_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{OTHER_KEY}\n")).unwrap();
    let in_file = format!("file:{}", file.path().display());
    let list = read(&format!("secret_keys = [\"{KEY}\", \"{in_file}\"]"), &[]).unwrap();
    let text = read("", &[("secret_keys", &*format!("{KEY}, {in_file}"))]).unwrap();
    for config in [list, text] {
        let ids: Vec<_> = config.secret_keys.iter().map(|key| key.id().to_string()).collect();
        assert_eq!(ids[0], "7f01feeb2a7e81d5");
        assert_eq!(ids.len(), 2);
    }
    assert!(read("", &[("secret_keys", "")]).unwrap().secret_keys.is_empty());
}

#[test]
fn a_key_is_never_shown() {
    let config = read(&format!("secret_keys = [\"{KEY}\"]"), &[]).unwrap();
    assert!(!format!("{config:?}").contains("AAEC"));
    for toml in [
        format!("secret_keys = [\"{KEY}AAAA\"]"),
        format!("secret_keys = [\"{KEY}\", \"{KEY}\"]"),
        format!("secret_keys = [[\"{KEY}\"]]"),
        format!("secret_keys = {{ \"{KEY}\" = 1 }}"),
        format!("secret_keys = [\"{KEY}"),
        format!("secret_keys = \"{KEY}"),
    ] {
        let error = read(&toml, &[]).unwrap_err();
        assert!(!error.contains("AAEC"), "{error}");
    }
}

#[test]
fn the_password_of_the_database_is_never_shown() {
    let file = "insecure_store_secrets_in_clear = true\nstore = \"postgres://me:s3cret@db/x\"";
    let config = read(file, &[]).unwrap();
    assert!(matches!(config.store, StoreUrl::Postgres(_)));
    assert!(!format!("{config:?}").contains("s3cret"));
    for wrong in ["postgress://me:s3cret@db/x", "postgres://me:s3cret@db:s3cret/x"] {
        let error = read(&format!("store = \"{wrong}\""), &[]).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn what_is_finished_is_kept_for_thirty_days_or_as_long_as_is_said() {
    let days = |days: u64| Some(Duration::from_hours(24 * days));
    assert_eq!(read("", &[]).unwrap().retention, days(30));
    assert_eq!(read("retention = \"7d\"", &[]).unwrap().retention, days(7));
    assert_eq!(read("retention = \"off\"", &[]).unwrap().retention, None);
}

#[test]
fn what_is_wrong_is_named() {
    for (toml, said) in [
        ("listen = \"nowhere\"", "key listen: \"nowhere\""),
        ("listen = 5000", "key listen: "),
        ("ingest_listen = \"unix:\"", "key ingest_listen: \"unix:\": must be IP:PORT or unix:/"),
        (
            "ingest_listen = \"127.0.0.1:5000\"",
            "key ingest_listen: must not be the address of listen",
        ),
        ("metrics_listen = \"5003\"", "key metrics_listen: \"5003\": must be IP:PORT or unix:/"),
        (
            "metrics_listen = \"127.0.0.1:5000\"",
            "key metrics_listen: must not be the address of listen",
        ),
        (
            "ingest_listen = \"unix:/a.sock\"\nmetrics_listen = \"unix:/a.sock\"",
            "key metrics_listen: must not be that of ingest_listen",
        ),
        ("metrics_per_subscription = \"maybe\"", "key metrics_per_subscription: "),
        ("lisen = \"x\"", "lisen"),
        ("store = \"mysql://x\"", "key store: must be sqlite:PATH or postgres://USER"),
        ("store = \"sqlite:\"", "key store: must be sqlite:PATH or postgres://USER"),
        ("store = \"postgres://h:port/x\"", "key store: must be postgres://USER:PASSWORD@HOST"),
        ("store = \"postgres://u:p#w@h/x\"", "key store: must be postgres://USER:PASSWORD@HOST"),
        ("store = \"postgres://h/x?sslmod=no\"", "key store: knows no parameter \"sslmod\""),
        ("store = \"postgres://h/x\"", "key secret_keys: must hold a key for a store in Postgres"),
        ("retention = \"30\"", "key retention: \"30\""),
        ("retention = \"59s\"", "key retention: must be a minute or more"),
        ("queue = \"redis://x\"", "key queue: must be local or amqp://"),
        ("queue = \"amqp://\"", "key queue: must be local or amqp://"),
        ("queue_prefix = \"a b\"", "key queue_prefix: must have 1 to 100 characters"),
        ("egress_allow = [\"10.0.0.0/8\", \"10.0.0.0/99\"]", "key egress_allow[1]: "),
        ("egress_proxy = \"http://user:hunter2@\"", "key egress_proxy: must be http://HOST:PORT"),
        ("egress_https_only = \"maybe\"", "key egress_https_only: "),
        ("retry_schedule = [\"0s\", \"soon\"]", "key retry_schedule[1]: \"soon\""),
        ("retry_schedule = [\"8days\"]", "key retry_schedule[0]: \"8days\": must be a week"),
        ("retry_jitter = 1.5", "key retry_jitter: must be 0 to 1"),
        ("concurrency = 0", "key concurrency: must be 1 to 65536"),
        ("api_token = \"short\"", "key api_token: must have 16 characters or more"),
        ("secret_keys = [\"AAAA\"]", "key secret_keys[0]: must be the base64 of 32 bytes"),
        ("secret_keys = [\"file:/no/such\"]", "key secret_keys[0]: /no/such: No such file"),
        ("secret_keys = 5", "key secret_keys: "),
        (
            "insecure_store_secrets_in_clear = true\n\
             secret_keys = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"",
            "key insecure_store_secrets_in_clear: contradicts secret_keys",
        ),
        ("insecure_store_secrets_in_clear = \"maybe\"", "key insecure_store_secrets_in_clear: "),
        ("listen = ", "TOML parse error at line 1, column"),
        ("listen = ", "cannot read the configuration: "),
    ] {
        let error = read(toml, &[]).unwrap_err();
        assert!(error.contains(said), "{toml}: {error}");
    }
    let missing = Config::read(Some("/nonexistent/sidehook.toml".into()), []).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/sidehook.toml"), "{missing}");
}
