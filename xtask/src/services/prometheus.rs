//! A Prometheus of our own, of Debian's package, with the configuration and the rules that we
//! recommend.
//!
//! Invariant: it listens on the loopback address alone and keeps everything in one folder. Of what
//! it is told only addresses and times differ from `docs/monitoring/`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use serde_json::Value;

use super::clear;
use crate::{
    child::{Child, Output},
    http::Http,
    ports, say,
    stack::answers,
    tools::prometheus,
    workspace,
};

/// How often it asks, and works out its rules.
pub const PERIOD: Duration = Duration::from_secs(1);

const STOP: Duration = Duration::from_secs(10);

/// Whom it asks.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// The port of Envoy's admin interface.
    pub gateway: u16,
    /// The port of the sidecar's `/metrics`.
    pub sidecar: u16,
    /// The port at which RabbitMQ shows its figures.
    pub rabbitmq: u16,
}

/// A Prometheus that is running.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    server: Child,
    http: Http,
}

/// One answer to a query: its labels, and its values with their times in seconds.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name among them.
    pub labels: BTreeMap<String, String>,
    /// What is no number is left out.
    pub points: Vec<(f64, f64)>,
}

/// A stretch of time, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Its beginning.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// From one value to the next.
    pub step: f64,
}

impl Prometheus {
    /// Starts one in this folder, which is cleared first. Its rules are in a hurry if that
    /// is wanted, so that what takes minutes can be waited for.
    pub async fn start_in(folder: &Path, targets: Targets, is_hurried: bool) -> Result<Self> {
        let program = prometheus::server().await?;
        say::progress("starting a Prometheus");
        clear(folder)?;
        let (configuration, rules) = (configuration(folder, targets)?, recommended("rules.yml")?);
        fs::write(folder.join("prometheus.yml"), configuration)?;
        fs::write(folder.join("rules.yml"), if is_hurried { hurried(&rules) } else { rules })?;
        // Those of the sidecar that is asked need none.
        fs::write(folder.join("api-token"), "no-token-is-asked-for")?;
        let port = ports::free()?;
        let path = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let mut server = Child::start("prometheus", &program, arguments, folder, Output::Log)?;
        let http = Http::new();
        let ready = format!("http://127.0.0.1:{port}/-/ready");
        answers(&mut server, &http, &ready, |answer| answer.status == StatusCode::OK).await?;
        Ok(Self { port, server, http })
    }

    /// What a query comes to now.
    pub async fn now(&self, query: &str) -> Result<Vec<Series>> {
        self.series(&format!("query?query={}", escaped(query))).await
    }

    /// What a query comes to over a stretch of time.
    pub async fn over(&self, query: &str, stretch: Stretch) -> Result<Vec<Series>> {
        let Stretch { from, to, step } = stretch;
        let query = escaped(query);
        self.series(&format!("query_range?query={query}&start={from}&end={to}&step={step}")).await
    }

    /// The last so many seconds, by its own clock, in so many steps at most.
    pub async fn last(&self, seconds: f64, steps: u32) -> Result<Stretch> {
        let answer = self.ask("query?query=time()").await?;
        let time = answer.pointer("/result/0").and_then(Value::as_f64).context("no time")?;
        let step = (seconds / f64::from(steps)).max(PERIOD.as_secs_f64()).ceil();
        let to = (time / step).floor() * step;
        Ok(Stretch { from: to - seconds, to, step })
    }

