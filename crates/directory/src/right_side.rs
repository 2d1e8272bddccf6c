//! The right side of a line of virtual(5): a list of addresses, as Postfix reads it.
//!
//! Postfix virtual(5), trivial-rewrite(8); RFC 5322 s.3.4 and s.4.4. Invariant: a target is an address that Postfix would deliver to;
//! everything else is a fault with its text, and affects no other target.

use mail::{Domain, Mailbox};

use crate::alias::Target;
use crate::extension::local_part;

/// The targets of a right side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RightSide {
    /// The addresses, in their order.
    pub targets: Vec<Target>,
    /// The faults, with their texts.
    pub faults: Vec<String>,
}

/// Parses a right side. `origin` completes an address without a domain, as Postfix's `myorigin`.
pub(crate) fn read(text: &str, origin: Option<&Domain>) -> RightSide {
    let (tokens, fault) = tokens(text);
    let mut reader = RightSideReader { text, origin, out: RightSide::default(), pending: Vec::new() };
    reader.list(&tokens);
    reader.out.faults.extend(fault);
    reader.out
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An atom, or a quoted string or domain literal without its delimiters.
    Word {
        plain: String,
        is_quoted: bool,
    },
    At,
    Comma,
    Semicolon,
    Colon,
    Open,
    Close,
}

/// A token and its position in the text.
#[derive(Debug, Clone)]
struct Placed {
    token: Token,
    start: usize,
    end: usize,
}

/// Characters that end an atom.
const SPECIALS: &str = ",;:<>@()\"[";

/// Splits a right side into tokens; the fault is an unclosed or misplaced part.
fn tokens(text: &str) -> (Vec<Placed>, Option<String>) {
    let mut tokens: Vec<Placed> = Vec::new();
    let mut chars = text.char_indices().peekable();
    let rest = |start: usize| text.get(start..).unwrap_or_default();
    while let Some((start, c)) = chars.next() {
        let token = match c {
            ',' => Token::Comma,
            ';' => Token::Semicolon,
            ':' => Token::Colon,
            '<' => Token::Open,
            '>' => Token::Close,
            '@' => Token::At,
            c if c.is_ascii_whitespace() => continue,
            '(' => match skip_comment(&mut chars) {
                true => continue,
                false => return (tokens, Some(format!("a comment is not closed: `{}`", rest(start)))),
            },
            '"' => match quoted(&mut chars, '"') {
                Some(plain) => Token::Word { plain, is_quoted: true },
                None => return (tokens, Some(format!("a quote is not closed: `{}`", rest(start)))),
            },
            '[' => match quoted(&mut chars, ']') {
                Some(literal) => Token::Word { plain: format!("[{literal}]"), is_quoted: true },
                None => return (tokens, Some(format!("a bracket is not closed: `{}`", rest(start)))),
            },
            first => {
                let plain = atom(first, &mut chars);
                if first == '#' && chars.peek().is_none_or(|(_, next)| *next != '@') {
                    return (tokens, Some(format!("`{}`: virtual(5) has no comments after a value", rest(start))));
                }
                Token::Word { plain, is_quoted: false }
            }
        };
        let end = chars.peek().map_or(text.len(), |(next, _)| *next);
        tokens.push(Placed { token, start, end });
    }
    (tokens, None)
}

type Chars<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

fn atom(first: char, chars: &mut Chars<'_>) -> String {
    let mut plain = String::new();
    let mut next = Some(first);
    while let Some(c) = next {
        match c {
            '\\' => plain.extend(chars.next().map(|(_, c)| c)),
            c => plain.push(c),
        }
        next = chars.next_if(|(_, c)| !c.is_ascii_whitespace() && !SPECIALS.contains(*c)).map(|(_, c)| c);
    }
    plain
}

/// Returns the text up to `end`, without escapes.
fn quoted(chars: &mut Chars<'_>, end: char) -> Option<String> {
    let mut plain = String::new();
    loop {
        match chars.next()?.1 {
            '\\' => plain.push(chars.next()?.1),
            c if c == end => return Some(plain),
            c => plain.push(c),
        }
    }
}

/// Skips a comment. Returns whether it ends. Comments nest (RFC 5322 s.3.2.2).
fn skip_comment(chars: &mut Chars<'_>) -> bool {
    let mut depth = 1;
    while depth > 0 {
        match chars.next() {
            Some((_, '\\')) => drop(chars.next()),
            Some((_, '(')) => depth += 1,
            Some((_, ')')) => depth -= 1,
            Some(_) => {}
            None => return false,
        }
    }
    true
}

struct RightSideReader<'a> {
    text: &'a str,
    origin: Option<&'a Domain>,
    out: RightSide,
    /// The tokens since the end of the last address.
    pending: Vec<Placed>,
}

