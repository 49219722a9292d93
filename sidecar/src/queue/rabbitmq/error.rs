//! Why there is no connection to the broker, and whether it is of use to try again.
//!
//! Invariant: no text of an error holds the password.

use std::time::Duration;

use thiserror::Error;

/// Why there is no connection. The first four are the operator's to mend.
#[derive(Debug, Error)]
pub enum Error {
    /// The URL is not one.
    #[error("the address is not of the form amqp://USER:PASSWORD@HOST:PORT/VHOST")]
    Address,
    /// The prefix is empty, or longer than so many bytes.
    #[error("the prefix of the names must have 1 to {0} bytes")]
    Prefix(usize),
    /// The broker does not let us in.
    #[error("RabbitMQ refuses the user, the password or the virtual host")]
    Refused(#[source] lapin::Error),
    /// Something of that name exists and is different.
    #[error(
        "the {kind} {name} exists with other arguments ({said}); \
         delete it (what is in it is in the store too) or choose another prefix"
    )]
    Incompatible {
        /// `queue` or `exchange`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the broker says about it.
        said: String,
    },
    /// The connection cannot be made, or broke.
    #[error(transparent)]
    Amqp(lapin::Error),
    /// It takes no messages until somebody has mended this.
    #[error("it takes no messages ({0})")]
    Blocked(String),
    /// No answer within this time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It came to an end without saying why.
    #[error("{0} came to an end")]
    Ended(&'static str),
}

impl Error {
    /// Whether it may mend itself.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Amqp(_) | Self::Blocked(_) | Self::Silent(_) | Self::Ended(_) => true,
            Self::Address | Self::Prefix(_) | Self::Refused(_) | Self::Incompatible { .. } => false,
        }
    }
}
