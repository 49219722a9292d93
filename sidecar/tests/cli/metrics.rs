//! `/metrics` of a sidecar as it runs, with all that it can be told to do.
//!
//! Invariant: `docs/metrics.md` lists what there is, and nothing else is there.

use std::{collections::BTreeMap, fs, net::TcpListener, time::Duration};

use serde_json::json;

use crate::{
    serve::Sidecar,
    traffic::{happen, post, receiver},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A metric as it is listed, or shown: its name for Prometheus, its kind, and its labels.
type Listed = BTreeMap<String, (String, Vec<String>)>;

/// The rows of the guide's second part.
fn guide() -> Listed {
    let path = format!("{}/../docs/metrics.md", env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(path).unwrap();
    let (_, part) = guide.split_once("\n## The sidecar's").unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| `sidehook_"));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (name, labels) = cells[1].split_once('{').unwrap_or((cells[1], ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        (name.to_owned(), (cells[2].to_owned(), labels.map(str::to_owned).collect()))
    });
    rows.collect()
}

/// What `/metrics` shows; of a metric that has no sample yet, no labels.
fn shown(text: &str) -> Listed {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds = kinds.map(|(name, kind)| {
        let total = if kind == "counter" { "_total" } else { "" };
        let sample = if kind == "histogram" { "_count" } else { total };
        let start = format!("{name}{sample}{{");
        let labels = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
        let labels = labels.split('}').next().unwrap_or_default().split(',');
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        (format!("{name}{total}"), (kind.to_owned(), labels.collect()))
    });
    kinds.collect()
}

async fn metrics(sidecar: &Sidecar) -> String {
    let answer = reqwest::get(format!("{}/metrics", sidecar.api)).await.unwrap();
    answer.text().await.unwrap()
}

/// Waits for a line that begins so.
async fn until(sidecar: &Sidecar, start: &str) -> String {
    let waiting = async {
        loop {
            let text = metrics(sidecar).await;
            if text.lines().any(|line| line.starts_with(start)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(LIMIT, waiting).await {
        Ok(text) => text,
        Err(late) => panic!("{late}, no line begins with {start}:\n{}", metrics(sidecar).await),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_lists_what_a_sidecar_shows() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Neither a broker nor a collector is needed for their metrics.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let queue = format!("--queue amqp://guest:guest@127.0.0.1:{port}/%2f");
    let traces = format!("--traces http://127.0.0.1:{port}");
    let sidecar = Sidecar::start(&format!("--metrics-per-subscription {queue} {traces}"));
    let subscription = json!({"url": "https://example.com", "event_type": "people.deleted"});
    post(&sidecar, "/subscriptions", "application/json", subscription).await;
    happen(&sidecar, "1").await;
    let text = until(&sidecar, "sidehook_subscription_pending{").await;
    let (listed, shown) = (guide(), shown(&text));
    let names = |all: &Listed| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&listed), names(&shown));
    for (name, (kind, labels)) in &shown {
        assert_eq!(listed[name].0, *kind, "{name}");
        assert_eq!(listed[name].1, *labels, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_and_its_ends_are_counted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (sidecar, receiver) = (Sidecar::start("--egress-allow 127.0.0.0/8"), receiver().await);
    for path in ["/", "/gone"] {
        let url = format!("{receiver}{path}");
        let subscription = json!({"url": url, "event_type": "people.created"});
        post(&sidecar, "/subscriptions", "application/json", subscription).await;
    }
    happen(&sidecar, "1").await;
    until(&sidecar, r#"sidehook_dead_letters_total{cause="refused",fault="receiver"} 1"#).await;
    let text = until(&sidecar, r#"sidehook_deliveries_finished_total{state="delivered"} 1"#).await;
    for line in [
        r#"sidehook_ingest_stored_total{event_type="people.created"} 1"#,
        r#"sidehook_ingest_batches_total{result="stored"} 1"#,
        "sidehook_ingest_batch_seconds_count 1",
        r#"sidehook_delivery_attempts_total{outcome="success",status="2xx"} 1"#,
        r#"sidehook_delivery_attempts_total{outcome="status",status="4xx"} 1"#,
        "sidehook_delivery_end_to_end_seconds_count 1",
        r#"sidehook_deliveries_finished_total{state="dead"} 1"#,
        r#"sidehook_store_call_seconds_count{operation="append"} 1"#,
        r#"sidehook_store_failures_total{operation="append"} 0"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line}:\n{text}");
    }
    let counted = r#"sidehook_backlog_dead_letters{cause="refused",fault="receiver"} 1"#;
    until(&sidecar, counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_told_apart_until_they_are_deleted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = "--metrics-per-subscription --egress-allow 127.0.0.0/8";
    let (sidecar, receiver) = (Sidecar::start(arguments), receiver().await);
    let mut ids = Vec::new();
    for path in ["/", "/gone"] {
        let url = format!("{receiver}{path}");
        let subscription = json!({"url": url, "event_type": "people.created"});
        let made = post(&sidecar, "/subscriptions", "application/json", subscription).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    happen(&sidecar, "1").await;
    let line = |name: &str, id: &str, rest: &str| {
        format!("sidehook_subscription_{name}{{subscription=\"{id}\"{rest}")
    };
    until(&sidecar, &line("finished_total", &ids[0], ",state=\"delivered\"} 1")).await;
    until(&sidecar, &line("finished_total", &ids[1], ",state=\"dead\"} 1")).await;
    until(&sidecar, &line("attempt_seconds_count", &ids[0], "} 1")).await;
    until(&sidecar, &line("in_flight", &ids[0], "} 0")).await;
    until(&sidecar, &line("pending", &ids[0], "} 0")).await;
    let text = until(&sidecar, &line("attempts_total", &ids[1], ",outcome=\"status\"} 1")).await;
    let of_one = text.lines().filter(|line| line.contains(&ids[1])).count();
    assert_eq!(of_one, 25, "the guide says so:\n{text}");

    let url = format!("{}/subscriptions/{}", sidecar.api, ids[1]);
    assert!(reqwest::Client::new().delete(url).send().await.unwrap().status().is_success());
    let text = metrics(&sidecar).await;
    assert!(text.contains(&ids[0]) && !text.contains(&ids[1]), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_may_have_a_place_of_their_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = "a-token-for-this-test";
    let arguments = format!("--metrics-listen 127.0.0.2:0 --api-token {token}");
    let sidecar = Sidecar::start(&arguments);
    let own = sidecar.says(|line| {
        line["message"] == "serving" && line["listen"].as_str().unwrap().starts_with("127.0.0.2:")
    });
    let own = format!("http://{}", own["listen"].as_str().unwrap());
    let status = async |url: String, token: &str| {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(format!("{own}/metrics"), token).await, 200);
    assert_eq!(status(format!("{own}/metrics"), "another token").await, 401);
    assert_eq!(status(format!("{own}/events"), token).await, 404);
    assert_eq!(status(format!("{}/metrics", sidecar.api), token).await, 404);
    assert_eq!(status(format!("{}/events", sidecar.api), token).await, 200);
}
