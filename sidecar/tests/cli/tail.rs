//! `sidehook tail`: what it shows of a sidecar that runs, and what it does when that goes away.
//!
//! Invariant: every process is ended with its test; every wait has a limit.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    command, printed, said,
    serve::Sidecar,
    sidehook,
    traffic::{happen, receiver, subscribe},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A running `sidehook tail`.
struct Tail {
    child: Child,
    shown: mpsc::Receiver<String>,
    said: mpsc::Receiver<String>,
}

impl Tail {
    /// One that listens already.
    fn of(api: &str, arguments: &str) -> Self {
        let mut command = command(&format!("tail --api {api} {arguments}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let shown = lines(child.stdout.take().unwrap());
        let said = lines(child.stderr.take().unwrap());
        let tail = Self { child, shown, said };
        tail.says("listening at ");
        tail
    }

    fn shows(&self) -> String {
        self.shown.recv_timeout(LIMIT).unwrap()
    }

    /// Waits until it says this on standard error.
    fn says(&self, wanted: &str) {
        let mut all = Vec::new();
        loop {
            let line = self.said.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|error| panic!("{error}; it said {all:?}"));
            if line.contains(wanted) {
                return;
            }
            all.push(line);
        }
    }

    fn ends_on(mut self, signal: &str) -> ExitStatus {
        let id = self.child.id().to_string();
        let told = std::process::Command::new("kill").args(["-s", signal, &id]).status();
        assert!(told.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn sidecar() -> Sidecar {
    Sidecar::start("--egress-allow 127.0.0.0/8")
}

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(printed("tail --help"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_shown_a_line_each_and_a_restart_is_survived() {
    let (sidecar, receiver) = (sidecar(), receiver().await);
    subscribe(&sidecar, &receiver, json!(["0s"])).await;
    let tail = Tail::of(&sidecar.api, "");
    happen(&sidecar, "1").await;
    let host = receiver.strip_prefix("http://").unwrap();
    for beginning in [
        "event        stored      people.created                              from ",
        &format!("delivery     pending     people.created        {host:20}  dlv_"),
        &format!("attempt      success     people.created        {host:20}  attempt 1, 204, "),
        &format!("delivery     delivered   people.created        {host:20}  dlv_"),
    ] {
        let line = tail.shows();
        assert!(line.get(14..).is_some_and(|line| line.starts_with(beginning)), "{line}");
        assert!(!line.contains('\u{1b}'), "colours, although it is no terminal: {line}");
    }

    let (api, place) = (sidecar.api.clone(), sidecar.api.replace("http://", ""));
    let folder = sidecar.stop();
    tail.says("ended the stream; asking again in 500ms");
    let sidecar = Sidecar::start_at(&place, folder, "--egress-allow 127.0.0.0/8");
    assert_eq!(sidecar.api, api);
    tail.says("again; what happened meanwhile is not shown");
    happen(&sidecar, "2").await;
    let line = tail.shows();
    assert!(line.contains("  event        stored  "), "{line}");
    assert!(tail.ends_on("INT").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_get_json_of_what_they_asked_for_and_of_several_sidecars() {
    let (sidecar, other, receiver) = (sidecar(), sidecar(), receiver().await);
    for path in ["/", "/broken"] {
        subscribe(&sidecar, &format!("{receiver}{path}"), json!(["0s"])).await;
    }
    let tail = Tail::of(&sidecar.api, &format!("--json --outcome failed --api {}", other.api));
    tail.says("listening at ");
    happen(&other, "1").await;
    happen(&sidecar, "1").await;
    let shown: Value = serde_json::from_str(&tail.shows()).unwrap();
    assert_eq!((&shown["kind"], &shown["status_code"]), (&json!("attempt"), &json!(500)));
    assert_eq!(shown["api"], sidecar.api.replace("http://", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nobody_reads_any_more_it_ends_well() {
    let sidecar = sidecar();
    let mut command = command(&format!("tail --api {}", sidecar.api));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = lines(child.stderr.take().unwrap());
    assert!(said.recv_timeout(LIMIT).unwrap().contains("listening"));
    drop(child.stdout.take());
    happen(&sidecar, "1").await;
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let ended = tokio::time::timeout(LIMIT, ended).await.unwrap().unwrap();
    assert!(ended.success());
    assert!(said.recv_timeout(LIMIT).is_err(), "it said something");
}

#[test]
fn what_it_cannot_do_is_told_why() {
    let sidecar = Sidecar::start("--api-token 0123456789abcdef");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let api = &sidecar.api;
    for (arguments, reason) in [
        (format!("--api {api}"), "was answered 401: the request must carry authorization"),
        (format!("--api {api} --token wrong"), "the bearer token is not one that was given out"),
        (format!("--api http://{closed}"), "asking the sidecar at http://127.0.0.1:"),
        (
            format!("--api {api} --token 0123456789abcdef --kind event --outcome failed"),
            "was answered 422: outcome is an attempt's",
        ),
        ("--kind all".to_owned(), "--kind"),
        ("--outcome bad".to_owned(), "--outcome"),
        ("--event-type *.*".to_owned(), "--event-type"),
        ("--subscription 1".to_owned(), "--subscription"),
    ] {
        let output = sidehook(&format!("tail {arguments}"));
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}");
        assert!(said(&output).contains(reason), "{arguments}: {}", said(&output));
    }
}