    /// The values that a label has in a metric.
    pub async fn label_values(&self, metric: &str, label: &str) -> Result<Vec<String>> {
        let path = format!("label/{label}/values?match[]={}", escaped(metric));
        let answer = self.ask(&path.replace("[]", "%5B%5D")).await?;
        let values = answer.as_array().context("no list of values")?;
        Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The states of the alerts of this name that there are: `pending`, `firing`.
    pub async fn alert(&self, name: &str) -> Result<Vec<String>> {
        let answer = self.ask("alerts").await?;
        let alerts = answer.get("alerts").and_then(Value::as_array).context("no alerts")?;
        let alerts = alerts
            .iter()
            .filter(|alert| alert.pointer("/labels/alertname").is_some_and(|known| known == name));
        Ok(alerts.filter_map(|alert| Some(alert.get("state")?.as_str()?.to_owned())).collect())
    }

    /// Stops it.
    pub async fn stop(mut self) -> Result<()> {
        self.server.stop(STOP).await.map(drop)
    }

    async fn series(&self, path: &str) -> Result<Vec<Series>> {
        let answer = self.ask(path).await?;
        let found = answer.get("result").and_then(Value::as_array).context("no result")?;
        found.iter().map(series).collect()
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let answer =
            self.http.get(&format!("http://127.0.0.1:{}/api/v1/{path}", self.port)).await?;
        let said = answer.json()?;
        if said.get("status").is_none_or(|status| status != "success") {
            bail!("Prometheus says of {path}: {said}");
        }
        said.get("data").cloned().context("an answer without data")
    }
}

fn series(found: &Value) -> Result<Series> {
    let labels =
        found.get("metric").and_then(Value::as_object).context("a series without labels")?;
    let labels = labels
        .iter()
        .filter_map(|(name, value)| value.as_str().map(|value| (name.clone(), value.to_owned())));
    let values = match found.get("values").and_then(Value::as_array) {
        Some(values) => values.iter().collect(),
        None => Vec::from_iter(found.get("value")),
    };
    let points = values.into_iter().filter_map(|point| {
        let value: f64 = point.get(1)?.as_str()?.parse().ok()?;
        value.is_finite().then_some((point.get(0)?.as_f64()?, value))
    });
    Ok(Series { labels: labels.collect(), points: points.collect() })
}

fn recommended(name: &str) -> Result<String> {
    let file: PathBuf = workspace::root().join("docs/monitoring").join(name);
    fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))
}

/// The configuration that we recommend, with our addresses, and all that takes seconds in one.
fn configuration(folder: &Path, targets: Targets) -> Result<String> {
    let Targets { gateway, sidecar, rabbitmq } = targets;
    let at = |port| format!("static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]");
    let token = folder.join("api-token").display().to_string();
    let changes = [
        ("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s".to_owned()),
        ("scrape_timeout: 10s", "scrape_timeout: 1s".to_owned()),
        ("static_configs: [{ targets: [\"gateway:9901\"] }]", at(gateway)),
        ("static_configs: [{ targets: [\"rabbitmq:15692\"] }]", at(rabbitmq)),
        (
            "dns_sd_configs: [{ names: [sidecar], type: A, port: 5000, refresh_interval: 15s }]",
            at(sidecar),
        ),
        ("/tmp/api-token", token),
    ];
    changes.iter().try_fold(recommended("prometheus.yml")?, |configuration, (of, by)| {
        ensure!(configuration.contains(of), "prometheus.yml has no {of}");
        Ok(configuration.replace(of, by))
    })
}

/// The rules in a hurry: a condition lasts as many seconds as it should last minutes, and five
/// times as many are looked back on, for one scrape a second is no rate.
fn hurried(rules: &str) -> String {
    let mut rules = rules.replace("interval: 15s", "interval: 1s");
    for minutes in 1..=10 {
        rules = rules.replace(&format!("for: {minutes}m"), &format!("for: {minutes}s"));
        rules = rules.replace(&format!("[{minutes}m]"), &format!("[{}s]", 5 * minutes));
    }
    rules
}

/// As it may stand in a URL.
fn escaped(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommended_configuration_is_changed_in_addresses_and_times() {
        let targets = Targets { gateway: 1, sidecar: 2, rabbitmq: 3 };
        let configuration = configuration(Path::new("/folder"), targets).unwrap();
        for part in ["127.0.0.1:1\"", "127.0.0.1:2\"", "127.0.0.1:3\"", "/folder/api-token"] {
            assert!(configuration.contains(part), "{configuration}");
        }
        assert!(!configuration.contains("15s"), "{configuration}");
    }

    #[test]
    fn rules_in_a_hurry_have_no_minutes() {
        let rules = hurried(&recommended("rules.yml").unwrap());
        assert!(!rules.contains("m]") && rules.contains("for: 5s"), "{rules}");
        assert_eq!(hurried("for: 10m\nx[10m] y[1m]"), "for: 10s\nx[50s] y[5s]");
    }
}
