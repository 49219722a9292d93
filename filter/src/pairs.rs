//! Header fields as the gateway's interface lays them out in memory: a count, the lengths of
//! every name and value, then every name and value with a zero after it (proxy-wasm ABI 0.2.1,
//! numbers of 32 bits, little endian). Pure.
//!
//! They stay as they came, in one piece of memory, and are looked for where they lie: of a dozen
//! fields a write needs two or three, and taking all of them apart costs more than all the rest
//! that is done with it.
//!
//! Invariant: whatever the bytes are, they have fields, which end where the lengths do not fit.

/// Header fields in the order in which they came; names in lower case, values as bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// Fields of one's own.
    pub fn of<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Self {
        Self(write(fields))
    }

    /// The fields that are laid out in `bytes`.
    pub fn laid_out_in(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (mut lengths, mut texts) = divide(&self.0).unwrap_or_default();
        std::iter::from_fn(move || {
            let (name, value, after) = next(&mut lengths, texts)?;
            texts = after;
            Some((name, value))
        })
    }

    /// The first value of the field `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
    }

    /// The same for several fields, in one walk.
    pub fn get_all<const N: usize>(&self, names: [&str; N]) -> [Option<&[u8]>; N] {
        let mut values = [None; N];
        for (key, value) in self.iter() {
            let wanted = names.iter().zip(&mut values);
            for (_, found) in wanted.filter(|(name, _)| key == name.as_bytes()) {
                found.get_or_insert(value);
            }
        }
        values
    }
}

/// Lays out `fields`.
pub fn write<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend(number(name.as_ref().len()));
        bytes.extend(number(value.as_ref().len()));
    }
    for (name, value) in fields {
        for text in [name.as_ref(), value.as_ref()] {
            bytes.extend(text);
            bytes.push(0);
        }
    }
    bytes
}

/// The lengths and the texts.
fn divide(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return Some((&[], &[]));
    }
    let (count, rest) = number(bytes)?;
    rest.split_at_checked(count.checked_mul(8)?)
}

/// A name, its value, and the texts behind them.
type Field<'b> = (&'b [u8], &'b [u8], &'b [u8]);

/// The next field, whose lengths are taken from `lengths`. `None` when they do not fit the texts.
fn next<'b>(lengths: &mut &[u8], texts: &'b [u8]) -> Option<Field<'b>> {
    let (name, after_name) = number(lengths)?;
    let (value, after_value) = number(after_name)?;
    *lengths = after_value;
    let (name, texts) = text(texts, name)?;
    let (value, texts) = text(texts, value)?;
    Some((name, value, texts))
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn text(texts: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = texts.split_at_checked(length)?;
    Some((text, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_bytes_are_no_fields() {
        assert_eq!(Fields::default().iter().next(), None);
        assert_eq!(Fields::of::<&str, &str>(&[]).iter().next(), None);
    }

    #[test]
    fn fields_end_where_the_lengths_do_not_fit_the_bytes() {
        let mut bytes = write(&[("a", "b"), ("c", "d")]);
        bytes[12] = 200;
        let fields = Fields::laid_out_in(bytes);
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"b"[..])]);
        assert_eq!(Fields::laid_out_in(vec![255, 255, 255, 255]).iter().next(), None);
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_first_is_taken() {
        let fields = Fields::of(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(fields.get("a"), Some(&b"1"[..]));
        assert_eq!(fields.get("c"), None);
        assert_eq!(fields.get_all(["c", "a", "b"]), [None, Some(&b"1"[..]), Some(&b"2"[..])]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(fields: Vec<(String, Vec<u8>)>) {
            let read = Fields::laid_out_in(write(&fields));
            let expected: Vec<_> =
                fields.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())).collect();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let length = bytes.len();
            prop_assert!(Fields::laid_out_in(bytes).iter().count() <= length);
        }
    }
}
