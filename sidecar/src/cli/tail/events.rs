//! Reads server-sent events (WHATWG HTML, section 9.2.6) as their bytes come. Pure.
//!
//! Invariant: however the bytes are cut into pieces, the same events come out; one that is longer
//! than [`LONGEST`] ends the reading.

/// The longest event that is read, in bytes. What a sidecar sends is a hundredth of it.
const LONGEST: usize = 256 * 1024;

/// What has come of the event under way.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<String>,
    /// Whether the byte before ended a line as the first half of CR LF.
    after_return: bool,
}

/// An event that does not end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    /// The data of the events that `bytes` complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut whole = Vec::new();
        for byte in bytes {
            let is_rest_of_end = self.after_return && *byte == b'\n';
            self.after_return = *byte == b'\r';
            match byte {
                _ if is_rest_of_end => {}
                b'\r' | b'\n' => whole.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            let length = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if length > LONGEST {
                return Err(TooLong);
            }
        }
        Ok(whole)
    }

    /// Ends a line; an empty one completes an event, if that has any data.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": listening\n\nevent: attempt\ndata: {\"a\":1}\nid: 7\n\n\
        event: lonely\n\ndata:x\r\ndata:  y\r\n\r\n: still here\n\ndata\r\rdata: cut off";

    #[test]
    fn comments_and_other_fields_are_passed_over() {
        let events = Events::default().feed(STREAM.as_bytes()).unwrap();
        assert_eq!(events, ["{\"a\":1}", "x\n y", ""]);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut events = Events::default();
        assert_eq!(events.feed(&vec![b'x'; LONGEST + 1]), Err(TooLong));
        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(1024));
        let mut fed = (0..300).map(|_| events.feed(line.as_bytes()));
        assert!(fed.any(|fed| fed == Err(TooLong)));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut events = Events::default();
            let (mut whole, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                whole.extend(events.feed(&STREAM.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(whole, Events::default().feed(STREAM.as_bytes()).unwrap());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            prop_assert!(Events::default().feed(&bytes).is_ok());
        }
    }
}
