//! Writes events as Protocol Buffers, from where they lie.
//!
//! The gateway does this for every write, inside a virtual machine in which a copy of each text
//! costs more than writing it. So an event is described field by field, first to what counts
//! bytes and then to what writes them, and no message is made of it in between.
//!
//! Invariant: the bytes are those that the message for reading would be encoded as.

use prost::encoding::{WireType, encode_varint, encoded_len_varint};

use crate::{Body, Event, IdWithin, TypeId};

/// The number of an event in a batch.
const EVENT: u32 = 3;

/// One event of a batch.
pub(super) fn frame(event: &Event) -> Vec<u8> {
    let size = size(event);
    // Its key has one byte, its length ten at most.
    let mut bytes = Vec::with_capacity(size.saturating_add(11));
    key(EVENT, WireType::LengthDelimited, &mut bytes);
    length(size, &mut bytes);
    event.write(&mut bytes);
    bytes
}

/// What has fields.
trait Fields {
    /// Puts out all of them.
    fn write<O: Out>(&self, out: &mut O);
}

/// Where fields go.
trait Out {
    fn number(&mut self, number: u64);
    fn raw(&mut self, bytes: &[u8]);
}

/// Counts bytes.
struct Count(usize);

impl Out for Count {
    fn number(&mut self, number: u64) {
        self.0 += encoded_len_varint(number);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Out for Vec<u8> {
    fn number(&mut self, number: u64) {
        match u8::try_from(number) {
            // Keys and most lengths; one byte is as it is.
            Ok(byte @ ..0x80) => self.push(byte),
            _ => encode_varint(number, self),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Fields for Event {
    fn write<O: Out>(&self, out: &mut O) {
        let Self { id, event_type, source: _, subject, parents, sequence, time, exchange } = self;
        bytes(1, &id.bits().to_be_bytes(), out);
        unless_empty(2, event_type.as_str(), out);
        if_there(3, subject.as_deref(), out);
        // Negative ones, which there are none of, would be written as their two's complement.
        unless_zero(4, time.micros().cast_unsigned(), out);
        unless_empty(5, &exchange.method, out);
        unless_empty(6, &exchange.path, out);
        unless_zero(7, exchange.status.into(), out);
        message(8, &exchange.request, out);
        message(9, &exchange.response, out);
        for (name, value) in &exchange.headers {
            message(10, &Pair(name, value), out);
        }
        if_there(11, exchange.traceparent.as_deref(), out);
        if_there(12, exchange.tracestate.as_deref(), out);
        if let Some(sequence) = sequence {
            key(13, WireType::Varint, out);
            out.number(*sequence);
        }
        for (name, id) in parents {
            message(14, &Pair(name, id), out);
        }
        if let Some(mark) = &exchange.idempotency {
            bytes(15, mark, out);
        }
        if let Some(id_within) = &exchange.id_within {
            message(16, id_within, out);
        }
    }
}

impl Fields for IdWithin {
    fn write<O: Out>(&self, out: &mut O) {
        unless_empty(1, &self.pointer, out);
        if_there(2, self.under.as_deref(), out);
    }
}

impl Fields for Body {
    fn write<O: Out>(&self, out: &mut O) {
        let Self { content, content_type, content_encoding, size, truncated, incomplete } = self;
        if !content.is_empty() {
            bytes(1, content, out);
        }
        if_there(2, content_type.as_deref(), out);
        if_there(3, content_encoding.as_deref(), out);
        unless_zero(4, *size, out);
        unless_zero(5, (*truncated).into(), out);
        unless_zero(6, (*incomplete).into(), out);
    }
}

/// A name and what belongs to it: a header field, or a parent.
struct Pair<'e>(&'e str, &'e str);

impl Fields for Pair<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        unless_empty(1, self.0, out);
        unless_empty(2, self.1, out);
    }
}

/// How many bytes the fields have.
fn size<F: Fields>(fields: &F) -> usize {
    let mut count = Count(0);
    fields.write(&mut count);
    count.0
}

fn message<F: Fields, O: Out>(tag: u32, fields: &F, out: &mut O) {
    key(tag, WireType::LengthDelimited, out);
    length(size(fields), out);
    fields.write(out);
}

fn unless_empty<O: Out>(tag: u32, text: &str, out: &mut O) {
    if_there(tag, (!text.is_empty()).then_some(text), out);
}

fn if_there<O: Out>(tag: u32, text: Option<&str>, out: &mut O) {
    if let Some(text) = text {
        bytes(tag, text.as_bytes(), out);
    }
}

fn unless_zero<O: Out>(tag: u32, number: u64, out: &mut O) {
    if number != 0 {
        key(tag, WireType::Varint, out);
        out.number(number);
    }
}

fn bytes<O: Out>(tag: u32, bytes: &[u8], out: &mut O) {
    key(tag, WireType::LengthDelimited, out);
    length(bytes.len(), out);
    out.raw(bytes);
}

fn key<O: Out>(tag: u32, kind: WireType, out: &mut O) {
    out.number(u64::from(tag << 3 | kind as u32));
}

fn length<O: Out>(length: usize, out: &mut O) {
    out.number(u64::try_from(length).unwrap_or(u64::MAX));
}
