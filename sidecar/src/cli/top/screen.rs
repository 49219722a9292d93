//! The terminal while `top` has all of it: a screen of its own, no echo, keys at once.
//!
//! Invariant: however the program ends but by SIGKILL, the terminal is as it was.

use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

use super::view::Line;
use crate::cli::terminal::coloured;

/// The alternate screen, without a cursor (xterm's control sequences, DECSET 1049 and 25).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; what is beyond the end of a line goes away, and so does what is below.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST: &str = "\x1b[J";

/// What a terminal has that does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// The terminal, until it is dropped.
pub(super) struct Screen {
    before: Termios,
}

impl Screen {
    /// Takes the terminal at standard output and input.
    pub(super) fn enter() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("reading how the terminal is set")?;
        let mut ours = before.clone();
        ours.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // Stopped (Ctrl-Z) it would leave the terminal as it is.
        ours.special_codes[SpecialCodeIndex::VSUSP] = 0;
        ours.special_codes[SpecialCodeIndex::VMIN] = 1;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &ours).context("setting the terminal")?;
        let screen = Self { before };
        say(ENTER)?;
        Ok(screen)
    }

    /// How many characters there are in a line, and how many lines.
    pub(super) fn size() -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).ok();
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        size.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or(USUAL)
    }

    /// Shows these lines and nothing else.
    pub(super) fn show(lines: &[Line]) -> io::Result<()> {
        let shown = lines.iter().map(|line| coloured(&line.text, line.colour) + REST_OF_LINE);
        let shown: Vec<_> = shown.collect();
        say(&format!("{HOME}{}{REST}", shown.join("\r\n")))
    }

    /// The keys, as they are pressed. What reads them ends with the process: a read of a terminal
    /// cannot be broken off.
    pub(super) fn keys() -> mpsc::Receiver<u8> {
        let (pressed, keys) = mpsc::channel(16);
        std::thread::spawn(move || {
            for key in io::stdin().lock().bytes() {
                let Ok(key) = key else { break };
                if pressed.blocking_send(key).is_err() {
                    break;
                }
            }
        });
        keys
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = say(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
