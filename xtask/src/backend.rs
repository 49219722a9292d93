//! What the sidecars keep everything in and spread work through, and the servers for it.
//!
//! Invariant: the servers outlive every sidecar that uses them, and nothing else does.

use std::{path::Path, str::FromStr};

use anyhow::Result;

use crate::services::{postgres::Postgres, rabbitmq::RabbitMq};

/// Which servers are used; where there is none, the sidecar has what it needs inside itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backend {
    /// Postgres in place of one SQLite file.
    pub postgres: bool,
    /// RabbitMQ in place of a queue inside the process.
    pub rabbitmq: bool,
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "embedded" {
            return Ok(Self::default());
        }
        let mut backend = Self::default();
        for name in text.split(',') {
            match name {
                "postgres" => backend.postgres = true,
                "rabbitmq" => backend.rabbitmq = true,
                _ => return Err("must be embedded, postgres, rabbitmq or postgres,rabbitmq".into()),
            }
        }
        Ok(backend)
    }
}

/// Servers that were started for one stack.
#[derive(Debug, Default)]
pub struct Servers {
    /// Postgres, if it is used.
    pub postgres: Option<Postgres>,
    /// RabbitMQ, if it is used.
    pub rabbitmq: Option<RabbitMq>,
}

impl Servers {
    /// Starts what `backend` names. Postgres keeps its data in `data` and goes on with what it
    /// finds there; RabbitMQ, which holds nothing that would be missed, begins empty.
    pub async fn start(backend: Backend, folder: &Path, data: &Path) -> Result<Self> {
        let (data, folder) = (data.join("postgres"), folder.join("rabbitmq"));
        let postgres = async {
            anyhow::Ok(if backend.postgres { Some(Postgres::open_in(&data).await?) } else { None })
        };
        let rabbitmq = async {
            anyhow::Ok(if backend.rabbitmq {
                Some(RabbitMq::start_in(&folder).await?)
            } else {
                None
            })
        };
        // Beside each other: both take seconds, and wait more than they work.
        let (postgres, rabbitmq) = tokio::try_join!(postgres, rabbitmq)?;
        Ok(Self { postgres, rabbitmq })
    }

    /// The address of the store; none where it is a file.
    pub fn store(&self) -> Option<String> {
        self.postgres.as_ref().map(Postgres::url)
    }

    /// The address of the queue; none where it is inside the process.
    pub fn queue(&self) -> Option<String> {
        self.rabbitmq.as_ref().map(RabbitMq::url)
    }

    /// Waits until one of them dies and says so.
    pub async fn death(&mut self) -> anyhow::Error {
        let Self { postgres, rabbitmq } = self;
        let postgres = async {
            match postgres {
                Some(postgres) => postgres.server().death().await,
                None => std::future::pending().await,
            }
        };
        let rabbitmq = async {
            match rabbitmq {
                Some(rabbitmq) => rabbitmq.node().death().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            death = postgres => death,
            death = rabbitmq => death,
        }
    }

    /// Stops them.
    pub async fn stop(self) -> Result<()> {
        let rabbitmq = match self.rabbitmq {
            Some(rabbitmq) => rabbitmq.stop().await,
            None => Ok(()),
        };
        let postgres = match self.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        };
        rabbitmq.and(postgres)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_embedded_or_names_its_servers() {
        let backend = |postgres, rabbitmq| Ok(Backend { postgres, rabbitmq });
        assert_eq!("embedded".parse(), backend(false, false));
        assert_eq!("postgres".parse(), backend(true, false));
        assert_eq!("rabbitmq".parse(), backend(false, true));
        assert_eq!("postgres,rabbitmq".parse(), backend(true, true));
        for text in ["", "mysql", "postgres,", "embedded,rabbitmq"] {
            assert!(text.parse::<Backend>().is_err(), "{text:?}");
        }
    }
}