impl RightSideReader<'_> {
    fn list(&mut self, tokens: &[Placed]) {
        let mut in_group = false;
        let mut left = tokens.iter();
        while let Some(placed) = left.next() {
            match placed.token {
                Token::Comma => self.flush(),
                Token::Semicolon => {
                    self.flush();
                    in_group = false;
                }
                // The name of a group (RFC 5322 s.3.4); without an end Postfix takes it for a part of the address.
                Token::Colon if !in_group && self.is_phrase() && left.clone().any(|later| later.token == Token::Semicolon) => {
                    self.pending.clear();
                    in_group = true;
                }
                Token::Open => {
                    // The tokens before it are a display name.
                    self.pending.clear();
                    let inner: Vec<Placed> = left.clone().take_while(|later| later.token != Token::Close).cloned().collect();
                    let is_closed = left.nth(inner.len()).is_some();
                    self.bracketed(placed, inner, is_closed);
                }
                Token::Close => {}
                Token::Word { .. } | Token::At | Token::Colon => self.pending.push(placed.clone()),
            }
        }
        self.flush();
    }

    fn is_phrase(&self) -> bool {
        !self.pending.is_empty() && self.pending.iter().all(|placed| matches!(placed.token, Token::Word { .. }))
    }

    /// Reads an address in angle brackets; ignores a source route (RFC 5322 s.4.4).
    fn bracketed(&mut self, open: &Placed, inner: Vec<Placed>, is_closed: bool) {
        let end = inner.last().map_or(open.end, |last| last.end);
        let raw = self.text.get(open.start..end).unwrap_or_default();
        if !is_closed {
            return self.out.faults.push(format!("`{raw}`: the angle bracket is not closed"));
        }
        if inner.is_empty() {
            return self.out.faults.push("`<>` has no address".into());
        }
        let route = inner.iter().rposition(|placed| placed.token == Token::Colon).map_or(0, |colon| colon + 1);
        self.pending = inner.into_iter().skip(route).collect();
        self.flush();
    }

    /// Turns the pending tokens into addresses: there may be several without a comma between them.
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let raw = |from: &Placed| {
            let end = pending.last().map_or(from.end, |last| last.end);
            self.text.get(from.start..end).unwrap_or_default().trim_end().to_owned()
        };
        if let Some(first) = pending.first().filter(|_| pending.iter().any(|placed| placed.token == Token::Colon)) {
            let fault = format!("`{}` is not an address: it contains a colon", raw(first));
            return self.out.faults.push(fault);
        }
        let mut left = pending.iter().peekable();
        while let Some(placed) = left.next() {
            let is_at = |next: &&Placed| next.token == Token::At;
            let read = match (&placed.token, left.next_if(is_at).is_some()) {
                (Token::At, false) => word(left.next()).ok_or(()).and_then(|(name, _)| domain(name).map(Target::Domain).ok_or(())),
                (Token::Word { plain, .. }, true) => {
                    let name = word(left.next()).filter(|_| left.peek().is_none_or(|next| next.token != Token::At));
                    name.and_then(|(name, _)| address(plain, name)).ok_or(())
                }
                (Token::Word { plain, is_quoted }, false) => match bare(plain, *is_quoted, self.origin) {
                    Ok(target) => Ok(target),
                    Err(why) => {
                        self.out.faults.push(format!("the target `{plain}` {why}"));
                        continue;
                    }
                },
                _ => Err(()),
            };
            match read {
                Ok(target) => self.out.targets.push(target),
                Err(()) => {
                    let fault = format!("the target `{}` is not an address", raw(placed));
                    return self.out.faults.push(fault);
                }
            }
        }
    }
}

fn word(placed: Option<&Placed>) -> Option<(&str, bool)> {
    match &placed?.token {
        Token::Word { plain, is_quoted } => Some((plain, *is_quoted)),
        _ => None,
    }
}

/// Parses a domain; ignores a dot at its end.
fn domain(name: &str) -> Option<Domain> {
    Domain::parse(name.strip_suffix('.').unwrap_or(name)).ok()
}

fn address(local: &str, name: &str) -> Option<Target> {
    Some(Target::Address(Mailbox { local: local_part(local)?, domain: domain(name)? }))
}

