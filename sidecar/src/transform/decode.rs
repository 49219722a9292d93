//! Undoes what an API did to a body on its way: `content-encoding`.
//!
//! Invariant: what comes out is the whole body, and no longer than [`LONGEST`]; a few bytes that
//! would become many are given up at that point.

use std::{borrow::Cow, io::Read};

use brotli_decompressor::Decompressor;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;
use sidehook_event::Body;

/// The longest body, decoded. Bytes.
const LONGEST: u64 = 4 << 20;
/// The most encodings on top of each other.
const LAYERS: usize = 3;
/// How much is read of a Brotli stream at a time. Bytes.
const PIECE: usize = 4 << 10;
/// The largest window of a Zstandard frame, which is memory: what RFC 8878 recommends. Bytes.
const WINDOW: u64 = 8 << 20;

/// The content of a body as the API meant it; `None` if it is not whole, or encoded in a way that
/// is not known or not true.
pub(super) fn content(body: &Body) -> Option<Cow<'_, [u8]>> {
    let whole = body.is_whole().then(|| Cow::Borrowed(&*body.content))?;
    let encodings = body.content_encoding.as_deref().unwrap_or_default();
    let encodings = encodings.split(',').map(|encoding| encoding.trim().to_ascii_lowercase());
    let encodings: Vec<_> =
        encodings.filter(|encoding| !["", "identity"].contains(&&**encoding)).collect();
    if encodings.len() > LAYERS {
        return None;
    }
    // The last one was applied last.
    encodings.iter().rev().try_fold(whole, |content, encoding| {
        let decoded = match &**encoding {
            "gzip" | "x-gzip" => all(MultiGzDecoder::new(&*content)),
            "deflate" => all(ZlibDecoder::new(&*content)),
            "br" => all(Decompressor::new(&*content, PIECE)),
            "zstd" => zstd(&content),
            _ => None,
        };
        decoded.map(Cow::Owned)
    })
}

fn all(from: impl Read) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let read = from.take(LONGEST + 1).read_to_end(&mut decoded).ok()?;
    (u64::try_from(read).ok()? <= LONGEST).then_some(decoded)
}

fn zstd(content: &[u8]) -> Option<Vec<u8>> {
    let mut frame = StreamingDecoder::new_with_max_window_size(content, WINDOW).ok()?;
    let decoded = all(&mut frame)?;
    // A second frame would be a part of the body that was left out.
    frame.get_ref().is_empty().then_some(decoded)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    const TEXT: &[u8] = br#"{"name": "Ada", "and": "Ada, Ada, Ada, Ada, Ada, Ada, Ada, Ada"}"#;
    /// `brotli` and `zstd` of the command line, given [`TEXT`].
    const BROTLI: &[u8] = include_bytes!("testdata/ada.br");
    const ZSTD: &[u8] = include_bytes!("testdata/ada.zst");

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(content: &[u8], encoding: Option<&str>) -> Option<Vec<u8>> {
        let body = Body {
            content: content.to_vec().into(),
            content_encoding: encoding.map(str::to_owned),
            ..Body::default()
        };
        super::content(&body).map(Cow::into_owned)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for (content, encoding) in [
            (TEXT, None),
            (TEXT, Some("identity")),
            (&gzip(TEXT), Some("gzip")),
            (&gzip(TEXT), Some(" X-GZIP ")),
            (&deflate(TEXT), Some("deflate")),
            (BROTLI, Some("br")),
            (ZSTD, Some("zstd")),
            (&gzip(&deflate(TEXT)), Some("deflate, gzip")),
        ] {
            assert_eq!(decoded(content, encoding).as_deref(), Some(TEXT), "{encoding:?}");
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_nothing() {
        let whole = gzip(TEXT);
        let cut = whole.get(..whole.len() - 9).unwrap();
        for (content, encoding) in [
            (TEXT, "gzip"),
            (TEXT, "br"),
            (TEXT, "zstd"),
            (TEXT, "deflate"),
            (cut, "gzip"),
            (TEXT, "compress"),
            (TEXT, "gzip, gzip, gzip, gzip"),
        ] {
            assert_eq!(decoded(content, Some(encoding)), None, "{encoding}");
        }
    }

    #[test]
    fn a_bomb_is_given_up() {
        let zeros = vec![0; usize::try_from(LONGEST).unwrap() + 1];
        assert_eq!(decoded(&gzip(&zeros), Some("gzip")), None);
        assert_eq!(decoded(&gzip(&gzip(&zeros)), Some("gzip, gzip")), None);
        let just = zeros.get(1..).unwrap();
        assert_eq!(decoded(&gzip(just), Some("gzip")).map(|body| body.len()), Some(just.len()));
    }
}
