//! `sidehook top`: what it shows agrees with what was done, and a terminal is as it was before.
//!
//! Invariant: every process is ended with its test; every wait has a limit.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::json;
use sidehook::clock::{Clock as _, SystemClock};

use crate::{
    command, printed,
    serve::Sidecar,
    traffic::{happen_many, receiver, subscribe},
};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_help_names_every_option() {
    insta::assert_snapshot!(printed("top --help"));
}

/// Waits until a snapshot has this line, and returns all of it.
fn snapshot_with(sidecar: &Sidecar, arguments: &str, wanted: &str) -> String {
    let arguments = format!("top --once --interval 100ms --api {} {arguments}", sidecar.api);
    let mut last = String::new();
    for _ in 0..100 {
        last = printed(&arguments);
        if last.lines().any(|line| line.contains(wanted)) {
            return last;
        }
    }
    panic!("no {wanted:?} in\n{last}");
}

fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_agrees_with_what_was_delivered() {
    let (sidecar, receiver) = (Sidecar::start("--egress-allow 127.0.0.0/8"), receiver().await);
    subscribe(&sidecar, &receiver, json!(["0s"])).await;
    subscribe(&sidecar, &format!("{receiver}/gone"), json!(["0s"])).await;
    happen_many(&sidecar, "many", 1).await;
    // The backlog is counted every few seconds.
    let shown = tokio::task::spawn_blocking(move || {
        (snapshot_with(&sidecar, "", "dead letters: refused 1"), sidecar)
    });
    let (shown, sidecar) = tokio::time::timeout(LIMIT, shown).await.unwrap().unwrap();
    let columns = |beginning| line(&shown, beginning).split_whitespace().collect::<Vec<_>>();
    assert!(
        line(&shown, "sidehook top").ends_with("sidecars: 1 of 1  queue: in process"),
        "{shown}"
    );
    // What tells of the death, and of the subscription that its receiver ended, is delivered to
    // nobody and comes from no batch.
    assert_eq!(columns("stored")[2], "1", "{shown}");
    assert_eq!(columns("delivered")[2], "1", "{shown}");
    assert_eq!(columns("failed")[2], "1", "{shown}");
    assert_eq!(columns("given up")[3], "1", "{shown}");
    assert!(line(&shown, "waiting:").contains("pending 0 · due 0 · lag 0 ms"), "{shown}");
    let host = receiver.strip_prefix("http://").unwrap();
    let worst = columns(host);
    assert_eq!(worst[1..], ["0", "0", "1", "answered", "410"], "{shown}");
    let letter = shown.lines().last().unwrap();
    assert!(letter.contains("refused       people.created") && letter.contains(host), "{shown}");
    drop(sidecar);
}

#[test]
fn what_a_token_does_not_allow_is_a_dash_with_the_reason() {
    let sidecar = Sidecar::start("--api-token 0123456789abcdef");
    let create = format!("token create --name me --scope metrics:read --api {}", sidecar.api);
    let made = command(&create).env("SIDEHOOK_API_TOKEN", "0123456789abcdef").output().unwrap();
    let token = String::from_utf8(made.stdout).unwrap();
    let arguments = format!("--token {}", token.trim_end());
    let shown = snapshot_with(&sidecar, &arguments, "LAST DEAD LETTERS: -");
    assert!(shown.contains("the token lacks the scope deliveries:read"), "{shown}");
    assert!(line(&shown, "stored").contains(" 0"), "{shown}");

    let shown = snapshot_with(&sidecar, "--token wrong", "sidecars: 0 of 1");
    assert!(shown.contains("the bearer token is not one that was given out"), "{shown}");
    assert_eq!(line(&shown, "stored").split_whitespace().nth(1), Some("-"), "{shown}");
}

/// A terminal, and the command that has it.
struct Terminal {
    ours: File,
    theirs: File,
    child: Child,
    shown: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn running(arguments: &str) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let theirs = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let terminal = || Stdio::from(theirs.try_clone().unwrap());
        let ours = File::from(ours);
        resize(&ours, 80, 24);
        // A session of its own, so that Ctrl-C at this terminal is meant for it.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(env!("CARGO_BIN_EXE_sidehook"))
            .args(arguments.split_whitespace())
            .env_remove("SIDEHOOK_API_TOKEN")
            .env_remove("NO_COLOR")
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .unwrap();
        let (sender, shown) = mpsc::channel();
        let mut reading = ours.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = reading.read(&mut buffer) {
                if read == 0 || sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { ours, theirs, child, shown, text: String::new() }
    }

    /// Waits until this was written to it.
    fn shows(&mut self, wanted: &str) {
        let clock = SystemClock::start();
        while !self.text.contains(wanted) {
            let more = self.shown.recv_timeout(LIMIT.saturating_sub(clock.monotonic()));
            let more =
                more.unwrap_or_else(|error| panic!("{error}: no {wanted:?} in {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.theirs).unwrap()
    }

    fn types(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &File, width: u16, height: u16) {
    let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn a_terminal_is_drawn_upon_and_given_back_as_it_was() {
    let sidecar = Sidecar::start("");
    // What is typed: q, Ctrl-C.
    for key in [b"q", b"\x03"] {
        let mut terminal =
            Terminal::running(&format!("top --interval 100ms --api {}", sidecar.api));
        terminal.shows("\u{1b}[?1049h");
        terminal.shows("LAST DEAD LETTERS");
        let ours = LocalModes::ICANON | LocalModes::ECHO;
        assert!(!terminal.modes().local_modes.intersects(ours));
        // Another look, in place.
        terminal.text.clear();
        terminal.shows("\u{1b}[Hsidehook top");
        terminal.text.clear();
        resize(&terminal.ours, 30, 4);
        terminal.shows("a second      in\u{1b}[K");
        terminal.types(key);
        assert!(terminal.child.wait().unwrap().success());
        terminal.shows("\u{1b}[?1049l");
        assert!(terminal.modes().local_modes.contains(ours));
    }
}

#[test]
fn a_sidecar_that_goes_away_is_waited_for() {
    let sidecar = Sidecar::start("");
    let mut terminal = Terminal::running(&format!("top --interval 100ms --api {}", sidecar.api));
    terminal.shows("sidecars: 1 of 1");
    let (place, folder) = (sidecar.api.replace("http://", ""), sidecar.stop());
    terminal.shows("sidecars: 0 of 1");
    terminal.shows("asking the sidecar at");
    terminal.text.clear();
    let _sidecar = Sidecar::start_at(&place, folder, "");
    terminal.shows("sidecars: 1 of 1");
    terminal.types(b"q");
    assert!(terminal.child.wait().unwrap().success());
}
