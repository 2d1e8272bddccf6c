//! The servers in every format of client configuration: IMAP and submission.
//!
//! RFC 8314 s.3.3, s.5.1. Invariant: implicit TLS comes before STARTTLS, and nothing is offered without TLS.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// The port of IMAP with implicit TLS.
pub(crate) const IMAPS_PORT: u16 = 993;

/// How TLS starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Implicit TLS.
    Implicit,
    /// By STARTTLS.
    StartTls,
}

/// The servers of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// The name of this server.
    pub hostname: String,
    /// The submission ports, the preferred one first.
    pub submission: Vec<(u16, Tls)>,
    /// The IMAP host, if it is published.
    pub imap: Option<String>,
}

impl Servers {
    /// Makes the servers from the ports in use: with implicit TLS, with STARTTLS.
    pub fn new(hostname: &str, (submissions, submission): (Option<u16>, Option<u16>), imap: Option<String>) -> Self {
        let implicit = submissions.map(|port| (port, Tls::Implicit));
        let starttls = submission.map(|port| (port, Tls::StartTls));
        Self { hostname: hostname.to_owned(), submission: implicit.into_iter().chain(starttls).collect(), imap }
    }
}

/// A writer of XML into memory.
pub(crate) type Xml = Writer<Vec<u8>>;

/// Writes a document: its declaration, then the content.
pub(crate) fn document(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> Option<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None))).ok()?;
    content(&mut xml).ok()?;
    let mut text = xml.into_inner();
    text.push(b'\n');
    Some(text)
}

/// Writes an element with an escaped text.
pub(crate) fn element(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}