/// Reads an address without `@`: `site!user`, `user%site`, or a name of the origin, as Postfix by default.
fn bare(plain: &str, is_quoted: bool, origin: Option<&Domain>) -> Result<Target, String> {
    let no_address = || "is not an address".to_owned();
    if !is_quoted && plain.starts_with(['|', '/']) {
        return Err("is a command or a file, which only Postfix's aliases(5) allows".into());
    }
    if let Some((site, user)) = plain.split_once('!').filter(|_| !is_quoted) {
        return address(user, site).ok_or_else(no_address);
    }
    if let Some((user, site)) = plain.rsplit_once('%').filter(|_| !is_quoted) {
        return address(user, site).ok_or_else(no_address);
    }
    match (origin, local_part(plain)) {
        (_, None) => Err(no_address()),
        (Some(origin), Some(local)) => Ok(Target::Address(Mailbox { local, domain: origin.clone() })),
        (None, Some(_)) => Err("has no @domain: Postfix appends its $myorigin; set that with --origin or virtual_origin".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (String, usize) {
        let origin = Domain::parse("origin.test").unwrap();
        let side = read(text, Some(&origin));
        let targets: Vec<String> = side.targets.iter().map(Target::to_string).collect();
        (targets.join(" "), side.faults.len())
    }

    /// Each is where Postfix 3.7 delivered, with `myorigin = origin.test`.
    #[test]
    fn addresses_are_those_that_postfix_delivers_to() {
        for (text, want) in [
            ("\"Joe Doe\" <nm@c.test>", "nm@c.test"),
            ("\"Doe, Joe\" <nm@c.test>, Ann <b@c.test>", "nm@c.test b@c.test"),
            ("Joe Q. Doe <nm@c.test>", "nm@c.test"),
            ("Joe (the \"man\") Doe <nm@c.test> (x)", "nm@c.test"),
            ("\"Joe <x@d.test>\" <nm@c.test>", "nm@c.test"),
            ("nm@c.test <x@c.test>", "x@c.test"),
            ("<a@c.test> <b@c.test>", "a@c.test b@c.test"),
            ("<@r.test:nm@c.test>", "nm@c.test"),
            ("nm@c.test (comment)", "nm@c.test"),
            ("(comment) nm@c.test", "nm@c.test"),
            ("a@c.test (x, y@z.test) b@c.test", "a@c.test b@c.test"),
            ("a(x)@c.test", "a@c.test"),
            ("a(b)c@c.test", "a@origin.test c@c.test"),
            ("a @ c.test", "a@c.test"),
            ("a@c.test; b@c.test", "a@c.test b@c.test"),
            ("group: a@c.test, b@c.test;", "a@c.test b@c.test"),
            ("group:a@c.test,b@c.test;, c@c.test", "a@c.test b@c.test c@c.test"),
            ("undisclosed: ;, b@c.test", "b@c.test"),
            ("bare", "bare@origin.test"),
            ("<bare>", "bare@origin.test"),
            ("\"Bare Phrase\"", "\"Bare Phrase\"@origin.test"),
            ("two words@c.test", "two@origin.test words@c.test"),
            ("u%c.test", "u@c.test"),
            ("u%d.test@c.test", "u%d.test@c.test"),
            ("c.test!u", "u@c.test"),
            ("a@c.test b@c.test,,c@c.test , ", "a@c.test b@c.test c@c.test"),
            ("a..b@c.test a.@c.test", "\"a..b\"@c.test \"a.\"@c.test"),
            ("\"two words\"@c.test, <\"a b\"@c.test>", "\"two words\"@c.test \"a b\"@c.test"),
            ("\"quoted; semi\"@c.test", "\"quoted; semi\"@c.test"),
            ("\\a@c.test a\\,b@c.test", "a@c.test \"a,b\"@c.test"),
            ("a@c.test. a@\"c.test\"", "a@c.test a@c.test"),
            ("a@[192.0.2.1] a@[IPv6:2001:db8::1]", "a@[192.0.2.1] a@[IPv6:2001:db8::1]"),
            ("a@c.test>", "a@c.test"),
            ("@c.test", "@c.test"),
            ("#foo@c.test", "#foo@c.test"),
        ] {
            assert_eq!(shown(text), (want.to_owned(), 0), "{text}");
        }
    }

    /// Postfix defers these, bounces them, or delivers them to an unintended address.
    #[test]
    fn an_invalid_address_is_a_fault_and_affects_no_other_target() {
        for (text, want) in [
            ("good@c.test, bad@", "good@c.test"),
            ("good@c.test, a@c..test", "good@c.test"),
            ("good@c.test # comment, other@c.test", "good@c.test"),
            ("good@c.test, \"open@c.test", "good@c.test"),
            ("good@c.test (open", "good@c.test"),
            ("good@c.test, <open@c.test", "good@c.test"),
            ("good@c.test <>", ""),
            ("good@c.test, <>", "good@c.test"),
            ("good@c.test, mailto:a@c.test", "good@c.test"),
            ("good@c.test, group: a@c.test", "good@c.test"),
            ("good@c.test, a@b@c.test", "good@c.test"),
            ("good@c.test, \"\"@c.test", "good@c.test"),
            (":include:/etc/passwd", ""),
            ("|/bin/sh", ""),
            ("/var/mail/x", ""),
        ] {
            assert_eq!(shown(text), (want.to_owned(), 1), "{text}");
        }
        for nothing in ["", ",", "undisclosed:;", "(comment)"] {
            assert_eq!(shown(nothing), (String::new(), 0), "{nothing}");
        }
    }

    #[test]
    fn without_an_origin_a_bare_name_is_a_fault() {
        let side = read("root, a@c.test", None);
        assert_eq!((side.targets.len(), side.faults.len()), (1, 1));
        assert!(side.faults[0].contains("`root`") && side.faults[0].contains("virtual_origin"), "{:?}", side.faults);
    }
}
