//! One connection to the broker: made, ended, and made again after a rest.
//!
//! Invariant: nothing is awaited without a limit, and no connection is used again after anything
//! on it failed.

use std::{future::Future, time::Duration};

use lapin::{Connection, ConnectionProperties, ErrorKind, uri::AMQPUri};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::Error;
use crate::clock::Clock;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an orderly end may take.
const CLOSE: Duration = Duration::from_secs(2);
/// The silence, in seconds, after which either side asks whether the other is there.
const HEARTBEAT: u16 = 10;
/// The bounds of the rest between two connections, in milliseconds.
const REST: std::ops::Range<u64> = 100..1000;

/// Where the broker is, and who we are to it.
#[derive(Clone)]
pub(super) struct Address(AMQPUri);

/// The password is in it.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = &self.0.authority;
        write!(f, "{}://{}:{}", self.0.scheme, authority.host, authority.port)
    }
}

impl Address {
    pub(super) fn parse(url: &SecretString) -> Result<Self, Error> {
        // What is wrong with it is not said: the text would carry the password.
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| Error::Address)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self(uri))
    }
}

/// Makes a connection that the broker's overview shows as `name`.
pub(super) async fn dial(address: &Address, name: &str) -> Result<Connection, Error> {
    let name = format!("sidehook {name}");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let dialled = within(CONNECT, Connection::connect_uri(address.0.clone(), properties)).await;
    dialled.map_err(|error| match error {
        Error::Amqp(amqp) if is_refusal(&amqp) => Error::Refused(amqp),
        other => other,
    })
}

/// Ends a connection, in order if that is soon done.
pub(super) async fn hang_up(connection: Connection) {
    // One that is broken already cannot be ended in order, and need not be.
    let _ = timeout(CLOSE, connection.close(200, "done".into())).await;
}

/// Rests for a while that is long enough for a broker to get up, and different for each worker.
pub(super) async fn rest(clock: &dyn Clock) {
    let millis = REST.start + clock.dice() % (REST.end - REST.start);
    clock.sleep(Duration::from_millis(millis)).await;
}

/// Awaits an answer of the broker, but no longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match timeout(limit, answer).await {
        Ok(answered) => answered.map_err(Error::Amqp),
        Err(_) => Err(Error::Silent(limit)),
    }
}

/// Whether the broker is there and does not want us: a wrong password or virtual host.
fn is_refusal(error: &lapin::Error) -> bool {
    // AMQP 0-9-1, `access-refused` and `not-allowed`.
    matches!(error.kind(), ErrorKind::ProtocolError(said) if [403, 530].contains(&said.get_id()))
}
