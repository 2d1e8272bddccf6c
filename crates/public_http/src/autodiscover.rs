//! The configuration that Outlook requests (Autodiscover, "POX").
//!
//! MS-OXDSCLI s.2.2.3, s.2.2.4. Invariant: a request with a document type or an entity of its own, or beyond the limits, is refused.

use std::io;

use mail::Mailbox;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::{Reader, XmlVersion};

use crate::pages::{Page, address_of};
use crate::servers::{IMAPS_PORT, Servers, Tls, Xml, document, element};

const RESPONSE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const OUTLOOK_RESPONSE: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// Maximum size of a request, in octets. Outlook's are about 400.
const REQUEST_MAX_BYTES: usize = 8 * 1024;

/// Maximum depth of elements.
const DEPTH_MAX: usize = 8;

/// Maximum length of a text, in octets.
const TEXT_MAX_BYTES: usize = 512;

/// An error in Exchange's code and words.
type Refusal = (&'static str, &'static str);

const INVALID: Refusal = ("600", "Invalid Request");
const NO_PROVIDER: Refusal = ("601", "Provider is not available");
const NO_ADDRESS: Refusal = ("500", "The email address can't be found.");

/// Returns the response to a request. Outlook never sends one without a body.
pub(crate) fn page(domain: &str, body: Option<&[u8]>, servers: impl FnOnce(&Mailbox) -> Servers) -> Page {
    let answer = body.ok_or(INVALID).and_then(requested_address).and_then(|text| address_of(&text, domain).ok_or(NO_ADDRESS));
    let text = match answer {
        Ok(address) => document(|xml| settings(xml, &address, &servers(&address))),
        Err(refusal) => document(|xml| refused(xml, refusal)),
    };
    Page::new("application/xml; charset=utf-8", text.unwrap_or_default())
}

/// Parses the address from a request.
fn requested_address(body: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= REQUEST_MAX_BYTES).ok_or(INVALID)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let (mut path, mut read): (Vec<String>, String) = (Vec::new(), String::new());
    let (mut address, mut schema) = (None, None);
    loop {
        match reader.read_event().map_err(|_| INVALID)? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_ascii_lowercase());
                read.clear();
                if path.len() > DEPTH_MAX {
                    return Err(INVALID);
                }
            }
            Event::End(_) => {
                let name = path.join("/");
                match name.as_str() {
                    "autodiscover/request/emailaddress" if address.is_none() => address = Some(std::mem::take(&mut read)),
                    "autodiscover/request/acceptableresponseschema" => schema = Some(std::mem::take(&mut read)),
                    _ => {}
                }
                path.pop();
                read.clear();
            }
            Event::Text(text) => read.push_str(&text.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => read.push(character(&reference).ok_or(INVALID)?),
            Event::Decl(_) | Event::Comment(_) | Event::Empty(_) => {}
            Event::DocType(_) | Event::PI(_) | Event::CData(_) => return Err(INVALID),
            Event::Eof if path.is_empty() => break,
            Event::Eof => return Err(INVALID),
        }
        if read.len() > TEXT_MAX_BYTES {
            return Err(INVALID);
        }
    }
    if schema.is_some_and(|schema| schema.trim() != OUTLOOK_RESPONSE) {
        return Err(NO_PROVIDER);
    }
    address.ok_or(INVALID)
}

/// Resolves a character reference, or one of the five entities of XML.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    match resolve_xml_entity(reference.as_ref()) {
        Some(text) => text.chars().next(),
        None => reference.resolve_char_ref().ok().flatten(),
    }
}

fn response(xml: &mut Xml, namespace: &str, content: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<()> {
    xml.create_element("Autodiscover").with_attribute(("xmlns", RESPONSE)).write_inner_content(|xml| {
        xml.create_element("Response").with_attribute(("xmlns", namespace)).write_inner_content(content)?;
        Ok(())
    })?;
    Ok(())
}

fn refused(xml: &mut Xml, (code, message): Refusal) -> io::Result<()> {
    response(xml, RESPONSE, |xml| {
        xml.create_element("Error").write_inner_content(|xml| {
            element(xml, "ErrorCode", code)?;
            element(xml, "Message", message)?;
            element(xml, "DebugData", "")
        })?;
        Ok(())
    })
}

fn settings(xml: &mut Xml, address: &Mailbox, servers: &Servers) -> io::Result<()> {
    let login = address.to_string();
    response(xml, OUTLOOK_RESPONSE, |xml| {
        xml.create_element("User").write_inner_content(|xml| element(xml, "DisplayName", &login))?;
        xml.create_element("Account").write_inner_content(|xml| {
            element(xml, "AccountType", "email")?;
            element(xml, "Action", "settings")?;
            if let Some(host) = &servers.imap {
                protocol(xml, "IMAP", (host, IMAPS_PORT, Tls::Implicit), &login)?;
            }
            for (port, tls) in &servers.submission {
                protocol(xml, "SMTP", (&servers.hostname, *port, *tls), &login)?;
            }
            Ok(())
        })?;
        Ok(())
    })
}

fn protocol(xml: &mut Xml, kind: &str, (host, port, tls): (&str, u16, Tls), login: &str) -> io::Result<()> {
    xml.create_element("Protocol").write_inner_content(|xml| {
        element(xml, "Type", kind)?;
        element(xml, "Server", host)?;
        element(xml, "Port", &port.to_string())?;
        element(xml, "DomainRequired", "off")?;
        element(xml, "LoginName", login)?;
        element(xml, "SPA", "off")?;
        element(xml, "SSL", "on")?;
        // It overrides SSL, and distinguishes STARTTLS from implicit TLS.
        element(xml, "Encryption", if tls == Tls::Implicit { "SSL" } else { "TLS" })?;
        element(xml, "AuthRequired", "on")?;
        if kind == "SMTP" {
            element(xml, "UsePOPAuth", "off")?;
            element(xml, "SMTPLast", "off")?;
        }
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
#[path = "autodiscover_tests.rs"]
mod tests;
