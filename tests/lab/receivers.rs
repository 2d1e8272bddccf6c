//! Receivers with TLS: what mail hosts and policy hosts show, and a host that serves MTA-STS policies.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

use net::{Authority, Clock, Issued};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Lab, POLICY_PORT, Script};

/// An authority of the lab, and what it issues.
#[derive(Debug)]
pub struct LabAuthority(Authority);

impl LabAuthority {
    /// Makes one, with its certificate in `authority.pem` of the lab.
    pub fn new(lab: &Lab) -> Self {
        let authority = Authority::new("lab", Clock::system().now_s()).expect("an authority");
        lab.write("authority.pem", &authority.certificate);
        Self(authority)
    }

    /// A chain and a key for these names, whose time was over yesterday.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.0.issue(&names, 9, Clock::system().now_s() - 10 * 86_400).expect("a certificate")
    }

    /// A chain and a key for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.0.issue(&names, 90, Clock::system().now_s()).expect("a certificate")
    }
}

/// What a TLSA record holds of the certificate at a place of the chain: SHA-256 of it (selector 0) or of its key (selector 1), by openssl.
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

/// What a server with this certificate is set up by.
pub fn server_config(issued: &Issued) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(|der| der.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a certificate and its key"))
}

/// A connection, over TLS from some point on.
#[derive(Debug)]
pub enum Wire {
    /// Not yet.
    Plain(TcpStream),
    /// Since then.
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

/// What a policy host says.
#[derive(Debug, Clone)]
pub struct PolicyAnswer {
    /// The status line and header section behind HTTP/1.1, without an empty line.
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

/// A policy host. It answers until it is told to be down.
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
            // A client that does not believe the certificate is part of many tests.
            let _ = serve(Wire::Plain(tcp), &config, &answer);
        });
        Self { answer, script }
    }

    /// Says something else from now on; nothing at all where it is `None`.
    pub fn say(&self, answer: Option<PolicyAnswer>) {
        *self.answer.lock().expect("the answer") = answer;
    }

    /// How often it was asked.
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
