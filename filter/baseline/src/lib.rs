//! What the filter is held against, written with the public SDK as anybody would: a filter that
//! does nothing, and one that crashes when it is asked to.
//!
//! The plugin's configuration chooses: with the text `crash` the header `x-crash` of a request
//! names the callback in which the virtual machine ends (`request-headers`, `response-headers` or
//! `tick`); with any other it does nothing, which is what a filter costs at least.
//!
//! Invariant: nothing here is part of what users run.
#![expect(missing_docs, reason = "the SDK's macro writes a function without a word about it")]

mod crash;
mod root;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
