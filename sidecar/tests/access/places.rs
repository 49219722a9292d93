//! Where it listens: a socket of the machine's own, and whom it belongs to.
//!
//! Invariant: what was there before is replaced only if nobody needs it.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use sidehook::{
    api::server::{self, BindError, Limits, Listener},
    config::Listen,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::house::House;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ingest.sock")
    }

    async fn bind(&self) -> Result<Listener, BindError> {
        Listener::bind(&Listen::Unix(self.path())).await
    }

    /// All that is in the folder.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).unwrap().file_type().is_socket()
}

#[tokio::test]
async fn a_socket_is_its_owners_and_its_groups_and_goes_with_the_listener() {
    let place = Place::new();
    let listener = place.bind().await.unwrap();
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(place.files(), ["ingest.sock"]);
    drop(listener);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced() {
    let place = Place::new();
    // The standard library leaves the file there, as a process that was killed does.
    drop(std::os::unix::net::UnixListener::bind(place.path()).unwrap());
    assert!(is_socket(&place.path()));
    let listener = place.bind().await.unwrap();
    assert!(tokio::net::UnixStream::connect(place.path()).await.is_ok());
    drop(listener);
}

#[tokio::test]
async fn a_socket_that_another_process_listens_at_is_left_to_it() {
    let place = Place::new();
    let other = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    let refused = place.bind().await.unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("another process listens at"), "{refused}");
    assert!(std::os::unix::net::UnixStream::connect(place.path()).is_ok());
    drop(other);
}

#[tokio::test]
async fn what_is_no_socket_is_never_replaced() {
    let place = Place::new();
    fs::write(place.path(), "precious").unwrap();
    let refused = place.bind().await.unwrap_err();
    assert!(matches!(refused, BindError::NoSocket(_)), "{refused}");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "precious");
    let nowhere = Listener::bind(&Listen::Unix("/nonexistent/a.sock".into())).await;
    assert!(matches!(nowhere, Err(BindError::Socket(_, _))), "{nowhere:?}");
}

#[tokio::test]
async fn a_socket_that_has_taken_its_place_is_not_removed() {
    let place = Place::new();
    let listener = place.bind().await.unwrap();
    fs::remove_file(place.path()).unwrap();
    let successor = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    drop(listener);
    assert!(is_socket(&place.path()));
    drop(successor);
}

#[tokio::test]
async fn a_socket_serves_http_1_and_http_2() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let place = Place::new();
    let house = House::open().await;
    let stop = CancellationToken::new();
    let listener = place.bind().await.unwrap();
    let serving = server::serve(listener, house.router.clone(), Limits::USUAL, stop.clone());
    let serving = tokio::spawn(serving);
    let client = || reqwest::Client::builder().unix_socket(place.path());
    for (client, version) in [
        (client().http1_only(), http::Version::HTTP_11),
        (client().http2_prior_knowledge(), http::Version::HTTP_2),
    ] {
        let client = client.build().unwrap();
        let answer = client.get("http://sidehook/healthz").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    stop.cancel();
    serving.await.unwrap();
    assert_eq!(place.files(), Vec::<String>::new());
}
