//! `sidehook serve`: where it listens, and when it refuses to.
//!
//! Invariant: every sidecar here is ended with its test, and stores in a folder of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStderr, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{command, said};

/// How long anything may take that should take a moment.
const LIMIT: Duration = Duration::from_secs(30);

/// A sidecar on a port that was free.
pub(crate) struct Sidecar {
    process: Child,
    /// Where its API is.
    pub(crate) api: String,
    pub(crate) folder: TempDir,
    log: mpsc::Receiver<String>,
}

impl Sidecar {
    pub(crate) fn start(arguments: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, arguments)
    }

    /// Starts on what an earlier one has left.
    pub(crate) fn start_in(folder: TempDir, arguments: &str) -> Self {
        Self::start_at("127.0.0.1:0", folder, arguments)
    }

    pub(crate) fn start_at(listen: &str, folder: TempDir, arguments: &str) -> Self {
        let arguments = arguments.replace("FOLDER", &folder.path().display().to_string());
        let store = folder.path().join("sidehook.db").display().to_string();
        let mut process = command(&format!(
            "serve --listen {listen} --store sqlite:{store} --log-format json {arguments}"
        ))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let log = lines(process.stderr.take().unwrap());
        let mut sidecar = Self { process, api: String::new(), folder, log };
        let serving = sidecar.says(|line| line["message"] == "serving" && line["face"] == "Api");
        sidecar.api = format!("http://{}", serving["listen"].as_str().unwrap());
        sidecar
    }

    /// Waits for a line of the log.
    pub(crate) fn says(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut said = Vec::new();
        loop {
            let line = self.log.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|error| panic!("{error}; it said {said:#?}"));
            let line: Value = serde_json::from_str(&line).unwrap();
            if wanted(&line) {
                return line;
            }
            said.push(line);
        }
    }

    /// Asks it to end, waits, and returns its folder.
    pub(crate) fn stop(mut self) -> TempDir {
        let id = self.process.id().to_string();
        let told = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success() && self.process.wait().unwrap().success());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lines(log: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Why it refuses to serve.
fn refusal(folder: &Path, arguments: &str) -> String {
    let store = folder.join("sidehook.db").display().to_string();
    let mut process = command(&format!("serve --store sqlite:{store} {arguments}"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = process.stderr.take().unwrap();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        let _ = sender.send(text);
    });
    let text = ended.recv_timeout(LIMIT);
    let _ = process.kill();
    let status = process.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{arguments}: it did serve: {text:?}");
    text.unwrap()
}

#[test]
fn beyond_loopback_it_does_not_serve_without_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &str| refusal(folder.path(), arguments);
    let (api, ingest) = ("--api-token 0123456789abcdef", "--ingest-token 0123456789abcdeg");
    for arguments in [
        "--listen 0.0.0.0:0",
        &format!("--listen [::]:0 {ingest}"),
        "--listen 127.0.0.1:0 --metrics-listen 0.0.0.0:0",
    ] {
        let told = refused(arguments);
        assert!(told.contains("configuration key api_token: must be set"), "{told}");
    }
    for arguments in [
        format!("--listen 0.0.0.0:0 {api}"),
        format!("--listen 127.0.0.1:0 --ingest-listen 0.0.0.0:0 {api}"),
    ] {
        let told = refused(&arguments);
        assert!(told.contains("configuration key ingest_token: must be set"), "{told}");
    }
    // Then others can reach the API alone.
    let socket = folder.path().join("ingest.sock").display().to_string();
    let told = refused(&format!("--listen 0.0.0.0:0 --ingest-listen unix:{socket}"));
    assert!(told.contains("configuration key api_token"), "{told}");
}

#[test]
fn on_loopback_it_serves_without_and_says_so() {
    let sidecar = Sidecar::start("");
    let answer = command(&format!("token list --api {}", sidecar.api)).output().unwrap();
    assert!(answer.status.success(), "{}", said(&answer));
    let sidecar = Sidecar::start_in(sidecar.stop(), "--api-token 0123456789abcdef");
    let answer = command(&format!("token list --api {}", sidecar.api)).output().unwrap();
    assert!(
        said(&answer).contains("was answered 401: the request must carry"),
        "{}",
        said(&answer)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_has_a_place_of_its_own_where_nothing_else_is() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sidecar = Sidecar::start("--ingest-listen unix:FOLDER/ingest.sock");
    let socket = sidecar.folder.path().join("ingest.sock");
    let builder = reqwest::Client::builder().unix_socket(socket.clone()).http2_prior_knowledge();
    let (at_socket, at_address) = (builder.build().unwrap(), reqwest::Client::new());
    for (client, base, path, status) in [
        (&at_socket, "http://sidehook", "/ingest", 415),
        (&at_socket, "http://sidehook", "/events", 404),
        (&at_socket, "http://sidehook", "/healthz", 404),
        (&at_address, &*sidecar.api, "/ingest", 404),
        (&at_address, &*sidecar.api, "/subscriptions", 415),
    ] {
        let request = client.post(format!("{base}{path}")).header("content-type", "text/plain");
        let answer = request.body("x").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{base}{path}");
    }
    let folder = sidecar.stop();
    assert!(!fs::exists(socket).unwrap(), "the socket is still there");
    drop(folder);
}

#[test]
fn changed_certificates_are_taken_over_and_broken_ones_are_complained_of() {
    let folder = tempfile::tempdir().unwrap();
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let first = issue();
    write("tls.crt", &first.cert.pem());
    write("tls.key", &first.signing_key.serialize_pem());
    fs::set_permissions(folder.path().join("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let sidecar = Sidecar::start_in(
        folder,
        "--ingest-listen 127.0.0.2:0 --ingest-tls-certificate FOLDER/tls.crt \
         --ingest-tls-key FOLDER/tls.key",
    );
    let write = |name: &str, text: &str| fs::write(sidecar.folder.path().join(name), text).unwrap();
    let says = |text: &str| {
        sidecar.says(|line| line["message"].as_str().is_some_and(|said| said.contains(text)))
    };

    write("tls.crt", "nonsense");
    let told = says("cannot use changed certificates, and keeps the earlier ones");
    let reason = told["error"].as_str().unwrap();
    assert!(reason.contains("key ingest_tls_certificate: "), "{reason}");
    assert!(reason.contains("must hold a certificate as PEM"), "{reason}");

    let second = issue();
    write("tls.crt", &second.cert.pem());
    write("tls.key", &second.signing_key.serialize_pem());
    says("took over changed certificates");
    says("everybody on this machine can read the key");
    sidecar.stop();
}

#[test]
fn it_does_not_serve_with_certificates_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let told = refusal(
        folder.path(),
        "--listen 127.0.0.1:0 --ingest-listen 127.0.0.2:0 \
         --ingest-tls-certificate /nonexistent/tls.crt --ingest-tls-key /nonexistent/tls.key",
    );
    let reason = "configuration key ingest_tls_certificate: /nonexistent/tls.crt: No such file";
    assert!(told.contains(reason), "{told}");
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("sidehook.db").display().to_string();
    let serve = format!("serve --listen 127.0.0.1:0 --store sqlite:{store}");
    let mut process = command(&serve).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("serving")));
    drop(log);
    // It says that it stops, in vain.
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    for _ in 0..LIMIT.as_millis() / 20 {
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    panic!("it did not end within {LIMIT:?}");
}
