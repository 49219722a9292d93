//! Connects to one of several addresses of a host, as RFC 8305 (*Happy Eyeballs*) recommends.
//!
//! Invariant: of the addresses it was given, and no others, one is connected to at the end; what
//! was begun with the others is dropped.

use std::{io, net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::timeout};

/// How long the next address waits for the one before (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection to the first of `addresses` that takes one.
pub(super) async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = taking_turns(addresses).into_iter();
    let mut dialing = FuturesUnordered::new();
    let mut failed = None;
    loop {
        dialing.extend(waiting.next().map(TcpStream::connect));
        let ended = if waiting.len() == 0 {
            dialing.next().await
        } else {
            timeout(HEAD_START, dialing.next()).await.ok().flatten()
        };
        match ended {
            Some(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
        if dialing.is_empty() && waiting.len() == 0 {
            let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "no address is left");
            return Err(failed.unwrap_or_else(none));
        }
    }
}

/// The addresses with the two families in turn, in the order of the resolver otherwise.
fn taking_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == v6_first);
    let mut second = second.into_iter();
    let mut turns = Vec::with_capacity(addresses.len());
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "[::4]:1"];
        let turns = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1", "[::4]:1"];
        assert_eq!(taking_turns(&addresses(&given)), addresses(&turns));
        let given = ["1.1.1.1:1", "[::1]:1", "[::2]:1"];
        assert_eq!(taking_turns(&addresses(&given)), addresses(&given));
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = free.local_addr().unwrap();
        drop(free);
        let stream = dial(&[refusing, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let refused = dial(&[refusing]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(dial(&[]).await.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
