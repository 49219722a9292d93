//! Sidehook as a whole: Envoy with the filter before an API, the sidecars beside it, and the
//! servers that these use.
//!
//! Invariant: what is started in order is stopped in the reverse order: first the gateway drains,
//! then the sidecars end, then the servers, so that nothing is on its way to nobody.

mod programs;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream::FuturesUnordered};
use hyper::{Method, StatusCode};
use serde_json::Value;

pub use programs::{FILTER, Programs, SIDEHOOK};

use crate::{
    backend::{Backend, Servers},
    change::{self, Change},
    child::{Child, Output},
    clock::Stopwatch,
    command::Program,
    http::{Answer, Http},
};

/// Each of the programs answers long before that, or never.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at something that will soon be there.
const PAUSE: Duration = Duration::from_millis(25);

/// How long requests that are under way may take once the gateway is told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// How long the sidecar may take to finish what it has begun.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a stack is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is started.
    pub programs: Programs,
    /// The gateway's port, the API's own from the clients' point of view.
    pub gateway: u16,
    /// The port of Envoy's admin interface.
    pub admin: u16,
    /// The sidecars; the API of the first one is the one that is used.
    pub sidecars: Vec<Sidecar>,
    /// What the sidecars use.
    pub backend: Backend,
    /// The API that the gateway stands before.
    pub upstream: String,
    /// `NAME=/PATH` of the resources to watch.
    pub resources: Vec<String>,
    /// The capture mode: `best_effort`, `durable` or `strict`.
    pub capture: String,
    /// The folder of logs and of the gateway's configuration.
    pub folder: PathBuf,
    /// The folder of what is stored.
    pub data: PathBuf,
    /// The gateway's configuration, if it is not the one that `sidehook gateway` writes.
    pub gateway_configuration: Option<String>,
    /// Further arguments of `sidehook gateway`.
    pub gateway_arguments: Vec<String>,
    /// What is changed of the configuration that `sidehook gateway` writes.
    pub gateway_changes: Vec<Change>,
    /// How many worker threads the gateway has; the filter has a virtual machine in each.
    pub gateway_workers: u8,
    /// Further arguments of Envoy. With `--base-id` it can be restarted hot.
    pub envoy_arguments: Vec<String>,
    /// Further arguments of `sidehook serve`, for each of the sidecars.
    pub sidecar_arguments: Vec<String>,
}

/// How one of the sidecars is to be.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// Its port.
    pub port: u16,
    /// Whether the gateway sends it events.
    pub takes_events: bool,
    /// Its own further arguments of `sidehook serve`.
    pub arguments: Vec<String>,
}

/// A stack that is running.
#[derive(Debug)]
pub struct Stack {
    plan: Box<Plan>,
    servers: Servers,
    sidecars: Vec<Child>,
    envoy: Child,
    http: Http,
}

impl Sidecar {
    /// One that does everything, at this port.
    pub fn all(port: u16) -> Self {
        Self { port, takes_events: true, arguments: Vec::new() }
    }
}

impl Stack {
    /// Starts the servers, the sidecars, then the gateway, and waits until all of them answer.
    pub async fn start(plan: Plan) -> Result<Self> {
        let http = Http::new();
        let servers = Servers::start(plan.backend, &plan.folder, &plan.data).await?;
        let mut sidecars = Vec::new();
        for sidecar in &plan.sidecars {
            sidecars.push(plan.start_sidecar(&servers, sidecar, &http).await?);
        }
        let mut envoy = plan.start_envoy(0).await?;
        ready(&mut envoy, &http, &plan.admin_url("/ready")).await?;
        Ok(Self { plan: Box::new(plan), servers, sidecars, envoy, http })
    }

    /// How it was meant to be.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The process of the sidecar of this number, from 0.
    pub fn sidecar(&mut self, number: usize) -> Result<&mut Child> {
        self.sidecars.get_mut(number).context("no such sidecar")
    }

    /// Envoy's process.
    pub fn envoy(&mut self) -> &mut Child {
        &mut self.envoy
    }

    /// The servers that the sidecars use, to be asked.
    pub fn servers_ref(&self) -> &Servers {
        &self.servers
    }

