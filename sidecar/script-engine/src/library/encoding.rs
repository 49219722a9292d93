//! Base64, hexadecimal digits, and what URLs and forms are written in.
//!
//! Invariant: what is decoded is exactly what was encoded, or an error.

use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rhai::{Array, Blob, Dynamic, Engine, Map};

use super::{Fallible, json::Plain, wrong};

/// All but what RFC 3986, section 2.3, calls unreserved.
const COMPONENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn register(engine: &mut Engine) {
    pair(engine, ["base64_encode", "base64_decode", "base64_decode_bytes"], BASE64, BASE64);
    let url = BASE64URL_NOPAD;
    let names = ["base64url_encode", "base64url_decode", "base64url_decode_bytes"];
    pair(engine, names, url.clone(), url);
    let names = ["hex_encode", "hex_decode", "hex_decode_bytes"];
    pair(engine, names, HEXLOWER, HEXLOWER_PERMISSIVE);
    engine
        .register_fn("url_encode", |text: &str| utf8_percent_encode(text, &COMPONENT).to_string())
        .register_fn("url_decode", url_decode)
        .register_fn("form_encode", form_encode)
        .register_fn("csv_line", |fields: Array| csv_line(&fields));
}

fn pair(engine: &mut Engine, names: [&'static str; 3], with: Encoding, back: Encoding) {
    let [encode, decode, decode_bytes] = names;
    let (with_bytes, back_bytes) = (with.clone(), back.clone());
    engine
        .register_fn(encode, move |text: &str| with.encode(text.as_bytes()))
        .register_fn(encode, move |bytes: Blob| with_bytes.encode(&bytes))
        .register_fn(decode, move |text: &str| {
            let bytes = decoded(decode, text, &back)?;
            String::from_utf8(bytes).map_err(|_| {
                wrong(format!(
                    "{decode}: comes to bytes that are no text; {decode_bytes} gives them"
                ))
            })
        })
        .register_fn(decode_bytes, move |text: &str| -> Fallible<Blob> {
            decoded(decode_bytes, text, &back_bytes)
        });
}

fn decoded(name: &str, text: &str, encoding: &Encoding) -> Fallible<Vec<u8>> {
    encoding.decode(text.as_bytes()).map_err(|error| wrong(format!("{name}: {error}")))
}

fn url_decode(text: &str) -> Fallible<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| wrong("url_decode: comes to bytes that are no text"))
}

/// `application/x-www-form-urlencoded`. Members that are `()` are left out, arrays give one pair
/// for each element.
fn form_encode(members: Map) -> Fallible<String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in members {
        if let Ok(elements) = value.as_array_ref() {
            for element in elements.iter() {
                form.append_pair(&name, &in_words("form_encode", element)?);
            }
            continue;
        }
        if !value.is_unit() {
            form.append_pair(&name, &in_words("form_encode", &value)?);
        }
    }
    Ok(form.finish())
}

/// One record (RFC 4180), without a line break at its end.
fn csv_line(fields: &[Dynamic]) -> Fallible<String> {
    let fields = fields.iter().map(|field| {
        let text = in_words("csv_line", field)?;
        let quoted = text.contains(['"', ',', '\r', '\n']);
        Ok(if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text })
    });
    Ok(fields.collect::<Fallible<Vec<_>>>()?.join(","))
}

/// A text as it is, nothing for `()`, all else as JSON.
pub(super) fn in_words(name: &str, value: &Dynamic) -> Fallible<String> {
    if value.is_unit() {
        return Ok(String::new());
    }
    if value.is_string() || value.is_char() {
        return Ok(value.to_string());
    }
    serde_json::to_string(&Plain(value)).map_err(|error| wrong(format!("{name}: {error}")))
}
