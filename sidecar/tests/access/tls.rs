//! TLS where gateways come in: who is let in, what is not waited for, and how certificates are
//! renewed.
//!
//! Invariant: the server is the process's own, over TCP; each wait has a limit.

use std::{
    fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use sidehook::{
    api::server::{self, Certificates, Limits, Listener},
    config::{IngestTls, Listen},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::house::{API_TOKEN, House};

/// How long anything may take that should take a moment.
const LIMIT: Duration = Duration::from_secs(30);

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.issue("edge");
        Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap()
    }

    /// Trusts this authority, and no other.
    fn client(&self) -> ClientBuilder {
        let root = Certificate::from_pem(self.pem.as_bytes()).unwrap();
        Client::builder().tls_certs_only([root]).timeout(LIMIT).pool_max_idle_per_host(0)
    }
}

/// The files of a server.
struct Files {
    folder: TempDir,
    tls: IngestTls,
}

impl Files {
    fn of(server: &Authority, gateways: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let client_ca = gateways.map(|_| at("ca.crt"));
        let tls = IngestTls { certificate: at("tls.crt"), key: at("tls.key"), client_ca };
        let files = Self { folder, tls };
        files.hold(&server.issue("localhost"));
        if let Some(gateways) = gateways {
            files.write("ca.crt", &gateways.pem);
        }
        files
    }

