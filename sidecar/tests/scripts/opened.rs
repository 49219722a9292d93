//! The sandbox of the tests, opened once for all of a process; its machine code is kept from one
//! run to the next.
//!
//! Invariant: it is the sandbox of the product, with the engine that was built for it.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use sidehook::transform::{Library, Sandbox, Scripts};

/// Runs scripts of subscriptions, and those that the library has built in.
pub(crate) fn scripts() -> Arc<Scripts> {
    static SCRIPTS: LazyLock<Arc<Scripts>> = LazyLock::new(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("script-engine");
        let sandbox = Sandbox::open(Some(cache));
        assert!(sandbox.is_ok(), "run `cargo xtask wasm` first: {sandbox:?}");
        Arc::new(Scripts::new(sandbox, Arc::new(Library::new(None))))
    });
    Arc::clone(&SCRIPTS)
}
