//! One HTTP/1.1 message read from a connection, byte for byte as far as it matters.
//!
//! Invariant: header values and bodies are bytes; how a body was framed on the wire is undone,
//! for a proxy may cut chunks anew.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};

/// A request or an answer.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    /// In the order of arrival, names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    /// After the last chunk.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// What a proxy sets anew on each exchange.
const OF_THE_EXCHANGE: [&str; 3] = ["date", "x-request-id", "x-envoy-upstream-service-time"];

impl Message {
    /// Reads a request; none if the connection was closed instead.
    pub(crate) async fn request(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let Some(mut message) = Self::head(from).await? else { return Ok(None) };
        if message.is_chunked() {
            message.chunks(from).await?;
        } else if let Some(length) = message.length()? {
            message.take(from, length).await?;
        }
        Ok(Some(message))
    }

    /// Reads the answer to a request of `method`, the interim ones before it included.
    pub(crate) async fn answer(
        from: &mut (impl AsyncBufRead + Unpin),
        method: &str,
    ) -> Result<Vec<Self>> {
        let mut answers = Vec::new();
        loop {
            let head = Self::head(from).await?;
            let mut message = head.with_context(|| format!("no answer after {answers:?}"))?;
            let status = message.start.split(' ').nth(1).unwrap_or_default().to_owned();
            if status.starts_with('1') {
                answers.push(message);
                continue;
            }
            if method == "HEAD" || status == "204" || status == "304" {
            } else if message.is_chunked() {
                message.chunks(from).await?;
            } else if let Some(length) = message.length()? {
                message.take(from, length).await?;
            } else {
                from.read_to_end(&mut message.body).await?;
            }
            answers.push(message);
            return Ok(answers);
        }
    }

    /// Its path, without the query.
    pub(crate) fn path(&self) -> &str {
        let target = self.start.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// Without what differs from one exchange to the next.
    pub(crate) fn comparable(mut self) -> Self {
        self.headers.retain(|(name, _)| !OF_THE_EXCHANGE.contains(&name.as_str()));
        self
    }

    async fn head(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let start = line(from).await?;
        let Some(start) = start else { return Ok(None) };
        let start = String::from_utf8_lossy(&start).into_owned();
        Ok(Some(Self { start, headers: fields(from).await?, ..Self::default() }))
    }

    async fn chunks(&mut self, from: &mut (impl AsyncBufRead + Unpin)) -> Result<()> {
        loop {
            let size = line(from).await?.context("the body ended before its last chunk")?;
            let size = usize::from_str_radix(str::from_utf8(&size)?.trim(), 16)?;
            if size == 0 {
                self.trailers = fields(from).await?;
                return Ok(());
            }
            self.take(from, size).await?;
            let end = line(from).await?;
            ensure!(end.is_some_and(|end| end.is_empty()), "a chunk that does not end");
        }
    }

    async fn take(&mut self, from: &mut (impl AsyncRead + Unpin), length: usize) -> Result<()> {
        let mut part = vec![0; length];
        from.read_exact(&mut part).await.context("the body ended too early")?;
        self.body.extend(part);
        Ok(())
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some(b"chunked")
    }

    fn length(&self) -> Result<Option<usize>> {
        let length = self.header("content-length").map(str::from_utf8).transpose()?;
        Ok(length.map(str::parse).transpose()?)
    }
}

/// Bodies by their length and beginning, for 4 MB say nothing to a reader.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |fields: &[(String, Vec<u8>)]| {
            let lines = fields.iter();
            lines
                .map(|(name, value)| format!("{name}: {}", value.escape_ascii()))
                .collect::<Vec<_>>()
        };
        let beginning = self.body.split_at(self.body.len().min(80)).0.escape_ascii().to_string();
        f.debug_struct(&self.start)
            .field("headers", &fields(&self.headers))
            .field("body", &(self.body.len(), beginning))
            .field("trailers", &fields(&self.trailers))
            .finish()
    }
}

/// A line without its end; none at the end of the connection.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(Some(line.to_vec())),
        None => bail!("a line that does not end: {}", line.escape_ascii()),
    }
}

/// Header or trailer lines up to the empty one.
async fn fields(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(from).await?.context("the head ended too early")?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':').context("a line without a colon")?;
        let (name, value) = line.split_at(colon);
        let name = String::from_utf8_lossy(name).to_lowercase();
        fields.push((
            name,
            value.trim_ascii_start().strip_prefix(b":").unwrap_or(b"").trim_ascii().to_vec(),
        ));
    }
}
