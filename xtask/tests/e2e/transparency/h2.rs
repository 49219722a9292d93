//! One exchange over HTTP/2 without TLS.
//!
//! Invariant: an answer is its status, headers, body and trailers, whatever frames they came in.

use std::{collections::VecDeque, net::SocketAddr, pin::Pin, task::Poll};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, StatusCode, Version,
    body::{Body, Frame},
    client::conn::http2,
    header::HeaderValue,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::cases::H2Case;

/// What a client sees.
#[derive(PartialEq)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// Sends a case's request on a connection of its own.
pub(super) async fn exchange(gateway: SocketAddr, case: &H2Case) -> Result<Answer> {
    let stream = TokioIo::new(TcpStream::connect(gateway).await?);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    let head = Request::builder()
        .method(&case.method)
        .version(Version::HTTP_2)
        .uri(format!("http://api{}", case.path));
    let fields = case.fields.iter();
    let head = fields.fold(head, |head, (name, value)| head.header(name, value.as_slice()));
    let request = head.body(frames(case))?;
    let (head, body) = client.send_request(request).await?.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let mut headers = head.headers;
    headers.remove("date");
    connection.abort();
    Ok(Answer { status: head.status, headers, body: body.to_bytes(), trailers })
}

/// The body of a request, as the frames to be sent.
struct Frames(VecDeque<Frame<Bytes>>);

fn frames(case: &H2Case) -> Frames {
    let data = case.body.iter().map(|body| Frame::data(Bytes::from(body.clone())));
    let mut frames: VecDeque<_> = data.collect();
    if case.trailers {
        let sum = [("x-sum".parse().ok(), HeaderValue::from_static("1"))];
        let sum = sum.into_iter().filter_map(|(name, value)| Some((name?, value)));
        frames.push_back(Frame::trailers(sum.collect()));
    }
    Frames(frames)
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// The body by its length, for 4 MB say nothing to a reader.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .field("trailers", &self.trailers)
            .finish()
    }
}
