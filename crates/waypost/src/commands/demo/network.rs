//! The demonstration's network: name server, mail hosts, our server between them, and the DNS records that authenticate their mail.
//!
//! RFC 7208, RFC 6376, RFC 9989. Invariant: nothing leaves loopback; everything ends with the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use control_api::api;
use msgauth::{Algorithm, KeyPair, Signer, record};
use net::Resolver;
use tokio::sync::mpsc::UnboundedReceiver;

use super::dns::{self, Zone};
use super::mailbox_host::{self, ReceivedMessage};
use super::say;
use crate::config::{self, Config};
use crate::serve::{Running, logging};
use crate::transport::Transport;

/// Our server's address. All mail hosts have the same port.
pub const OURS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const INBOX: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Ports tried for the mail hosts: the first is easy to remember.
const PORTS: [u16; 4] = [2525, 12_525, 22_525, 32_525];

/// All mail comes from loopback.
const SPF: &str = "v=spf1 ip4:127.0.0.0/8 -all";

/// The running network.
pub struct DemoNetwork {
    pub config: Config,
    pub running: Running,
    pub resolver: Resolver,
    pub inbox: UnboundedReceiver<ReceivedMessage>,
    pub foreign: UnboundedReceiver<ReceivedMessage>,
    pub port: u16,
    /// The stranger's DKIM key.
    pub signer: Signer,
    zone: Zone,
}

/// Starts the network.
pub async fn start(dir: &Path) -> Result<DemoNetwork> {
    let hosts = [("example.test", OURS), ("inbox.test", INBOX), ("foreign.test", FOREIGN)];
    let zone = Zone::of_hosts(&hosts);
    let dns = dns::start(zone.clone()).await?;
    let resolver = Resolver::of_servers(&[dns])?;
    let (port, inbox, foreign) = start_mailbox_hosts(&resolver).await?;
    let signer = publish_strangers_records(&zone)?;
    let config = write_configuration(dir, port, dns)?;
    logging::start(&config.file.log)?;
    let running = Running::start(&config, None).await?;
    for (name, address) in hosts {
        say(name, &format!("mail host mx.{name} at {address}:{port}"))?;
    }
    say("DNS", &format!("at {dns}"))?;
    Ok(DemoNetwork { config, running, resolver, inbox, foreign, port, signer, zone })
}

/// Publishes the stranger's records: its domain has a strict DMARC policy.
fn publish_strangers_records(zone: &Zone) -> Result<Signer> {
    let pair = KeyPair::generate(Algorithm::Rsa)?;
    zone.publish("foreign.test", SPF);
    zone.publish("_dmarc.foreign.test", "v=DMARC1; p=reject");
    zone.publish("s1._domainkey.foreign.test", &record(pair.algorithm, &pair.public));
    Ok(Signer::new(pair.algorithm, &pair.private, "foreign.test", "s1")?)
}

async fn start_mailbox_hosts(resolver: &Resolver) -> Result<(u16, UnboundedReceiver<ReceivedMessage>, UnboundedReceiver<ReceivedMessage>)> {
    let mut last = None;
    for port in PORTS {
        // The server binds its own port later; this checks that it is free.
        let free = std::net::TcpListener::bind((OURS, port)).map(drop);
        let hosts = match free {
            Ok(()) => start_both(port, resolver).await,
            Err(error) => Err(error.into()),
        };
        match hosts {
            Ok((inbox, foreign)) => return Ok((port, inbox, foreign)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no port to try")))
        .context("no free port for the demonstration's mail hosts on 127.0.0.1, 127.0.0.2 and 127.0.0.3; is another demo running?")
}

async fn start_both(port: u16, resolver: &Resolver) -> Result<(UnboundedReceiver<ReceivedMessage>, UnboundedReceiver<ReceivedMessage>)> {
    let inbox = mailbox_host::start("inbox.test", INBOX, port, resolver).await?;
    let foreign = mailbox_host::start("foreign.test", FOREIGN, port, resolver).await?;
    Ok((inbox, foreign))
}

/// Writes a configuration file, so that the other commands work with the demonstration.
fn write_configuration(dir: &Path, port: u16, dns: SocketAddr) -> Result<Config> {
    let (certificate, key) = net::self_signed(&["mx.example.test".into(), "localhost".into()])?;
    std::fs::write(dir.join("cert.pem"), certificate)?;
    write_secret(&dir.join("key.pem"), &key)?;
    let path = dir.join("waypost.toml");
    let text = format!(
        "hostname = \"mx.example.test\"\ndata_dir = \"data\"\n\n\
         [listen]\nmx = [\"{OURS}:{port}\"]\nsubmission = [\"{OURS}:{}\"]\nsubmissions = [\"{OURS}:{}\"]\nhttp = []\nhttps = []\nadmin = [\"{OURS}:{}\"]\n\n\
         [tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\n\
         # The domain that forwarded mail leaves under.\n\
         [forward]\ndomain = \"fwd.example.test\"\n\n\
         # The other mail hosts are on loopback, on a port that needs no root.\n\
         [delivery]\nport = {port}\nloopback = true\nipv6 = false\n\n[dns]\nservers = [\"{dns}\"]\n# No zone here is signed.\nvalidate = \"off\"\n\n[log]\nlevel = \"warn\"\n",
        port + 1,
        port + 2,
        port + 3,
    );
    std::fs::write(&path, text)?;
    Ok(config::load(&path)?)
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Creates domain, alias, account and keys through the API, and publishes their records. Returns the account's password.
pub async fn populate(network: &DemoNetwork) -> Result<String> {
    let mut api = Transport::open(&network.config).await?;
    let _: api::Changed = api.post("/api/v1/domains", &api::NewDomain { name: "example.test".into() }).await?;
    let alias = api::NewAlias { source: "me@example.test".into(), targets: vec!["foo@inbox.test".into()], replace: false };
    let _: api::Changed = api.post("/api/v1/aliases", &alias).await?;
    let account = api::NewAccount { login: "me@example.test".into(), password: None, name: None, may_send_as: Vec::new(), owner: true };
    let added: api::Login = api.post("/api/v1/accounts", &account).await?;
    say("alias", "me@example.test -> foo@inbox.test")?;
    for domain in ["example.test", "fwd.example.test"] {
        let made: api::KeysChanged = api.post("/api/v1/keys", &api::NewKeys { domain: domain.into() }).await?;
        made.keys.iter().for_each(|key| network.zone.publish(&key.record_name, &key.record));
        network.zone.publish(domain, SPF);
        network.zone.publish(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject");
        say("DKIM keys", &format!("of {domain}, with their records in DNS"))?;
    }
    added.password.context("the account has no generated password")
}

/// Returns a one-time link to the owner's page.
pub async fn login_link(network: &DemoNetwork) -> Result<String> {
    let mut api = Transport::open(&network.config).await?;
    let made: api::LinkView = api.post("/api/v1/web/links", &api::NewLoginLink::default()).await?;
    Ok(made.link)
}