    /// The servers that the sidecars use.
    pub fn servers(&mut self) -> &mut Servers {
        &mut self.servers
    }

    /// Starts a sidecar in place of the one of this number, which has ended, and waits until it
    /// answers.
    pub async fn restart_sidecar(&mut self, number: usize) -> Result<()> {
        let plan = self.plan.sidecars.get(number).context("no such sidecar")?;
        let sidecar = self.plan.start_sidecar(&self.servers, plan, &self.http).await?;
        *self.sidecar(number)? = sidecar;
        Ok(())
    }

    /// Starts a gateway in place of the one that has ended, and waits until it is ready.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        self.envoy = self.plan.start_envoy(0).await?;
        ready(&mut self.envoy, &self.http, &self.plan.admin_url("/ready")).await
    }

    /// Starts the gateway of this number, from 0, which takes over from the one before it; that one
    /// is returned, and ends when it is told to by its successor.
    pub async fn succeed_gateway(&mut self, epoch: u32) -> Result<Child> {
        let successor = self.plan.start_envoy(epoch).await?;
        Ok(std::mem::replace(&mut self.envoy, successor))
    }

    /// Makes a subscription, and returns its id.
    pub async fn subscribe(&self, subscription: &Value) -> Result<String> {
        let url = self.plan.sidecar_url("/subscriptions");
        let made = self.http.post(&url, subscription).await?.accepted()?;
        let id = made.get("id").and_then(Value::as_str).map(str::to_owned);
        id.context("a subscription without an id")
    }

    /// Waits until something of it dies and says so.
    pub async fn death(&mut self) -> anyhow::Error {
        let Self { servers, sidecars, envoy, .. } = self;
        let mut of_sidecars: FuturesUnordered<_> = sidecars.iter_mut().map(Child::death).collect();
        tokio::select! {
            death = servers.death() => death,
            Some(death) = of_sidecars.next() => death,
            death = envoy.death() => death,
        }
    }

    /// Lets the requests under way finish, then stops the gateway, the sidecars and the servers.
    pub async fn stop(mut self) -> Result<()> {
        let mut stopped = self.stop_gateway().await;
        for sidecar in &mut self.sidecars {
            stopped = stopped.and(sidecar.stop(STOP_LIMIT).await.map(drop));
        }
        stopped.and(self.servers.stop().await)
    }

    async fn stop_gateway(&mut self) -> Result<()> {
        let graceful = self.plan.admin_url("/drain_listeners?graceful&skip_exit");
        // An Envoy that no longer answers has nothing to drain.
        if self.http.send(Method::POST, &graceful, None).await.is_ok() {
            let start = Stopwatch::start();
            while start.elapsed() < DRAIN_LIMIT && self.active_requests().await.unwrap_or(0) > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.envoy.stop(STOP_LIMIT).await.map(drop)
    }

    async fn active_requests(&self) -> Result<u64> {
        self.stat("http.api.downstream_rq_active").await
    }

    /// One of Envoy's counters or gauges, 0 if it is unknown.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let url = self.plan.admin_url(&format!("/stats?filter=^{name}$"));
        let said = self.http.get(&url).await?.to_string();
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map_or(Ok(0), |value| Ok(value.trim().parse()?))
    }
}

