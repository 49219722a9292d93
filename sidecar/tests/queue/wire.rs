//! A wire to the broker that can be cut.
//!
//! Invariant: while it is cut nothing passes and nobody is let in; mending it brings no old
//! connection back.

#![expect(clippy::expect_used, reason = "without the wire there is nothing to test")]

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A wire.
pub(crate) struct Wire {
    pub(crate) port: u16,
    whole: Arc<watch::Sender<bool>>,
    listening: JoinHandle<()>,
}

impl Wire {
    /// A wire to a port of this machine.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let whole = Arc::new(watch::Sender::new(true));
        let state = Arc::clone(&whole);
        let listening = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.subscribe();
                if !*state.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.changed() => {}
                    }
                });
            }
        });
        Self { port, whole, listening }
    }

    /// Breaks all connections, and those that are tried from now on.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
