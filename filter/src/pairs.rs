//! Header fields as the gateway's interface lays them out in memory: a count, the lengths of
//! every name and value, then every name and value with a zero after it (proxy-wasm ABI 0.2.1,
//! numbers of 32 bits, little endian). Pure.
//!
//! Invariant: whatever bytes come in, reading them ends in fields or in `None`.

use crate::host::Fields;

/// Lays out `fields`.
pub fn write(fields: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    let mut bytes = count.to_le_bytes().to_vec();
    for (name, value) in fields {
        bytes.extend(length(name));
        bytes.extend(length(value));
    }
    for (name, value) in fields {
        for text in [name, value] {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

/// Reads fields. `None` when the lengths do not fit the bytes.
pub fn read(bytes: &[u8]) -> Option<Fields> {
    if bytes.is_empty() {
        return Some(Fields::new());
    }
    let (count, rest) = number(bytes)?;
    let table = count.checked_mul(8)?;
    let mut lengths = rest.get(..table)?;
    let mut texts = rest.get(table..)?;
    let mut fields = Fields::with_capacity(count);
    for _ in 0..count {
        let (name, after_name) = number(lengths)?;
        let (value, after_value) = number(after_name)?;
        lengths = after_value;
        fields.push((text(&mut texts, name)?, text(&mut texts, value)?));
    }
    Some(fields)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn text(texts: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let text = texts.get(..length)?.to_vec();
    *texts = texts.get(length.checked_add(1)?..)?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_bytes_are_no_fields() {
        assert_eq!(read(&[]), Some(vec![]));
        assert_eq!(read(&write(&[])), Some(vec![]));
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused() {
        let mut bytes = write(&[("a", "b")]);
        bytes[4] = 200;
        assert_eq!(read(&bytes), None);
        assert_eq!(read(&[255, 255, 255, 255]), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(fields: Vec<(String, String)>) {
            let borrowed: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let owned: Fields = fields
                .iter()
                .map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes()))
                .collect();
            prop_assert_eq!(read(&write(&borrowed)), Some(owned));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
