//! TLS of receivers: certificates of mail hosts, and a host that serves MTA-STS policies.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

use net::{Authority, Clock, Issued};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Lab, POLICY_PORT, Script};

/// A certificate authority of the lab.
#[derive(Debug)]
pub struct LabAuthority(Authority);

impl LabAuthority {
    /// Creates one, with its certificate in the lab's `authority.pem`.
    pub fn new(lab: &Lab) -> Self {
        let authority = Authority::new("lab", Clock::system().now_s()).expect("an authority");
        lab.write("authority.pem", &authority.certificate);
        Self(authority)
    }

    /// A chain and a key for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_at(names, 90, Clock::system().now_s())
    }

    /// The same, valid for `days` from a time, in Unix seconds.
    pub fn issue_at(&self, names: &[&str], days: u32, from_s: i64) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.0.issue(&names, days, from_s).expect("a certificate")
    }
}

/// The digest of a TLSA record, computed by openssl: SHA-256 of a certificate in the chain (selector 0) or of its key (selector 1).
pub fn tlsa_digest(issued: &Issued, place: usize, selector: u8) -> String {
    let der = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).nth(place).expect("a certificate").expect("PEM");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("certificate.der");
    std::fs::write(&file, &der).expect("a file");
    let file = file.display();
    let select = match selector {
        0 => format!("cat {file}"),
        _ => format!("openssl x509 -inform der -in {file} -pubkey -noout | openssl pkey -pubin -outform der"),
    };
    let text = crate::run_ok("sh", &["-c", &format!("{select} | openssl dgst -sha256 -hex -r")]);
    text.split(' ').next().expect("a digest").to_owned()
}

/// The TLS configuration of a server with this certificate.
pub fn server_config(issued: &Issued) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(|der| der.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a certificate and its key"))
}

/// A connection that may switch to TLS.
#[derive(Debug)]
pub enum Wire {
    /// Before TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// Does the handshake.
    pub fn secured(self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let Self::Plain(tcp) = self else { return Err(io::Error::other("twice")) };
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// The answer of a policy host.
#[derive(Debug, Clone)]
pub struct PolicyAnswer {
    /// The status line after HTTP/1.1, and the header section, without the empty line.
    pub head: String,
    /// The body.
    pub body: String,
}

impl PolicyAnswer {
    /// A policy, as it should be served.
    pub fn policy(mode: &str, mx: &[&str], max_age_s: u32) -> Self {
        let mx: String = mx.iter().map(|mx| format!("mx: {mx}\r\n")).collect();
        let body = format!("version: STSv1\r\nmode: {mode}\r\n{mx}max_age: {max_age_s}\r\n");
        Self { head: "200 OK\r\nContent-Type: text/plain".into(), body }
    }
}

/// A policy host.
#[derive(Debug)]
pub struct PolicyHost {
    answer: Arc<Mutex<Option<PolicyAnswer>>>,
    script: Script,
}

impl PolicyHost {
    /// Serves this answer to whatever it is asked.
    pub fn start(address: Ipv4Addr, issued: &Issued, answer: PolicyAnswer) -> Self {
        let (config, answer) = (server_config(issued), Arc::new(Mutex::new(Some(answer))));
        let shown = answer.clone();
        let script = Script::start(address, POLICY_PORT, move |tcp| {
            let Some(answer) = shown.lock().expect("the answer").clone() else { return };
            // In many tests the client rejects the certificate.
            let _ = serve(Wire::Plain(tcp), &config, &answer);
        });
        Self { answer, script }
    }

    /// Changes the answer; `None` closes each connection.
    pub fn say(&self, answer: Option<PolicyAnswer>) {
        *self.answer.lock().expect("the answer") = answer;
    }

    /// Number of requests so far.
    pub fn connections(&self) -> usize {
        self.script.connections()
    }
}

fn serve(wire: Wire, config: &Arc<ServerConfig>, answer: &PolicyAnswer) -> io::Result<()> {
    let mut wire = wire.secured(config)?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let n = wire.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..n]);
    }
    let is_policy = request.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n");
    let head = if is_policy { answer.head.as_str() } else { "404 Not Found" };
    wire.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{}", answer.body.len(), answer.body).as_bytes())?;
    wire.flush()
}
