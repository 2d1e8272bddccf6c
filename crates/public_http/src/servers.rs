//! What every form of client configuration says: where mail is read, where it is submitted.
//!
//! RFC 8314 s.3.3, s.5.1. Invariant: TLS from the start comes before STARTTLS, and nothing is offered without TLS.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// The port of IMAP with TLS from the start.
pub(crate) const IMAPS_PORT: u16 = 993;

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// With the first octet.
    Implicit,
    /// By STARTTLS.
    StartTls,
}

/// The servers of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// Our own name.
    pub hostname: String,
    /// Where mail is submitted, the better port first.
    pub submission: Vec<(u16, Tls)>,
    /// Where it is read, if that is to be told.
    pub imap: Option<String>,
}

impl Servers {
    /// From the ports that listen: with TLS from the start, with STARTTLS.
    pub fn new(hostname: &str, (submissions, submission): (Option<u16>, Option<u16>), imap: Option<String>) -> Self {
        let implicit = submissions.map(|port| (port, Tls::Implicit));
        let starttls = submission.map(|port| (port, Tls::StartTls));
        Self { hostname: hostname.to_owned(), submission: implicit.into_iter().chain(starttls).collect(), imap }
    }
}

/// XML into memory.
pub(crate) type Xml = Writer<Vec<u8>>;

/// A document: its declaration, then what `content` writes.
pub(crate) fn document(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> Option<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None))).ok()?;
    content(&mut xml).ok()?;
    let mut text = xml.into_inner();
    text.push(b'\n');
    Some(text)
}

/// An element with a text, which is escaped.
pub(crate) fn element(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}
