//! An API that answers byte for byte what the test wants, and remembers each request.
//!
//! Invariant: a request is remembered whole before it is answered.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use xtask::ports;

use super::message::Message;

/// An API for one test.
pub(crate) struct Upstream {
    port: u16,
    script: Script,
    task: JoinHandle<()>,
}

/// The answer, head and body, to a path that the test has said nothing about.
const OTHERWISE: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// An answer with this in its head ends with its connection.
const CLOSE: &[u8] = b"connection: close\r\n";

/// The longest head that is searched for it.
const HEAD: usize = 200;

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    otherwise: Arc<Mutex<Option<Vec<u8>>>>,
    in_turn: Arc<Mutex<VecDeque<Vec<u8>>>>,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Upstream {
    /// Starts it on a port of its own.
    pub(crate) async fn start() -> Result<Self> {
        let port = ports::free()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let script = Script::default();
        let task = tokio::spawn(accept(listener, script.clone()));
        Ok(Self { port, script, task })
    }

    /// Its address as the beginning of a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on answers `path` with exactly these bytes.
    pub(crate) fn answers(&self, path: &str, answer: &[u8]) {
        let mut answers = self.script.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), answer.to_vec());
    }

    /// Answers the next requests with these bytes, whatever their paths, before all else.
    pub(crate) fn answers_in_turn(&self, answers: &[Vec<u8>]) {
        let mut in_turn = self.script.in_turn.lock().unwrap_or_else(PoisonError::into_inner);
        in_turn.extend(answers.iter().cloned());
    }

    /// From now on answers every path with exactly these bytes, but those that have an answer of
    /// their own.
    pub(crate) fn always_answers(&self, answer: &[u8]) {
        let mut otherwise = self.script.otherwise.lock().unwrap_or_else(PoisonError::into_inner);
        *otherwise = Some(answer.to_vec());
    }

    /// The requests since the last time they were taken.
    pub(crate) fn take_requests(&self) -> Vec<Message> {
        let mut requests = self.script.requests.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *requests)
    }
}

impl Script {
    fn answer(&self, path: &str) -> Vec<u8> {
        if let Some(next) = self.in_turn.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        {
            return next;
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let otherwise = self.otherwise.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(path).or(otherwise.as_ref());
        answer.cloned().unwrap_or_else(|| OTHERWISE.to_vec())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, script: Script) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let script = script.clone();
            // A proxy that goes away in the middle is the test's own doing.
            tokio::spawn(async move { drop(converse(stream, script).await) });
        }
    }
}

async fn converse(stream: TcpStream, script: Script) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Message::request(&mut stream).await? {
        let answer = script.answer(request.path());
        script.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        stream.write_all(&answer).await?;
        if answer.windows(CLOSE.len()).take(HEAD).any(|part| part == CLOSE) {
            return Ok(());
        }
    }
    Ok(())
}
