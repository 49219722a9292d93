//! A RabbitMQ of our own, of Debian's package.
//!
//! Invariant: it listens on the loopback address alone, finds other nodes through a port mapper
//! of its own, and keeps everything in one folder; it ends when we end.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{net::TcpStream, time::timeout};

use super::{clear, folder_of};
use crate::{
    child::{Child, Output},
    command::Program,
    ports, say,
    tools::apt,
};

/// The variable that tells tests where it is.
pub const VARIABLE: &str = "SIDEHOOK_TEST_RABBITMQ";

/// The server itself. What lies in `/usr/sbin` changes the user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Asks and tells a server. What lies in `/usr/sbin` changes the user first.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// Erlang's port mapper, through which nodes are found.
const MAPPER: &str = "/usr/bin/epmd";

/// Erlang takes ten seconds to get up on a busy machine of two cores.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A RabbitMQ.
#[derive(Debug)]
pub struct RabbitMq {
    settings: Settings,
    node: Child,
    mapper: Child,
}

/// Where it keeps everything, and the ports of its clients, of other nodes and of its mapper.
#[derive(Debug)]
struct Settings {
    folder: PathBuf,
    port: u16,
    nodes: u16,
    mapping: u16,
}

impl RabbitMq {
    /// Starts one, empty, in a folder under `target/`; it takes connections when this returns.
    pub async fn start() -> Result<Self> {
        Self::start_in(&folder_of("rabbitmq")).await
    }

    /// Starts one, empty, in this folder, which is cleared first.
    pub async fn start_in(folder: &Path) -> Result<Self> {
        ensure().await?;
        say::progress("starting a RabbitMQ");
        clear(folder)?;
        let (port, nodes, mapping) = (ports::free()?, ports::free()?, ports::free()?);
        write_configuration(folder, port)?;
        let settings = Settings { folder: folder.to_owned(), port, nodes, mapping };

        let arguments = ["-port".to_owned(), mapping.to_string()];
        let arguments = arguments.into_iter().chain(["-address", "127.0.0.1"].map(str::to_owned));
        let mut mapper = Child::start("epmd", Path::new(MAPPER), arguments, folder, Output::Log)?;
        accepts(&mut mapper, mapping).await?;
        let node = settings.start_node().await?;
        Ok(Self { settings, node, mapper })
    }

    /// Its address, with the user that every new node has.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.settings.port)
    }

    /// Has it show its figures for Prometheus, and says at which port.
    pub async fn show_figures(&self) -> Result<u16> {
        let port = ports::free()?;
        let enabled = self.settings.folder.join("enabled_plugins");
        fs::write(&enabled, "[rabbitmq_prometheus].\n")?;
        let plugin = format!(
            "application:load(rabbitmq_prometheus), \
             application:set_env(rabbitmq_prometheus, tcp_config, \
                 [{{ip, \"{}\"}}, {{port, {port}}}]), \
             {{ok, _, _}} = rabbit_plugins:ensure(\"{}\").",
            Ipv4Addr::LOCALHOST,
            enabled.display()
        );
        self.control(&["eval", &plugin]).await?;
        Ok(port)
    }

    /// The server's process, to be stopped, frozen or killed.
    pub fn node(&mut self) -> &mut Child {
        &mut self.node
    }

    /// Starts the server again, on what it left; it takes connections when this returns.
    pub async fn start_again(&mut self) -> Result<()> {
        self.node = self.settings.start_node().await?;
        Ok(())
    }

    /// Starts the server again after all that it knew is gone.
    pub async fn start_wiped(&mut self) -> Result<()> {
        fs::remove_dir_all(self.settings.folder.join("data"))?;
        self.start_again().await
    }

    /// What `rabbitmqctl` answers to these arguments.
    pub async fn control(&self, arguments: &[&str]) -> Result<String> {
        let environment = self.settings.environment();
        Program::new("/usr/bin/env")
            .args(environment)
            .args([CONTROL])
            .args(arguments)
            .output()
            .await
    }

    /// Stops it.
    pub async fn stop(mut self) -> Result<()> {
        self.node.stop(STOP).await?;
        self.mapper.stop(STOP).await?;
        Ok(())
    }
}

async fn ensure() -> Result<()> {
    if !Path::new(SERVER).exists() {
        apt::install_stopped(&["rabbitmq-server"], "to test with a real RabbitMQ").await?;
    }
    if Path::new(SERVER).exists() && Path::new(MAPPER).exists() {
        return Ok(());
    }
    bail!("no {SERVER} or no {MAPPER} here: install Debian's package rabbitmq-server")
}

fn write_configuration(folder: &Path, port: u16) -> Result<()> {
    let configuration = format!(
        "listeners.tcp.1 = {}:{port}\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n\
         vm_memory_high_watermark.absolute = 512MB\n\
         disk_free_limit.absolute = 50MB\n\
         raft.wal_max_size_bytes = 16777216\n",
        Ipv4Addr::LOCALHOST
    );
    fs::write(folder.join("rabbitmq.conf"), configuration)?;
    fs::write(folder.join("enabled_plugins"), "[].\n")?;
    Ok(())
}

impl Settings {
    async fn start_node(&self) -> Result<Child> {
        let arguments = self.environment().into_iter().chain([SERVER.to_owned()]);
        let env = Path::new("/usr/bin/env");
        let mut node = Child::start("rabbitmq", env, arguments, &self.folder, Output::Log)?;
        accepts(&mut node, self.port).await?;
        Ok(node)
    }

    /// Its environment, as arguments of `env`.
    fn environment(&self) -> Vec<String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        [
            // The cookie that nodes know each other by lies there.
            ("HOME", self.folder.display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("ERL_EPMD_PORT", self.mapping.to_string()),
            ("RABBITMQ_NODENAME", format!("sidehook-test-{}@localhost", self.port)),
            ("RABBITMQ_DIST_PORT", self.nodes.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("log")),
            // One scheduler that does not spin while it waits.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none \
                 -kernel inet_dist_use_interface {127,0,0,1}"
                    .to_owned(),
            ),
            // Makes the script become the server rather than its parent, so that signals reach it.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
    }
}

/// Waits until `child` accepts connections.
async fn accepts(child: &mut Child, port: u16) -> Result<()> {
    let accepting = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let name = child.name().to_owned();
    tokio::select! {
        accepted = timeout(START, accepting) => {
            accepted.with_context(|| format!("{name} does not listen after {START:?}"))
        }
        death = child.death() => Err(death),
    }
}
