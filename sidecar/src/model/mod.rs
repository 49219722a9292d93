//! The nouns: what a subscription, a delivery and an attempt are.
//!
//! Invariant: plain data, made once from what was written and trusted from then on; no I/O, no
//! time, no dice.

mod access;
mod allowed;
mod delivery;
mod filter;
mod id;
mod order;
mod pacing;
mod page;
pub mod operational;
mod pattern;
mod sealing_key;
mod proxy;
mod scope;
mod script;
mod secret;
mod signing;
mod subscription;
mod tls;
mod trace_context;
#[cfg(test)]
pub(crate) mod testing;

pub use access::{AccessToken, TokenDigest, make_token, token_id};
pub use allowed::{Allowed, InvalidAllowed};
pub use delivery::{
    Attempt, Cause, Death, Delivery, DueDelivery, Fault, Made, Outcome, Payload, Series, State,
    Successor, Verdict,
};
pub use filter::{Filter, FilterFlaw};
pub use id::{DeliveryId, SubscriptionId, TokenId};
pub use order::Order;
pub use pacing::{InvalidRate, Pacing, RateLimit};
pub use page::{InvalidCursor, Page, PageRequest};
pub use pattern::{InvalidPattern, Pattern};
pub use proxy::{InvalidProxy, Proxy};
pub use scope::{Face, InvalidScope, Scope, Scopes};
pub use script::{LONGEST_SCRIPT, Script, ScriptChoice, ScriptVersion};
pub use sealing_key::{InvalidKey, KeyId, SealingKey};
pub use secret::{InvalidSecret, Key, PublicKey, Scheme, Secret};
pub use signing::{Outgoing, Signing};
pub use subscription::{
    Format, HeaderFlaw, Headers, InvalidUrl, MAX_TIMEOUT, Retry, Subscription, Target,
};
pub use tls::{ClientIdentity, ClientKey, Tls};
pub use trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
