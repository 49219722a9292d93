//! `sidehook health`: what it takes for well and what not.
//!
//! Invariant: every server asked here is a real one on this machine, or none at all.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    process::Output,
    thread,
};

use crate::{command, printed, said};

/// Asks a server that answers once, with this status.
fn asking_one_that_answers(status: &'static str) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nlocation: /readyz\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        line
    });
    let output = asking(address);
    assert_eq!(server.join().unwrap(), "GET /readyz HTTP/1.1\r\n");
    output
}

fn asking(address: SocketAddr) -> Output {
    command(&format!("health --url http://{address}/readyz")).output().unwrap()
}

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(printed("health --help"));
}

#[test]
fn only_an_answer_that_says_so_is_well() {
    assert!(asking_one_that_answers("200 OK").status.success());
    for status in ["302 Found", "401 Unauthorized", "503 Service Unavailable"] {
        let output = asking_one_that_answers(status);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && told.contains(status), "{status}: {told}");
    }
}

#[test]
fn nobody_there_is_not_well_and_the_address_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = asking(address);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(said(&output).contains(&address.to_string()), "{}", said(&output));
}
