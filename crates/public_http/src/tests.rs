//! The server over real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn loopback(port: u16) -> Addresses {
    Addresses { list: vec![(Ipv4Addr::LOCALHOST, port).into()], must: true }
}

fn off() -> Addresses {
    Addresses { list: vec![], must: true }
}

fn tls(dir: &std::path::Path) -> ServerTls {
    use std::os::unix::fs::PermissionsExt;
    let (certificate, key) = net::self_signed(&["mx.example.test".into()]).unwrap();
    let paths = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&paths.0, certificate).unwrap();
    std::fs::write(&paths.1, key).unwrap();
    std::fs::set_permissions(&paths.1, std::fs::Permissions::from_mode(0o600)).unwrap();
    ServerTls::load(&paths.0, &paths.1).unwrap()
}

/// No domain is hosted.
struct NothingHosted;

impl pages::PageFacts for NothingHosted {
    fn data(&self) -> Arc<pages::PublicData> {
        let hostname = "mx.example.test".into();
        Arc::new(pages::PublicData { hostname, submissions: None, submission: None, imap_host: None, mta_sts: String::new() })
    }
    fn hosts(&self, _: &str) -> bool {
        false
    }
    fn imap_host_of(&self, _: &mail::Mailbox) -> Option<String> {
        None
    }
    fn signed(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

fn start(http: Addresses, https: Addresses, tls: Option<ServerTls>) -> io::Result<PublicHttp> {
    let pages = pages::Pages(Arc::new(NothingHosted));
    PublicHttp::start(Parts {
        http,
        https,
        tls,
        proxies: net::TrustedProxies::default(),
        is_ready: Arc::new(|| true),
        challenges: Challenges::default(),
        pages,
        owner: None,
    })
}

async fn said(address: SocketAddr, request: &'static str) -> String {
    let asking = tokio::task::spawn_blocking(move || {
        let mut tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        tcp.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    asking.await.unwrap()
}

#[tokio::test]
async fn http_redirects_to_https_of_the_same_host() {
    let dir = tempfile::tempdir().unwrap();
    let web = start(loopback(0), loopback(0), Some(tls(dir.path()))).unwrap();
    let (address, port) = (web.listening[0][0], web.listening[1][0].port());
    let answer = said(address, "GET /a?b=c HTTP/1.1\r\nHost: Mail.Example.test:80\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains(&format!("location: https://mail.example.test:{port}/a?b=c\r\n")), "{answer}");
    let answer = said(address, "GET /.well-known/acme-challenge/none HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let web = start(loopback(0), off(), None).unwrap();
    let address = web.listening[0][0];
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test/evil@b\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        let answer = said(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let answer = said(address, long.leak()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = said(address, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 70000\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_reads_why_it_is_refused() {
    let server = start(loopback(0), off(), None).unwrap();
    let address = server.listening[0][0];
    let asking = tokio::task::spawn_blocking(move || {
        let mut tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        tcp.write_all(b"POST / HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n").unwrap();
        let mut first = [0; 12];
        tcp.read_exact(&mut first).unwrap();
        // It was refused, the server has had time to end the connection, and the client is still sending.
        std::thread::sleep(Duration::from_millis(200));
        (0..64).try_for_each(|_| tcp.write_all(&[b'x'; 1024])).unwrap();
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).map(|_| (first, String::from_utf8_lossy(&rest).into_owned()))
    });
    let (first, rest) = asking.await.unwrap().unwrap();
    assert!(first == *b"HTTP/1.1 400" && rest.ends_with("Transfer-Encoding is not supported\n"), "{rest}");
}

#[tokio::test]
async fn an_incomplete_head_times_out() {
    let web = start(loopback(0), off(), None).unwrap();
    let before = std::time::Duration::from_secs(18);
    let answer = tokio::time::timeout(before, said(web.listening[0][0], "GET / HTTP/1.1\r\nHost: a.test\r\n")).await;
    assert!(answer.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_only_if_configured() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(loopback(port), off(), None).unwrap_err().to_string();
    assert!(error.contains("http = []"), "{error}");
    let web = start(Addresses { must: false, ..loopback(port) }, off(), None).unwrap();
    assert!(web.listening[0].is_empty());
}

/// OpenSSL's clients call an end without close_notify a violation of the protocol, and may tell it to the next request of the connection.
#[tokio::test]
async fn tls_ends_with_close_notify_after_a_request_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let web = start(off(), loopback(0), Some(tls(dir.path()))).unwrap();
    let tcp = tokio::net::TcpStream::connect(web.listening[1][0]).await.unwrap();
    let host = mail::Domain::parse("mx.example.test").unwrap();
    let mut stream = net::ClientTls::new(None).unwrap().connect(net::Verify::Nothing, &host, tcp).await.unwrap();
    stream.write_all(b"\0\0\0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
}
