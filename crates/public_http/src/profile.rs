//! A configuration profile for Apple Mail (.mobileconfig), to be signed.
//!
//! Apple's "Device Management": com.apple.mail.managed. Invariant: it contains no password, and it is the same for the same settings, so that a second
//! one replaces the first on the device.

use std::io;

use mail::Mailbox;
use quick_xml::events::{BytesText, Event};

use crate::servers::{IMAPS_PORT, Servers, Tls, Xml, document, element};

/// Its media type.
pub const CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// The contents of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The address, which is also the login for sending.
    pub address: Mailbox,
    /// The name that recipients see; without it, the device asks.
    pub name: Option<String>,
    /// The submission server.
    pub smtp: (String, u16, Tls),
    /// The IMAP host.
    pub imap_host: String,
    /// The user name there; without it, the device asks.
    pub imap_user: Option<String>,
}

impl Profile {
    /// Makes a profile for an address; `None` without a submission port or an IMAP host, since Apple Mail has no accounts that only send.
    pub fn of(address: &Mailbox, servers: Servers) -> Option<Self> {
        let (port, tls) = servers.submission.first().copied()?;
        let smtp = (servers.hostname, port, tls);
        Some(Self { address: address.clone(), name: None, smtp, imap_host: servers.imap?, imap_user: None })
    }

    /// Returns the property list.
    pub fn text(&self) -> Option<Vec<u8>> {
        document(|xml| {
            let doctype = "plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\"";
            xml.write_event(Event::DocType(BytesText::from_escaped(doctype)))?;
            xml.create_element("plist").with_attribute(("version", "1.0")).write_inner_content(|xml| {
                xml.create_element("dict").write_inner_content(|xml| self.outer(xml))?;
                Ok(())
            })?;
            Ok(())
        })
    }

    fn outer(&self, xml: &mut Xml) -> io::Result<()> {
        let address = self.address.to_string();
        element(xml, "key", "PayloadContent")?;
        xml.create_element("array").write_inner_content(|xml| {
            xml.create_element("dict").write_inner_content(|xml| self.mail(xml))?;
            Ok(())
        })?;
        string(xml, "PayloadDescription", &format!("Sends as {address} through {}.", self.smtp.0))?;
        self.payload(xml, "Configuration", "")?;
        string(xml, "PayloadOrganization", self.address.domain.as_str())?;
        flag(xml, "PayloadRemovalDisallowed", false)
    }

    fn mail(&self, xml: &mut Xml) -> io::Result<()> {
        let address = self.address.to_string();
        string(xml, "EmailAccountDescription", &address)?;
        if let Some(name) = &self.name {
            string(xml, "EmailAccountName", name)?;
        }
        string(xml, "EmailAccountType", "EmailTypeIMAP")?;
        string(xml, "EmailAddress", &address)?;
        string(xml, "IncomingMailServerAuthentication", "EmailAuthPassword")?;
        string(xml, "IncomingMailServerHostName", &self.imap_host)?;
        number(xml, "IncomingMailServerPortNumber", IMAPS_PORT)?;
        flag(xml, "IncomingMailServerUseSSL", true)?;
        if let Some(user) = &self.imap_user {
            string(xml, "IncomingMailServerUsername", user)?;
        }
        let (host, port, _) = &self.smtp;
        string(xml, "OutgoingMailServerAuthentication", "EmailAuthPassword")?;
        string(xml, "OutgoingMailServerHostName", host)?;
        number(xml, "OutgoingMailServerPortNumber", *port)?;
        // Both kinds of TLS; the device chooses by the port.
        flag(xml, "OutgoingMailServerUseSSL", true)?;
        string(xml, "OutgoingMailServerUsername", &address)?;
        flag(xml, "OutgoingPasswordSameAsIncomingPassword", false)?;
        self.payload(xml, "com.apple.mail.managed", ".account")
    }

    fn payload(&self, xml: &mut Xml, kind: &str, suffix: &str) -> io::Result<()> {
        let address = self.address.to_string();
        let identifier = format!("{}.mail.{}{suffix}", self.smtp.0, self.address.key());
        string(xml, "PayloadDisplayName", &address)?;
        string(xml, "PayloadUUID", &uuid(&identifier))?;
        string(xml, "PayloadIdentifier", &identifier)?;
        string(xml, "PayloadType", kind)?;
        number(xml, "PayloadVersion", 1)
    }
}

/// Derives a UUID of version 8 from a text.
fn uuid(text: &str) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = net::sha256(&[text.as_bytes()]);
    let head = u64::from_be_bytes([a, b, c, d, e, f, (g & 0x0f) | 0x80, h]);
    let tail = u64::from_be_bytes([(i & 0x3f) | 0x80, j, k, l, m, n, o, p]);
    format!("{:08X}-{:04X}-{:04X}-{:04X}-{:012X}", head >> 32, (head >> 16) & 0xffff, head & 0xffff, tail >> 48, tail & 0xffff_ffff_ffff)
}

fn string(xml: &mut Xml, key: &str, text: &str) -> io::Result<()> {
    element(xml, "key", key)?;
    element(xml, "string", text)
}

fn number(xml: &mut Xml, key: &str, number: u16) -> io::Result<()> {
    element(xml, "key", key)?;
    element(xml, "integer", &number.to_string())
}

fn flag(xml: &mut Xml, key: &str, is: bool) -> io::Result<()> {
    element(xml, "key", key)?;
    xml.create_element(if is { "true" } else { "false" }).write_empty().map(drop)
}
