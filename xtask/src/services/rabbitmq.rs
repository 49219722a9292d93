//! A RabbitMQ of our own, of Debian's package.
//!
//! Invariant: it listens on the loopback address alone, finds other nodes through a port mapper
//! of its own, and keeps everything in one folder; it ends when we end.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{net::TcpStream, time::timeout};

use super::{clear, folder_of};
use crate::{
    child::{Child, Output},
    ports, say,
    tools::apt,
};

/// The variable that tells tests where it is.
pub const VARIABLE: &str = "SIDEHOOK_TEST_RABBITMQ";

/// The server itself. What lies in `/usr/sbin` changes the user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Erlang's port mapper, through which nodes are found.
const MAPPER: &str = "/usr/bin/epmd";

/// Erlang takes ten seconds to get up on a busy machine of two cores.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A RabbitMQ that is running.
#[derive(Debug)]
pub struct RabbitMq {
    port: u16,
    node: Child,
    mapper: Child,
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

        let arguments = ["-port".to_owned(), mapping.to_string()];
        let arguments = arguments.into_iter().chain(["-address", "127.0.0.1"].map(str::to_owned));
        let mapper = Path::new(MAPPER);
        let mut mapper = Child::start("epmd", mapper, arguments, folder, Output::Log)?;
        accepts(&mut mapper, mapping).await?;

        let environment = environment(folder, port, nodes, mapping);
        let arguments = environment.into_iter().chain([SERVER.to_owned()]);
        let env = Path::new("/usr/bin/env");
        let mut node = Child::start("rabbitmq", env, arguments, folder, Output::Log)?;
        accepts(&mut node, port).await?;
        Ok(Self { port, node, mapper })
    }

    /// Its address, with the user that every new node has.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
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

/// Its environment, as arguments of `env`.
fn environment(folder: &Path, port: u16, nodes: u16, mapping: u16) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    [
        // The cookie that nodes know each other by lies there.
        ("HOME", folder.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("ERL_EPMD_PORT", mapping.to_string()),
        ("RABBITMQ_NODENAME", format!("sidehook-test-{port}@localhost")),
        ("RABBITMQ_DIST_PORT", nodes.to_string()),
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

/// Waits until `child` accepts connections.
async fn accepts(child: &mut Child, port: u16) -> Result<()> {
    let accepting = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let name = child.name();
    tokio::select! {
        accepted = timeout(START, accepting) => {
            accepted.with_context(|| format!("{name} does not listen after {START:?}"))
        }
        death = child.death() => Err(death),
    }
}
