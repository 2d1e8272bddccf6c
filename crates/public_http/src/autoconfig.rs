//! The configuration that Thunderbird, Evolution, KMail, K-9 and others fetch (config-v1.1.xml).
//!
//! draft-ietf-mailmaint-autoconfig. Invariant: of the request, only the domain is in the response, so that all clients get the same.

use std::io;

use crate::pages::Page;
use crate::servers::{IMAPS_PORT, Servers, Tls, Xml, document, element};

/// Hosts that prefer OAuth2 to a password, and that clients support.
const OAUTH2_HOSTS: [&str; 3] = ["imap.gmail.com", "imap.mail.yahoo.com", "outlook.office365.com"];

/// Returns the document for a domain.
pub(crate) fn page(domain: &str, servers: &Servers) -> Option<Page> {
    document(|xml| config(xml, domain, servers)).map(|body| Page::new("application/xml; charset=utf-8", body))
}

fn config(xml: &mut Xml, domain: &str, servers: &Servers) -> io::Result<()> {
    xml.create_element("clientConfig").with_attribute(("version", "1.1")).write_inner_content(|xml| {
        xml.create_element("emailProvider").with_attribute(("id", domain)).write_inner_content(|xml| {
            for name in ["domain", "displayName", "displayShortName"] {
                element(xml, name, domain)?;
            }
            if let Some(host) = &servers.imap {
                xml.create_element("incomingServer").with_attribute(("type", "imap")).write_inner_content(|xml| {
                    let oauth2 = OAUTH2_HOSTS.contains(&host.as_str()).then_some("OAuth2");
                    server(xml, (host, IMAPS_PORT, Tls::Implicit), oauth2)
                })?;
            }
            for (port, tls) in &servers.submission {
                xml.create_element("outgoingServer")
                    .with_attribute(("type", "smtp"))
                    .write_inner_content(|xml| server(xml, (&servers.hostname, *port, *tls), None))?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

fn server(xml: &mut Xml, (host, port, tls): (&str, u16, Tls), better: Option<&str>) -> io::Result<()> {
    element(xml, "hostname", host)?;
    element(xml, "port", &port.to_string())?;
    element(xml, "socketType", if tls == Tls::Implicit { "SSL" } else { "STARTTLS" })?;
    // Without a user name, clients guess one; this one can be changed in the client's form.
    element(xml, "username", "%EMAILADDRESS%")?;
    if let Some(better) = better {
        element(xml, "authentication", better)?;
    }
    element(xml, "authentication", "password-cleartext")
}
