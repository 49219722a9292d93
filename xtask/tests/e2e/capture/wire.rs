//! Sends the requests of the cases.
//!
//! Invariant: what is sent is what the case says, byte for byte as far as the protocol has bytes
//! for it.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Method, Uri,
    body::Frame,
    client::conn::http2,
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Protocol, case::Request};
use crate::support::message::Message;

/// Sends a request to the gateway at this port and waits for its answer; of bytes that hold several
/// requests, for so many answers.
pub(super) async fn send(
    port: u16,
    request: &Request,
    protocol: Protocol,
    answers: usize,
) -> Result<()> {
    let gateway = SocketAddr::from(([127, 0, 0, 1], port));
    match (request, protocol) {
        (Request::Bytes(bytes), _) => send_bytes(gateway, bytes, answers).await,
        (Request::Plain { method, path, fields, body, trailers }, Protocol::Http1) => {
            let bytes = written(method, path, fields, body.as_deref(), *trailers);
            let mut connection = BufReader::new(TcpStream::connect(gateway).await?);
            connection.write_all(&bytes).await?;
            Message::answer(&mut connection, method).await.map(drop)
        }
        (Request::Plain { method, path, fields, body, trailers }, Protocol::Http2) => {
            let stream = TokioIo::new(TcpStream::connect(gateway).await?);
            let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            let connection = tokio::spawn(connection);
            let mut request = hyper::Request::new(frames(body.as_deref(), *trailers));
            *request.method_mut() = Method::from_bytes(method.as_bytes())?;
            let uri = Uri::builder().scheme("http").authority("api");
            *request.uri_mut() = uri.path_and_query(*path).build()?;
            for (name, value) in fields {
                let name = HeaderName::from_static(name);
                request.headers_mut().append(name, HeaderValue::from_bytes(value)?);
            }
            let answer = client.send_request(request).await?;
            answer.into_body().collect().await?;
            connection.abort();
            Ok(())
        }
    }
}

/// A gateway that refuses what may be no request may close without a word, or before it has read
/// all of it.
async fn send_bytes(gateway: SocketAddr, bytes: &[u8], answers: usize) -> Result<()> {
    let mut connection = BufReader::new(TcpStream::connect(gateway).await?);
    let mut refused = connection.write_all(bytes).await.is_err();
    for _ in 0..answers {
        refused = refused || Message::answer(&mut connection, "").await.is_err();
    }
    Ok(())
}

fn written(
    method: &str,
    path: &str,
    fields: &[(&str, Vec<u8>)],
    body: Option<&[u8]>,
    trailers: bool,
) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: api\r\n").into_bytes();
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    match body {
        Some(body) if trailers => {
            let length = body.len();
            bytes.extend(format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n").bytes());
            bytes.extend([body, b"\r\n0\r\nx-sum: 1\r\n\r\n"].concat());
        }
        Some(body) => {
            bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
        }
        None => bytes.extend(b"\r\n"),
    }
    bytes
}

type Frames =
    StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>>;

fn frames(body: Option<&[u8]>, trailers: bool) -> Frames {
    let mut frames = Vec::new();
    frames.extend(body.map(|body| Ok(Frame::data(Bytes::copy_from_slice(body)))));
    if trailers {
        let mut sum = HeaderMap::new();
        sum.insert("x-sum", HeaderValue::from_static("1"));
        frames.push(Ok(Frame::trailers(sum)));
    }
    StreamBody::new(stream::iter(frames))
}