impl Plan {
    /// A URL of the API, through the gateway.
    pub fn gateway_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.gateway)
    }

    /// A URL of the first sidecar.
    pub fn sidecar_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api())
    }

    /// The port of the first sidecar.
    pub fn api(&self) -> u16 {
        self.sidecars.first().map_or(0, |sidecar| sidecar.port)
    }

    /// A URL of Envoy's admin interface.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// Starts a sidecar and waits until it answers.
    async fn start_sidecar(
        &self,
        servers: &Servers,
        sidecar: &Sidecar,
        http: &Http,
    ) -> Result<Child> {
        let Sidecar { port, arguments: own, .. } = sidecar;
        fs::create_dir_all(&self.data)?;
        let file = || format!("sqlite:{}", self.data.join("sidehook.db").display());
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--store={}", servers.store().unwrap_or_else(file)),
            format!("--queue={}", servers.queue().unwrap_or_else(|| "local".to_owned())),
        ];
        if self.backend.postgres {
            let configuration = self.write_sidecar_configuration().await?;
            arguments.push(format!("--config={}", configuration.display()));
        }
        arguments.extend(self.sidecar_arguments.iter().chain(own).cloned());
        let (name, program) = (format!("sidecar-{port}"), &self.programs.sidehook);
        let mut sidecar = Child::start(name, program, arguments, &self.folder, Output::Log)?;
        ready(&mut sidecar, http, &format!("http://127.0.0.1:{port}/readyz")).await?;
        Ok(sidecar)
    }

    /// Writes what is not said on a command line: the key that seals secrets. It is made once for
    /// the data that it is kept beside.
    async fn write_sidecar_configuration(&self) -> Result<PathBuf> {
        let key = self.data.join("secret.key");
        if !key.exists() {
            let made = Program::new(&self.programs.sidehook).args(["secrets", "generate-key"]);
            let mut file = File::options().create_new(true).write(true).mode(0o600).open(&key)?;
            file.write_all(made.output().await?.as_bytes())?;
        }
        let file = self.folder.join("sidecar.toml");
        fs::write(&file, format!("secret_keys = [\"file:{}\"]\n", key.display()))?;
        Ok(file)
    }

    async fn start_envoy(&self, epoch: u32) -> Result<Child> {
        let configuration = self.write_gateway_configuration().await?;
        let (workers, epoch) = (self.gateway_workers.to_string(), epoch.to_string());
        let mut arguments: Vec<OsString> =
            vec!["--config-path".into(), configuration.into_os_string()];
        arguments.extend(["--concurrency", &workers, "--log-level", "warn"].map(Into::into));
        if self.envoy_arguments.iter().any(|argument| argument == "--base-id") {
            arguments.extend(["--restart-epoch", &epoch].map(Into::into));
        } else {
            arguments.push("--disable-hot-restart".into());
        }
        arguments.extend(self.envoy_arguments.iter().map(Into::into));
        Child::start("envoy", &self.programs.envoy, arguments, &self.folder, Output::Log)
    }

    /// Writes the configuration of the gateway, or has `sidehook gateway` write it and changes it,
    /// and tells where it is.
    pub async fn write_gateway_configuration(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join("envoy.yaml");
        if let Some(configuration) = &self.gateway_configuration {
            fs::write(&file, configuration)?;
            return Ok(file);
        }
        let mut write = Program::new(&self.programs.sidehook)
            .args(["gateway", "--upstream", &self.upstream])
            .args(self.resources.iter().flat_map(|resource| ["--resource", resource]))
            .args([format!("--listen=127.0.0.1:{}", self.gateway)])
            .args([format!("--admin=127.0.0.1:{}", self.admin)]);
        if !self.gateway_arguments.iter().any(|argument| argument.starts_with("--sidecar=")) {
            let sidecars = self.sidecars.iter().filter(|sidecar| sidecar.takes_events);
            let url = |sidecar: &Sidecar| format!("--sidecar=http://127.0.0.1:{}", sidecar.port);
            write = write.args(sidecars.map(url));
        }
        write = write.args(["--capture", &self.capture, "--filter"]).args([&self.programs.filter]);
        write = write.args(&self.gateway_arguments).args(["--output"]).args([&file]);
        write.output().await?;
        if !self.gateway_changes.is_empty() {
            let written = fs::read_to_string(&file)?;
            fs::write(&file, change::apply(&self.gateway_changes, written)?)?;
        }
        Ok(file)
    }
}

/// Waits until `url` gives an answer that is `wanted`, or `child` has died.
pub async fn answers(
    child: &mut Child,
    http: &Http,
    url: &str,
    wanted: fn(&Answer) -> bool,
) -> Result<()> {
    let start = Stopwatch::start();
    loop {
        let seen = match http.get(url).await {
            Ok(answer) if wanted(&answer) => return Ok(()),
            Ok(answer) => format!("{} {answer}", answer.status),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > READY_LIMIT {
            let name = child.name();
            bail!("{name} was not ready within {READY_LIMIT:?} ({seen}){}", child.last_words());
        }
        tokio::select! {
            death = child.death() => return Err(death),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn ready(child: &mut Child, http: &Http, url: &str) -> Result<()> {
    answers(child, http, url, |answer| answer.status == StatusCode::OK).await
}
