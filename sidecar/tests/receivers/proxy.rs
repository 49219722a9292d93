//! Deliveries that leave through the operator's proxy.
//!
//! Invariant: the proxy is asked for an address that was judged, and is a real one: what it is
//! asked for it connects to.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sidehook::{
    deliver::{client::Client, egress::Rule},
    model::{Outcome, Proxy},
};
use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::ground::{Connection, Receiver, send};

const LIMIT: Duration = Duration::from_secs(10);
const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The heads of what the proxy was asked for.
type Heads = Arc<Mutex<Vec<String>>>;

/// A proxy that answers so, and connects if that is 200.
async fn proxy(status: u16) -> (Receiver, Heads) {
    let heads = Heads::default();
    let asked = Arc::clone(&heads);
    let proxy = Receiver::start(move |mut connection: Connection| {
        let asked = Arc::clone(&asked);
        async move {
            let head = String::from_utf8(connection.hear().await?).ok()?;
            let target: SocketAddr = head.split(' ').nth(1)?.parse().ok()?;
            asked.lock().unwrap().push(head);
            if status != 200 {
                return connection.say(format!("HTTP/1.1 {status} No\r\n\r\n")).await;
            }
            let mut far = TcpStream::connect(target).await.ok()?;
            connection.say("HTTP/1.1 200 Connection established\r\n\r\n").await?;
            copy_bidirectional(&mut connection.stream, &mut far).await.ok().map(drop)
        }
    });
    (proxy.await, heads)
}

fn through(proxy: SocketAddr, user: &str) -> Client {
    let rule = Rule::allowing(["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
    let proxy = Proxy::parse(&format!("http://{user}{proxy}").into()).unwrap();
    Client::through(Arc::new(rule), Some(proxy)).unwrap()
}

async fn well() -> Receiver {
    Receiver::start(async |mut connection: Connection| {
        loop {
            connection.answer(WELL).await?;
        }
    })
    .await
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_address_that_was_judged_and_told_who_asks() {
    let (proxy, heads) = proxy(200).await;
    let receiver = well().await;
    let client = through(proxy.address, "user:secret@");
    let url = format!("http://localhost:{}/hook", receiver.address.port());
    for _ in 0..2 {
        assert_eq!(send(&client, &url, LIMIT).await.0.unwrap().excerpt, "ok");
    }
    let heads = heads.lock().unwrap();
    let asked = format!("CONNECT {} HTTP/1.1\r\n", receiver.address);
    let found = heads.iter().find(|head| head.starts_with(&asked)).unwrap();
    assert!(found.contains("proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{found}");
    assert!(heads.iter().all(|head| !head.contains("localhost")), "never for a name");
    assert_eq!(receiver.came(), 1, "the connection through it is kept");
}

#[tokio::test]
async fn what_the_egress_rule_denies_the_proxy_is_not_asked_for() {
    let (proxy, heads) = proxy(200).await;
    let denying = Proxy::parse(&format!("http://{}", proxy.address).into()).unwrap();
    let client = Client::through(Arc::new(Rule::default()), Some(denying)).unwrap();
    let receiver = well().await;
    for host in ["127.0.0.1", "localhost", "169.254.169.254"] {
        let url = format!("http://{host}:{}/hook", receiver.address.port());
        let failed = send(&client, &url, LIMIT).await.0.unwrap_err();
        assert_eq!(failed.outcome, Outcome::Egress, "{host}");
    }
    assert!(heads.lock().unwrap().is_empty());
    assert_eq!((proxy.came(), receiver.came()), (0, 0));
}

#[tokio::test]
async fn whose_fault_it_is_that_there_is_no_connection_is_told() {
    let receiver = well().await;
    for (status, outcome) in [
        (502, Outcome::Connection),
        (504, Outcome::Connection),
        (407, Outcome::Proxy),
        (500, Outcome::Proxy),
    ] {
        let (proxy, _) = proxy(status).await;
        let client = through(proxy.address, "");
        let failed = send(&client, &receiver.url(), LIMIT).await.0.unwrap_err();
        assert_eq!(failed.outcome, outcome, "{status}: {failed:?}");
        assert!(
            failed.error.contains(&format!("the egress proxy answered {status}")),
            "{failed:?}"
        );
    }
    let silent = Receiver::start(async |mut connection: Connection| connection.wait().await).await;
    let nonsense = Receiver::start(async |mut connection: Connection| {
        connection.answer("SSH-2.0\r\n\r\n").await
    });
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for (what, address, outcome) in [
        ("says nothing", silent.address, Outcome::Timeout),
        ("no HTTP", nonsense.await.address, Outcome::Proxy),
        ("gone", gone, Outcome::Proxy),
    ] {
        let failed = send(&through(address, ""), &receiver.url(), LIMIT).await.0.unwrap_err();
        assert_eq!(failed.outcome, outcome, "{what}: {failed:?}");
    }
    assert_eq!(receiver.came(), 0);
}
