//! The arguments of MAIL, RCPT and BDAT.
//!
//! RFC 5321 s.4.1.1.2, s.4.1.1.3 and s.4.1.2, RFC 1870 s.5, RFC 3030 s.2, RFC 3461 s.4, RFC 4954 s.5, RFC 6531 s.3.4.
//! Invariant: an argument is accepted as a whole or refused; nothing unknown is ignored.

use mail::{Body, ForwardPath, MailParameters, Notify, PathError, Recipient, Reply, Ret, ReversePath, decode_xtext};

use super::replies::bad_argument;
use super::session::Chunk;
use crate::dsn::parse_orcpt;

/// Parses the argument of MAIL.
pub(super) fn parse_mail(argument: &str, extended: bool, has_tls: bool) -> Result<(ReversePath, MailParameters), Reply> {
    let path = after_keyword(argument, "FROM:").ok_or_else(|| bad_argument("syntax: MAIL FROM:<address>"))?;
    let (reverse_path, rest) = match ReversePath::take(path) {
        Ok(taken) => taken,
        Err(PathError::Brackets) => return Err(bad_argument("address must be in angle brackets")),
        Err(PathError::Address(_)) => return Err(bad_sender()),
    };
    let parameters = mail_parameters(rest, extended, has_tls)?;
    check_utf8(path, rest, parameters.smtputf8)?;
    // Such addresses exist only to be expanded by a shell or a configuration language.
    let looks_armed = |local: &str| local.contains("${") || local.contains('`');
    if reverse_path.mailbox().is_some_and(|m| looks_armed(m.local.as_str())) {
        return Err(bad_sender());
    }
    Ok((reverse_path, parameters))
}

/// Parses the argument of RCPT.
pub(super) fn parse_rcpt(argument: &str, extended: bool, smtputf8: bool) -> Result<Recipient, Reply> {
    let path = after_keyword(argument, "TO:").ok_or_else(|| bad_argument("syntax: RCPT TO:<address>"))?;
    let (forward_path, rest) = match ForwardPath::take(path) {
        Ok(taken) => taken,
        Err(PathError::Brackets) => return Err(bad_argument("address must be in angle brackets")),
        Err(PathError::Address(_)) => return Err(Reply::new(553, (5, 1, 3), "invalid address")),
    };
    check_utf8(path, rest, smtputf8)?;
    let mut recipient = Recipient::new(forward_path);
    let mut seen = SeenParameters::default();
    for word in words(rest, extended)? {
        let (keyword, value) = split_word(word);
        match keyword.as_str() {
            "NOTIFY" => {
                seen.once(0)?;
                let notify = value.and_then(Notify::parse);
                recipient.notify = notify.ok_or_else(|| bad_argument("NOTIFY must be NEVER or a list of SUCCESS, FAILURE and DELAY"))?;
            }
            "ORCPT" => {
                seen.once(1)?;
                let orcpt = value.and_then(|v| parse_orcpt(v, smtputf8));
                recipient.orcpt = Some(orcpt.ok_or_else(|| bad_argument("syntax: ORCPT=type;xtext"))?);
            }
            _ => return Err(unknown_parameter()),
        }
    }
    Ok(recipient)
}

/// Parses the argument of BDAT.
pub(super) fn parse_chunk(argument: &str) -> Option<Chunk> {
    let mut words = argument.split(' ').filter(|w| !w.is_empty());
    let size = number(words.next()?)?.ok()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Chunk::new(size, last))
}

