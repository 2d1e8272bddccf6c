//! Reads XML as small trees, one for each child of the root.
//!
//! Invariant: a document type, and with it every custom entity, is an error; depth, elements of a child and the length of a text are bounded, so that a
//! child is small whatever the document.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::{Reader, XmlVersion};

use super::read::DmarcReadError;

/// Maximum depth. A report needs 6.
const DEPTH_MAX: usize = 16;

/// Maximum elements in one child of the root.
const ELEMENTS_MAX: usize = 2000;

/// Maximum text of an element, in octets; the rest is ignored.
const TEXT_MAX_BYTES: usize = 4096;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name, without a prefix, in lower case.
    pub name: String,
    /// Its own text.
    pub text: String,
    /// Its child elements.
    pub children: Vec<Self>,
}

impl Node {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.all(name).next()
    }

    /// The children of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of this name.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }
}

/// Reads a document whose root has this name; calls `each` for the root's children in order.
pub(super) fn children(document: &str, root: &str, mut each: impl FnMut(&Node)) -> Result<(), DmarcReadError> {
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}').trim_start());
    let (mut open, mut elements, mut is_root_closed): (Vec<Node>, usize, bool) = (Vec::new(), 0, false);
    loop {
        let event = reader.read_event().map_err(|error| broken(open.is_empty() && !is_root_closed, &error.to_string()))?;
        match event {
            Event::Start(_) | Event::Empty(_) if is_root_closed => return Err(DmarcReadError::Broken("content after its end".into())),
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_ascii_lowercase();
                if open.is_empty() && name != root {
                    return Err(DmarcReadError::Other);
                }
                if open.len() == DEPTH_MAX || elements == ELEMENTS_MAX {
                    return Err(DmarcReadError::Broken("its elements are nested too deep, or too many".into()));
                }
                elements += 1;
                open.push(Node { name, ..Node::default() });
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_ascii_lowercase();
                match open.as_mut_slice() {
                    [] => return Err(DmarcReadError::Other),
                    [_] => each(&Node { name, ..Node::default() }),
                    [.., _] if elements == ELEMENTS_MAX => return Err(DmarcReadError::Broken("too many elements".into())),
                    [.., parent] => {
                        elements += 1;
                        parent.children.push(Node { name, ..Node::default() });
                    }
                }
            }
            Event::End(_) => {
                let closed = open.pop().unwrap_or_default();
                match open.as_mut_slice() {
                    [] => is_root_closed = true,
                    [_] => {
                        each(&closed);
                        elements = 0;
                    }
                    [.., parent] => parent.children.push(closed),
                }
            }
            Event::Text(text) => append(&mut open, &text.xml_content(XmlVersion::Implicit1_0)),
            Event::CData(text) => append(&mut open, &text.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => {
                let Some(character) = character(&reference) else {
                    return Err(DmarcReadError::Broken("it has a custom entity".into()));
                };
                append(&mut open, character.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(DmarcReadError::Broken("it has a document type, which reports do not need".into())),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if is_root_closed => return Ok(()),
            Event::Eof => return Err(broken(open.is_empty(), "it ends in the middle")),
        }
    }
}

/// A document that is broken before its root is not a report.
fn broken(before_root: bool, why: &str) -> DmarcReadError {
    if before_root { DmarcReadError::Other } else { DmarcReadError::Broken(super::tame(why)) }
}

/// Text of the root itself is ignored.
fn append(open: &mut [Node], text: &str) {
    if let [_, .., node] = open {
        let room = TEXT_MAX_BYTES.saturating_sub(node.text.len());
        let cut = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        node.text.push_str(text.get(..cut).unwrap_or_default());
    }
}

/// A character by number, or one of the five entities of XML.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    match resolve_xml_entity(reference.as_ref()) {
        Some(text) => text.chars().next(),
        None => reference.resolve_char_ref().ok().flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Vec<Node>, DmarcReadError> {
        let mut found = Vec::new();
        children(document, "feedback", |node| found.push(node.clone())).map(|()| found)
    }

    fn why(document: &str) -> String {
        match read(document) {
            Err(DmarcReadError::Broken(why)) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn element_names_lose_their_prefix() {
        let found = read(
            "\u{feff} <?xml version=\"1.0\"?><d:Feedback xmlns:d=\"urn:x\"><!-- c --><d:A>1<![CDATA[<2]]>&#51;&amp;</d:A>t<b/></d:Feedback>",
        );
        let found = found.unwrap();
        assert_eq!((found[0].name.as_str(), found[0].text.as_str(), found[1].name.as_str()), ("a", "1<23&", "b"));
    }

    #[test]
    fn threat_97_entity_and_depth_bombs_are_refused() {
        let lol =
            "<?xml version=\"1.0\"?><!DOCTYPE feedback [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;\">]><feedback><x>&b;</x></feedback>";
        assert!(why(lol).contains("document type"));
        assert!(why("<feedback><x>&b;</x></feedback>").contains("entity"));
        assert!(why(&format!("<feedback>{}</feedback>", "<x>".repeat(1_000_000))).contains("too deep"));
        assert!(why(&format!("<feedback><r>{}</r></feedback>", "<x/>".repeat(3000))).contains("too many"));
        let long = read(&format!("<feedback><x>{}</x></feedback>", "é".repeat(100_000))).unwrap();
        assert_eq!(long[0].text.len(), TEXT_MAX_BYTES);
    }

    #[test]
    fn truncated_documents_are_broken_and_others_are_not_reports() {
        assert!(why("<feedback><x>").contains("in the middle"));
        assert!(why("<feedback><x></y></feedback>").starts_with("ill-formed"), "{}", why("<feedback><x></y></feedback>"));
        assert!(why("<feedback></feedback><feedback></feedback>").contains("after its end"));
        for other in ["", "hello", "<html><body/></html>", "<html/>", "<"] {
            assert_eq!(read(other), Err(DmarcReadError::Other), "{other}");
        }
    }
}
