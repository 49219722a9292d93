//! Listens at a TCP address or a Unix socket, with or without TLS.
//!
//! Invariant: a socket's file is there as long as the listener, and no longer; one that another
//! process listens at is never taken away from it.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::tls::Certificates;
use crate::config::Listen;

/// What may use a socket: its owner and its group, such as the gateway's.
const MODE: u32 = 0o660;

/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Why nothing listens there. Each says what a person has to do about it.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error("cannot listen on {0}")]
    Address(SocketAddr, #[source] io::Error),
    /// Another process listens at the socket.
    #[error("another process listens at {}; stop it, or choose another path", .0.display())]
    InUse(PathBuf),
    /// There is something else.
    #[error("{} is there and is no socket; remove it, or choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen at the socket {}", .0.display())]
    Socket(PathBuf, #[source] io::Error),
}

/// A place at which connections come in.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<Arc<Certificates>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes the file of a socket, unless another one has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Listener {
    /// Listens. The file that an earlier process left behind is replaced.
    pub async fn bind(listen: &Listen) -> Result<Self, BindError> {
        let socket = match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                listener.map(Socket::Tcp).map_err(|error| BindError::Address(*address, error))
            }
            Listen::Unix(path) => {
                refuse_if_taken(path).await?;
                let bound = bind(path).map_err(|error| BindError::Socket(path.clone(), error));
                bound.map(|(listener, file)| Socket::Unix(listener, file))
            }
        };
        Ok(Self { socket: socket?, tls: None })
    }

    /// The same, speaking TLS.
    #[must_use]
    pub fn with_tls(self, certificates: Arc<Certificates>) -> Self {
        Self { tls: Some(certificates), ..self }
    }

    /// The certificates, if it speaks TLS.
    pub(super) fn tls(&self) -> Option<Arc<Certificates>> {
        self.tls.clone()
    }

    /// Where it listens, with the port that was chosen if none was asked for.
    pub fn place(&self) -> io::Result<Listen> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Socket::Unix(_, file) => Ok(Listen::Unix(file.path.clone())),
        }
    }

    /// The next connection.
    pub(super) async fn accept(&mut self) -> Stream {
        loop {
            let accepted = match &mut self.socket {
                Socket::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    // Answers are written whole: waiting to send them only costs time.
                    let _ = stream.set_nodelay(true);
                    Stream::Tcp(stream)
                }),
                Socket::Unix(listener, _) => {
                    listener.accept().await.map(|(stream, _)| Stream::Unix(stream))
                }
            };
            match accepted {
                Ok(stream) => return stream,
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection, trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // A file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn refuse_if_taken(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Socket(path.to_owned(), error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        // Nobody listens: it was left behind, or has gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Whatever else is the matter, somebody is there.
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}

/// Makes the socket under another name and moves it, with its mode, to where it belongs: nobody
/// ever meets it with another mode, or meets none.
fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(MODE))?;
    let identity = identity(&unfinished)?;
    fs::rename(&unfinished, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Whether it is the client that went away while it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Unix(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
