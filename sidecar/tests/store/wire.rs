//! A wire to a server that can be cut, and frozen.
//!
//! Invariant: while it is cut nothing passes and nobody is let in; mending it brings no old
//! connection back. What is frozen hears nothing and is told nothing.

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
    state: Arc<watch::Sender<State>>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    pass: Pass,
    /// Connections of earlier ages stay frozen for good.
    age: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    All,
    /// Nothing, and nobody is told.
    Frozen,
    /// Nothing, and everybody is told.
    Cut,
}

impl Wire {
    /// A wire to a port of this machine.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State { pass: Pass::All, age: 0 }));
        let shared = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let state = shared.subscribe();
                if state.borrow().pass != Pass::Cut {
                    tokio::spawn(carry(near, target, state));
                }
            }
        });
        Self { port, state, listening }
    }

    /// Breaks all connections, and those that are tried from now on.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.pass = Pass::Cut);
    }

    /// Lets nothing through, on new connections either, and tells nobody.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.pass = Pass::Frozen);
    }

    /// Lets nothing through for ever on the connections that there are now.
    pub(crate) fn freeze_present(&self) {
        self.state.send_modify(|state| state.age += 1);
    }

    /// Lets new connections through again, and those that were frozen.
    pub(crate) fn mend(&self) {
        self.state.send_modify(|state| state.pass = Pass::All);
    }
}

async fn carry(mut near: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    let born = state.borrow().age;
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    loop {
        let State { pass, age } = *state.borrow_and_update();
        let copying = async {
            match pass {
                Pass::All if age == born => drop(copy_bidirectional(&mut near, &mut far).await),
                Pass::All | Pass::Frozen => std::future::pending().await,
                Pass::Cut => {}
            }
        };
        tokio::select! {
            () = copying => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
