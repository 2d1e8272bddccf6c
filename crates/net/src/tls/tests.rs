//! Choice and replacement of certificates, separation of services.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;
use crate::self_signed::self_signed;

fn write_as(dir: &Path, stem: &str, (certificate, key): (String, String)) -> PairFiles {
    let files = PairFiles { certificate: dir.join(format!("{stem}.cert.pem")), key: dir.join(format!("{stem}.key.pem")) };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    files
}

fn made(dir: &Path, stem: &str, names: &[&str]) -> PairFiles {
    write_as(dir, stem, self_signed(&names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap())
}

fn expired(dir: &Path, stem: &str, name: &str) -> PairFiles {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    write_as(dir, stem, (params.self_signed(&key).unwrap().pem(), key.serialize_pem()))
}

fn server(sources: &CertificateSources) -> ServerTls {
    ServerTls::new(sources, Challenges::default(), Clock::system()).unwrap()
}

/// The first name of the chosen certificate.
fn chosen(tls: &ServerTls, asked: Option<&str>) -> String {
    let certified = tls.loaded().set.choose(asked, Clock::system().now_s()).unwrap();
    Leaf::read(&certified.cert[0]).unwrap().names[0].clone()
}

#[test]
fn a_pair_that_does_not_load_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path(), "mx", &["mx.example.test"]);
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let in_use = || tls.in_use()[0].leaf.serial.clone();
    let first = in_use();
    fs::write(&files.certificate, "garbage").unwrap();
    fs::File::options().append(true).open(&files.certificate).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(in_use(), first);
    made(dir.path(), "mx", &["mx.example.test"]);
    assert_ne!(in_use(), first);
}

#[test]
fn a_world_readable_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path(), "mx", &["mx.example.test"]);
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(ServerTls::load(&files.certificate, &files.key), Err(TlsError::Readable(_))));
}

#[test]
fn sni_selects_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let tls = server(&CertificateSources {
        hostname: "mx.example.test".into(),
        default: Some(made(dir.path(), "default", &["mx.example.test"])),
        pairs: vec![made(dir.path(), "wild", &["*.example.test"]), made(dir.path(), "other", &["other.test", "mta-sts.other.test"])],
        issued: None,
    });
    let cases = [
        (Some("mx.example.test"), "mx.example.test"),
        (Some("MX.EXAMPLE.TEST"), "mx.example.test"),
        (Some("www.example.test"), "*.example.test"),
        (Some("a.www.example.test"), "mx.example.test"),
        (Some("mta-sts.other.test"), "other.test"),
        (Some("..\u{0}"), "mx.example.test"),
        (None, "mx.example.test"),
    ];
    for (asked, want) in cases {
        assert_eq!(chosen(&tls, asked), want, "{asked:?}");
    }
}

#[test]
fn reload_finds_an_issued_certificate_and_prefers_it_to_an_expired_one() {
    let dir = tempfile::tempdir().unwrap();
    let issued = dir.path().join("issued");
    let tls = server(&CertificateSources {
        hostname: "mx.example.test".into(),
        default: Some(expired(dir.path(), "default", "mx.example.test")),
        pairs: vec![],
        issued: Some(issued.clone()),
    });
    let serial = || tls.in_use().iter().find(|c| c.is_fallback).unwrap().leaf.serial.clone();
    let old = serial();
    fs::create_dir_all(issued.join("mx")).unwrap();
    let files = made(&issued.join("mx"), "x", &["mx.example.test"]);
    fs::rename(files.certificate, issued.join("mx/cert.pem")).unwrap();
    fs::rename(files.key, issued.join("mx/key.pem")).unwrap();
    assert_eq!(serial(), old);
    tls.reload();
    assert_ne!(serial(), old);
}

