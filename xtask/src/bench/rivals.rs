//! What one would write instead of the filter: a Lua filter that tells of each write by a call, and a
//! processor outside of Envoy (`ext_proc`) that is told of everything and asked nothing.
//!
//! Invariant: both capture what `best_effort` does, the bodies of a write and of its answer, and count
//! a write only when they have all of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
    routing::post,
};
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use prost::{Message, Oneof};

/// What a Lua filter is configured with: one call for each write, and nobody waits for its answer.
pub(super) const LUA: &str = r#""@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
default_source_code:
  inline_string: |
    local function text(buffer)
      if buffer == nil then return "null" end
      return buffer:getBytes(0, buffer:length())
    end
    function envoy_on_request(handle)
      local method, path = handle:headers():get(":method"), handle:headers():get(":path")
      local body = text(handle:body())
      local known = handle:streamInfo():dynamicMetadata()
      known:set("capture", "method", method)
      known:set("capture", "path", path)
      known:set("capture", "body", body)
    end
    function envoy_on_response(handle)
      local status = tonumber(handle:headers():get(":status"))
      if status < 200 or status > 299 then return end
      local answer = text(handle:body())
      local known = handle:streamInfo():dynamicMetadata():get("capture")
      local event = string.format('{"method":"%s","path":"%s","status":%d,"request":%s,"response":%s}',
        known["method"], known["path"], status, known["body"], answer)
      handle:httpCall("sidehook", {
        [":method"] = "POST", [":path"] = "/capture", [":authority"] = "sidehook",
        ["content-type"] = "application/json",
      }, event, 1000, true)
    end
"#;

/// What Envoy is told of a processor that only looks on.
pub(super) const EXT_PROC: &str = r#""@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
grpc_service: { envoy_grpc: { cluster_name: sidehook }, timeout: 1s }
observability_mode: true
deferred_close_timeout: 0.01s
processing_mode:
  request_header_mode: SEND
  response_header_mode: SEND
  request_body_mode: STREAMED
  response_body_mode: STREAMED
"#;

/// How many writes they have captured.
#[derive(Debug, Clone, Default)]
pub(super) struct Captured(Arc<AtomicU64>);

impl Captured {
    /// So far.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where both hand over what they capture.
pub(super) fn routes(captured: &Captured) -> Router {
    let (called, looked_on) = (captured.clone(), captured.clone());
    let called = async move |body: Bytes| match serde_json::from_slice(&body) {
        Ok(serde_json::Value::Object(event)) if event.len() == 5 => {
            called.more();
            StatusCode::NO_CONTENT
        }
        Ok(_) | Err(_) => StatusCode::BAD_REQUEST,
    };
    Router::new().route("/capture", post(called)).route(
        "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
        post(async move |body: Body| processor(body, looked_on.clone())),
    )
}

/// Reads what it is told of one exchange, and says nothing but that it has all of it.
fn processor(mut body: Body, captured: Captured) -> Response {
    let reading = async move {
        let (mut exchange, mut unread) = (Exchange::default(), Vec::new());
        while !exchange.is_over {
            let Some(Ok(frame)) = body.frame().await else { break };
            let Ok(data) = frame.into_data() else { continue };
            unread.extend_from_slice(&data);
            while let Some(told) = next(&mut unread) {
                exchange.hear(told);
            }
        }
        if exchange.is_over && exchange.is_good && !exchange.request.is_empty() {
            captured.more();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Frame::<Bytes>::trailers(trailers)
    };
    // It goes on reading though nobody asks for more of the answer.
    let reading = tokio::spawn(reading);
    let mut answer = Response::new(Body::new(StreamBody::new(stream::once(reading))));
    let grpc = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(header::CONTENT_TYPE, grpc);
    answer
}

/// The next message of gRPC, once it is there.
fn next(unread: &mut Vec<u8>) -> Option<Told> {
    const PREFIX: usize = 5;
    let length = unread.get(1..PREFIX)?.try_into().ok()?;
    let end = PREFIX + usize::try_from(u32::from_be_bytes(length)).ok()?;
    let told = Told::decode(unread.get(PREFIX..end)?).unwrap_or_default();
    unread.drain(..end);
    Some(told)
}

/// What is known of an exchange.
#[derive(Debug, Default)]
struct Exchange {
    is_good: bool,
    is_over: bool,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Exchange {
    fn hear(&mut self, told: Told) {
        match told.part {
            Some(Part::RequestHeaders(_)) | None => {}
            Some(Part::ResponseHeaders(Headers { headers, .. })) => {
                let all = headers.unwrap_or_default().headers;
                let status = all.iter().find(|header| header.key == ":status");
                self.is_good = status.is_some_and(|status| status.raw_value.starts_with(b"2"));
            }
            Some(Part::RequestBody(Data { body, .. })) => self.request.extend(body),
            Some(Part::ResponseBody(Data { body, end_of_stream })) => {
                self.response.extend(body);
                self.is_over = end_of_stream;
            }
        }
    }
}

/// `envoy.service.ext_proc.v3.ProcessingRequest`, as far as it is asked for.
#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(oneof = "Part", tags = "2, 3, 4, 5")]
    part: Option<Part>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Part {
    #[prost(message, tag = "2")]
    RequestHeaders(Headers),
    #[prost(message, tag = "3")]
    ResponseHeaders(Headers),
    #[prost(message, tag = "4")]
    RequestBody(Data),
    #[prost(message, tag = "5")]
    ResponseBody(Data),
}

#[derive(Clone, PartialEq, Message)]
struct Headers {
    #[prost(message, optional, tag = "1")]
    headers: Option<HeaderList>,
    #[prost(bool, tag = "3")]
    end_of_stream: bool,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderList {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Data {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(bool, tag = "2")]
    end_of_stream: bool,
}