    fn hold(&self, (certificate, key): &(String, String)) {
        self.write("tls.crt", certificate);
        self.write("tls.key", key);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn flaw(&self) -> String {
        Certificates::open(self.tls.clone()).unwrap_err().to_string()
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _house: House,
}

impl Server {
    async fn start(files: &Files, limits: Limits) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let house = House::closed().await;
        let certificates = Certificates::open(files.tls.clone()).unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let listener = listener.with_tls(Arc::new(certificates));
        let Ok(Listen::Tcp(address)) = listener.place() else {
            unreachable!("it listens at an address")
        };
        let stop = CancellationToken::new();
        let router = house.router.clone();
        let serving = tokio::spawn(server::serve(listener, router, limits, stop.clone()));
        Self { address, stop, serving, _house: house }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    async fn answers(&self, client: &Client) -> Option<http::Version> {
        let answer = client.get(self.url("/healthz")).send().await.ok()?;
        Some(answer.version())
    }

    /// Waits until a client that comes anew is answered, or is not.
    async fn until(&self, client: &Client, answered: bool) {
        let changed = async {
            while self.answers(client).await.is_some() != answered {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let changed = tokio::time::timeout(LIMIT, changed).await;
        assert!(changed.is_ok(), "still not {answered}");
    }

    async fn end(self) {
        self.stop.cancel();
        assert!(tokio::time::timeout(LIMIT, self.serving).await.is_ok(), "it still serves");
    }
}

#[tokio::test]
async fn over_tls_http_1_and_http_2_are_served_and_the_token_is_still_asked_for() {
    let authority = Authority::new();
    let files = Files::of(&authority, Some(&authority));
    let server = Server::start(&files, Limits::USUAL).await;
    let client = || authority.client().identity(authority.identity());
    for (client, version) in [
        (client().http1_only(), http::Version::HTTP_11),
        (client().http2_prior_knowledge(), http::Version::HTTP_2),
        // What both can do is agreed on.
        (client(), http::Version::HTTP_2),
    ] {
        assert_eq!(server.answers(&client.build().unwrap()).await, Some(version));
    }
    let client = client().build().unwrap();
    for (token, status) in [("wrong", 401), (API_TOKEN, 415)] {
        let request = client.post(server.url("/ingest")).bearer_auth(token);
        let answer = request.header("content-type", "text/plain").body("x").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    server.end().await;
}

#[tokio::test]
async fn only_gateways_that_the_authority_knows_are_let_in_if_there_is_one() {
    let (authority, gateways) = (Authority::new(), Authority::new());
    let strict = Server::start(&Files::of(&authority, Some(&gateways)), Limits::USUAL).await;
    let open = Server::start(&Files::of(&authority, None), Limits::USUAL).await;
    let nobody = authority.client();
    let stranger = authority.client().identity(Authority::new().identity());
    let known = authority.client().identity(gateways.identity());
    for (client, let_in) in [(nobody, false), (stranger, false), (known, true)] {
        let client = client.build().unwrap();
        assert_eq!(strict.answers(&client).await.is_some(), let_in);
        assert!(open.answers(&client).await.is_some());
    }
}

#[tokio::test]
async fn who_speaks_no_tls_or_does_not_finish_is_not_waited_for_and_delays_nobody() {
    let authority = Authority::new();
    let files = Files::of(&authority, None);
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::USUAL };
    let server = Server::start(&files, limits).await;
    let client = authority.client().build().unwrap();
    let mut others = Vec::new();
    // Nothing; another protocol; the beginning of a greeting.
    for said in [&b""[..], b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        others.push(stream);
    }
    assert!(server.answers(&client).await.is_some(), "they hold up the others");
    for mut stream in others {
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "the connection is still there");
        assert!(!heard.starts_with(b"HTTP"), "it was answered in clear");
    }
    server.end().await;
}

#[tokio::test]
async fn a_handshake_takes_one_of_the_places() {
    let authority = Authority::new();
    let files = Files::of(&authority, None);
    let server = Server::start(&files, Limits { connections: 1, ..Limits::USUAL }).await;
    let client = authority.client().build().unwrap();
    let silent = TcpStream::connect(server.address).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), server.answers(&client)).await;
    assert!(early.is_err(), "it was served beside the other");
    drop(silent);
    server.until(&client, true).await;
    server.end().await;
}

#[tokio::test]
async fn at_the_end_nobody_is_left_in_a_handshake() {
    let authority = Authority::new();
    let server = Server::start(&Files::of(&authority, None), Limits::USUAL).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // It has been accepted once another one after it has.
    assert!(server.answers(&authority.client().build().unwrap()).await.is_some());
    server.end().await;
    assert!(matches!(silent.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn certificates_are_renewed_without_a_restart() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::of(&first, Some(&first));
    let server = Server::start(&files, Limits::USUAL).await;
    let client = |server: &Authority, gateways: &Authority| {
        server.client().identity(gateways.identity()).build().unwrap()
    };
    server.until(&client(&first, &first), true).await;

    // One file after the other, as they come: on the way they do not fit together.
    let renewed = second.issue("localhost");
    files.hold(&renewed);
    files.write("ca.crt", &second.pem);
    server.until(&client(&second, &second), true).await;
    assert!(server.answers(&client(&first, &second)).await.is_none());
    assert!(server.answers(&client(&second, &first)).await.is_none());
    server.end().await;
}

#[test]
fn what_is_wrong_with_the_files_is_named_with_its_key_and_never_quoted() {
    let authority = Authority::new();
    let ((certificate, key), (_, another)) = (authority.issue("a"), authority.issue("a"));
    let files = Files::of(&authority, Some(&authority));
    for (name, text, said) in [
        ("tls.crt", "", "ingest_tls_certificate: PATH: must hold a certificate as PEM"),
        ("tls.crt", &*key, "ingest_tls_certificate: PATH: must hold a certificate as PEM"),
        ("tls.key", "nonsense", "ingest_tls_key: PATH: must hold a private key as PEM"),
        ("tls.key", &*another, "ingest_tls_key: PATH: must be the key of ingest_tls_certificate"),
        ("ca.crt", "nonsense", "ingest_tls_client_ca: PATH: must hold a certificate as PEM"),
    ] {
        files.hold(&(certificate.clone(), key.clone()));
        files.write("ca.crt", &authority.pem);
        files.write(name, text);
        let said = said.replace("PATH", &files.path(name).display().to_string());
        assert_eq!(files.flaw(), format!("configuration key {said}"));
    }
    fs::remove_file(files.path("ca.crt")).unwrap();
    assert!(files.flaw().contains("key ingest_tls_client_ca: "), "{}", files.flaw());
    assert!(files.flaw().contains("No such file"), "{}", files.flaw());
}