/// A handshake in memory. The client reads application data, so that it has received its tickets.
async fn shake(
    tls: &ServerTls,
    service: Service,
    client: &Arc<ClientConfig>,
) -> Result<(HandshakeKind, Vec<(&'static str, Vec<u8>)>), String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = tls.acceptor(service);
    let serving = tokio::spawn(async move {
        let mut accepted = acceptor.accept(far).await.map_err(|e| e.to_string())?;
        accepted.stream.write_all(b"hello").await.map_err(|e| e.to_string())?;
        accepted.stream.flush().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(channel_bindings(accepted.stream.get_ref().1, &accepted.leaf))
    });
    let name = ServerName::try_from("mx.example.test").unwrap();
    let mut stream = TlsConnector::from(client.clone()).connect(name, near).await.map_err(|e| e.to_string())?;
    stream.read_exact(&mut [0; 5]).await.map_err(|e| e.to_string())?;
    let ours = serving.await.unwrap()?;
    let exported = stream.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap();
    assert_eq!(ours[0], ("tls-exporter", exported.to_vec()));
    Ok((stream.get_ref().1.handshake_kind().unwrap(), ours))
}

fn client(certificate: &Path, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(read_chain(certificate).unwrap().remove(0)).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config
}

#[tokio::test]
async fn tickets_resume_only_at_their_service_and_until_the_certificate_changes() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path(), "mx", &["mx.example.test"]);
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let mut config = client(&files.certificate, &[]);
    config.resumption = Resumption::in_memory_sessions(16);
    let client = Arc::new(config);
    let kind = async |service| shake(&tls, service, &client).await.unwrap().0;
    assert_ne!(kind(Service::Smtp).await, HandshakeKind::Resumed);
    assert_eq!(kind(Service::Smtp).await, HandshakeKind::Resumed);
    assert_ne!(kind(Service::Https).await, HandshakeKind::Resumed);
    assert_eq!(kind(Service::Https).await, HandshakeKind::Resumed);
    tls.reload();
    assert_ne!(kind(Service::Https).await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn alpn_of_another_service_is_refused_and_both_ends_compute_the_same_bindings() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path(), "mx", &["mx.example.test"]);
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let speaks = |alpn: &'static [u8]| Arc::new(client(&files.certificate, &[alpn]));
    assert!(shake(&tls, Service::Smtp, &speaks(b"http/1.1")).await.is_err());
    assert!(shake(&tls, Service::Https, &speaks(b"smtp")).await.is_err());
    // No ACME order is running.
    assert!(shake(&tls, Service::Https, &speaks(ACME_TLS)).await.is_err());
    let (_, bindings) = shake(&tls, Service::Smtp, &speaks(b"smtp")).await.unwrap();
    let leaf = read_chain(&files.certificate).unwrap().remove(0);
    assert_eq!(bindings[1], ("tls-server-end-point", crate::leaf::end_point(&leaf).unwrap()));
}

#[tokio::test]
async fn only_one_service_asks_for_a_client_certificate_and_accepts_any() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path(), "mx", &["mx.example.test"]);
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let own = made(dir.path(), "client", &["client.test"]);
    let mut roots = RootCertStore::empty();
    roots.add(read_chain(&files.certificate).unwrap().remove(0)).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(&own.key).unwrap();
    let with = builder().with_root_certificates(roots.clone()).with_client_auth_cert(read_chain(&own.certificate).unwrap(), key).unwrap();
    let without = builder().with_root_certificates(roots).with_no_client_auth();
    let presented = async |service, config: ClientConfig| {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("mx.example.test").unwrap();
        let (accepted, connected) =
            tokio::join!(tls.acceptor(service).accept(far), TlsConnector::from(Arc::new(config)).connect(name, near));
        connected.unwrap();
        accepted.unwrap().stream.get_ref().1.peer_certificates().map(|chain| chain[0].clone())
    };
    let leaf = read_chain(&own.certificate).unwrap().remove(0);
    assert_eq!(presented(Service::ByCertificate, with.clone()).await, Some(leaf));
    assert_eq!(presented(Service::ByCertificate, without).await, None);
    assert_eq!(presented(Service::Smtp, with.clone()).await, None);
    assert_eq!(presented(Service::Https, with).await, None);
}