fn mail_parameters(rest: &str, extended: bool, has_tls: bool) -> Result<MailParameters, Reply> {
    let mut parameters = MailParameters::default();
    let mut seen = SeenParameters::default();
    for word in words(rest, extended)? {
        let (keyword, value) = split_word(word);
        match keyword.as_str() {
            "SIZE" => {
                seen.once(0)?;
                let size = value.and_then(number).ok_or_else(|| bad_argument("SIZE must be a number"))?;
                parameters.size_bytes = Some(size.unwrap_or(u64::MAX));
            }
            "BODY" => {
                seen.once(1)?;
                parameters.body = body(value)?;
            }
            "SMTPUTF8" => {
                seen.once(2)?;
                if value.is_some() {
                    return Err(bad_argument("SMTPUTF8 takes no value"));
                }
                parameters.smtputf8 = true;
            }
            "RET" => {
                seen.once(3)?;
                parameters.ret = Some(ret(value)?);
            }
            "ENVID" => {
                seen.once(4)?;
                let envid = value.filter(|v| !v.is_empty() && v.len() <= 100).and_then(decode_xtext);
                parameters.envid = Some(envid.ok_or_else(|| bad_argument("ENVID must be xtext of at most 100 octets"))?);
            }
            // We do not act on the identity in AUTH= (RFC 4954 s.5 allows to ignore it).
            "AUTH" => {
                seen.once(5)?;
                value.filter(|v| !v.is_empty()).and_then(decode_xtext).ok_or_else(|| bad_argument("AUTH must be xtext"))?;
            }
            // Offered under TLS only (RFC 8689 s.2).
            "REQUIRETLS" if has_tls => {
                seen.once(6)?;
                if value.is_some() {
                    return Err(bad_argument("REQUIRETLS takes no value"));
                }
                parameters.requiretls = true;
            }
            _ => return Err(unknown_parameter()),
        }
    }
    Ok(parameters)
}

fn body(value: Option<&str>) -> Result<Body, Reply> {
    match value.unwrap_or_default().to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBit),
        "BINARYMIME" => Err(Reply::new(504, (5, 5, 4), "BINARYMIME is not supported")),
        _ => Err(bad_argument("BODY must be 7BIT or 8BITMIME")),
    }
}

fn ret(value: Option<&str>) -> Result<Ret, Reply> {
    match value.unwrap_or_default().to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(bad_argument("RET must be FULL or HDRS")),
    }
}

/// Parses a number of 1 to 20 digits. The inner error is a number above `u64::MAX`.
fn number(text: &str) -> Option<Result<u64, std::num::ParseIntError>> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse())
}

/// Returns what follows the keyword. A space after the colon is wrong, but common and harmless.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches(' '))
}

/// Splits the parameters, which follow a space and require EHLO.
fn words(rest: &str, extended: bool) -> Result<impl Iterator<Item = &str>, Reply> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(bad_argument("missing space after the address"));
    }
    let words = rest.split(' ').filter(|w| !w.is_empty());
    if !extended && words.clone().next().is_some() {
        return Err(unknown_parameter());
    }
    Ok(words)
}

fn split_word(word: &str) -> (String, Option<&str>) {
    let (keyword, value) = word.split_once('=').map_or((word, None), |(k, v)| (k, Some(v)));
    (keyword.to_ascii_uppercase(), value)
}

fn check_utf8(path: &str, rest: &str, smtputf8: bool) -> Result<(), Reply> {
    let address = path.get(..path.len() - rest.len()).unwrap_or_default();
    if smtputf8 || address.is_ascii() { Ok(()) } else { Err(Reply::new(553, (5, 6, 7), "address requires SMTPUTF8")) }
}

fn bad_sender() -> Reply {
    Reply::new(553, (5, 1, 7), "invalid sender address")
}

fn unknown_parameter() -> Reply {
    Reply::new(555, (5, 5, 4), "parameter not recognised")
}

/// The parameters seen so far.
#[derive(Default)]
struct SeenParameters(u8);

impl SeenParameters {
    fn once(&mut self, parameter: u8) -> Result<(), Reply> {
        let bit = 1 << parameter;
        if self.0 & bit != 0 {
            return Err(bad_argument("duplicate parameter"));
        }
        self.0 |= bit;
        Ok(())
    }
}
