//! Receivers over TLS: those that are known, and those that only claim to be.
//!
//! Invariant: to a receiver that cannot show who it is not one byte of the request goes.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use sidehook::{
    deliver::{
        client::{Answer, Client, Failure},
        trust::{self, TlsFlaw},
    },
    model::{ClientIdentity, Outcome, Target, Tls},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::ground::{Connection, PATIENCE, Receiver, client};

const LIMIT: Duration = Duration::from_secs(10);

/// An authority.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { pem, der, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, host: &str, alter: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        alter(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { pem: certificate.pem(), der: certificate.der().clone(), key }
    }

    fn trusted(&self) -> Tls {
        Tls { ca: Some(self.pem.clone()), client: None }
    }
}

impl Identity {
    fn client(&self) -> ClientIdentity {
        let (certificate, key) = (self.pem.clone(), self.key.serialize_pem().into());
        ClientIdentity { certificate, key }
    }
}

/// A receiver that shows `identity` and asks for a certificate of `clients`, if there is such an
/// authority. Its URL, and how many bytes of requests it could read.
async fn receiver(identity: &Identity, clients: Option<&Authority>) -> (String, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let config = builder.with_single_cert(vec![identity.der.clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let read = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&read);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, read) = (acceptor.clone(), Arc::clone(&counting));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut heard = [0; 8192];
                loop {
                    let count = stream.read(&mut heard).await.ok().filter(|count| *count > 0)?;
                    read.fetch_add(count, Ordering::SeqCst);
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok()?;
                }
                #[expect(unreachable_code, reason = "says what the task gives")]
                Some(())
            });
        }
    });
    (url, read)
}

async fn send(client: &Client, url: &str, tls: &Tls) -> Result<Answer, Failure> {
    let target = Target::parse(url).unwrap();
    let request = Request::post(url).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    timeout(PATIENCE, client.send(&target, tls, request, LIMIT)).await.unwrap()
}

fn outcome(sent: Result<Answer, Failure>) -> Result<u16, Outcome> {
    sent.map(|answer| answer.status).map_err(|failure| failure.outcome)
}

fn local_client() -> Client {
    // The name resolves to both.
    let allowed = ["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    let rule = sidehook::deliver::egress::Rule::allowing(allowed);
    Client::new(Arc::new(rule)).unwrap()
}

#[tokio::test]
async fn a_receiver_that_only_the_subscriptions_authority_vouches_for_is_known_by_it_alone() {
    let authority = Authority::new();
    let (url, read) = receiver(&authority.issue("localhost", |_| {}), None).await;
    let client = local_client();
    for tls in [Tls::default(), Authority::new().trusted()] {
        assert_eq!(outcome(send(&client, &url, &tls).await), Err(Outcome::Tls));
    }
    assert_eq!(read.load(Ordering::SeqCst), 0, "of the request nothing came");
    assert_eq!(outcome(send(&client, &url, &authority.trusted()).await), Ok(204));
    assert!(read.load(Ordering::SeqCst) > 0);
    assert_eq!(
        outcome(send(&client, &url, &Tls::default()).await),
        Err(Outcome::Tls),
        "kept apart"
    );
}

#[tokio::test]
async fn a_receiver_that_only_claims_to_be_it_gets_nothing() {
    let authority = Authority::new();
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let coming = |params: &mut CertificateParams| params.not_before = date_time_ymd(2100, 1, 1);
    let own = Authority::new();
    for (what, identity) in [
        ("expired", authority.issue("localhost", expired)),
        ("not yet valid", authority.issue("localhost", coming)),
        ("another name", authority.issue("example.com", |_| {})),
        ("another authority", own.issue("localhost", |_| {})),
    ] {
        let (url, read) = receiver(&identity, None).await;
        let sent = send(&local_client(), &url, &authority.trusted()).await;
        assert_eq!(outcome(sent), Err(Outcome::Tls), "{what}");
        assert_eq!(read.load(Ordering::SeqCst), 0, "{what}");
    }
}

#[tokio::test]
async fn a_receiver_that_asks_who_is_there_is_shown_the_subscriptions_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (url, read) = receiver(&authority.issue("localhost", |_| {}), Some(&clients)).await;
    let client = local_client();
    let with = |client| Tls { client: Some(client), ..authority.trusted() };
    let known = with(clients.issue("sidehook", |_| {}).client());
    let stranger = with(Authority::new().issue("sidehook", |_| {}).client());
    assert_eq!(outcome(send(&client, &url, &known).await), Ok(204));
    let before = read.load(Ordering::SeqCst);
    for tls in [authority.trusted(), stranger] {
        assert_eq!(outcome(send(&client, &url, &tls).await), Err(Outcome::Tls));
    }
    assert_eq!(read.load(Ordering::SeqCst), before, "over no connection of another");
    assert_eq!(outcome(send(&client, &url, &known).await), Ok(204));
}

#[tokio::test]
async fn who_does_not_speak_tls_is_no_receiver() {
    let plain = async |mut connection: Connection| {
        connection.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        connection.wait().await
    };
    let receiver = Receiver::start(plain).await;
    let url = receiver.url().replace("http://", "https://");
    assert_eq!(outcome(send(&client(), &url, &Tls::default()).await), Err(Outcome::Tls));
    let silent = Receiver::start(async |mut connection: Connection| connection.wait().await).await;
    let url = silent.url().replace("http://", "https://");
    let failed = send(&client(), &url, &Tls::default()).await.unwrap_err();
    assert_eq!(failed.outcome, Outcome::Timeout);
    assert!(failed.error.ends_with("no TLS handshake within 5s"), "{failed:?}");
}

#[test]
fn what_is_wrong_with_settings_is_named_and_never_quoted() {
    let (authority, other) = (Authority::new(), Authority::new().issue("a", |_| {}));
    let good = authority.issue("a", |_| {});
    let key = good.key.serialize_pem();
    let client = |certificate: &str, key: &str| Tls {
        ca: None,
        client: Some(ClientIdentity {
            certificate: certificate.to_owned(),
            key: key.to_owned().into(),
        }),
    };
    let ca = |pem: &str| Tls { ca: Some(pem.to_owned()), client: None };
    assert_eq!(trust::check(&client(&good.pem, &key)), Ok(()));
    assert_eq!(trust::check(&authority.trusted()), Ok(()));
    let broken = key.replace("PRIVATE", "PUBLIC");
    for (tls, field, reason) in [
        (ca("nothing"), "ca", "must hold a certificate as PEM"),
        (ca(&key), "ca", "must hold a certificate as PEM"),
        (client("", &key), "client_certificate", "must hold a certificate as PEM"),
        (client(&good.pem, ""), "client_key", "must be a private key as PEM"),
        (client(&good.pem, &broken), "client_key", "must be a private key as PEM"),
        (client(&other.pem, &key), "client_key", "must be the key of client_certificate"),
    ] {
        let expected = TlsFlaw { field, reason: reason.to_owned() };
        assert_eq!(trust::check(&tls), Err(expected));
    }
}
