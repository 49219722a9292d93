//! Whether the deliveries of a subscription wait for each other.
//!
//! Invariant: plain data.

/// In which order deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// As it comes.
    #[default]
    None,
    /// Of one subject one at a time, as its events were stored.
    Subject,
}

impl Order {
    /// All of them, with the names by which they are asked for.
    pub const NAMES: [(&'static str, Self); 2] = [("none", Self::None), ("subject", Self::Subject)];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Subject => "subject",
        }
    }
}
