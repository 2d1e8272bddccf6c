//! Version 1: a line of text, `PROXY TCP4 192.0.2.1 198.51.100.1 56324 25`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{FromStr, Split};

use super::header::{HeaderFault, HeaderStep};

/// What every line begins with.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// Maximum length of a line with its CRLF, in octets.
const LINE_MAX_BYTES: usize = 107;

/// Returns what a line so far asks for. It is at least as long as the shortest line.
pub(super) fn next_step(line: &[u8]) -> Result<HeaderStep, HeaderFault> {
    let whole = match (line.iter().position(|octet| *octet == b'\n'), line) {
        // Seen at once, however the octets arrive.
        (Some(end), _) if end + 1 < line.len() => return Err(HeaderFault::Invalid("a line end within its line")),
        (_, [whole @ .., b'\r', b'\n']) => whole,
        (Some(_), _) => return Err(HeaderFault::Invalid("its line ends without CR")),
        (None, [_, .., b'\r']) if line.len() < LINE_MAX_BYTES => return Ok(HeaderStep::read(1)),
        // Two are the least that can follow.
        _ if line.len() + 2 <= LINE_MAX_BYTES => return Ok(HeaderStep::read(2)),
        _ => return Err(HeaderFault::TooLong(LINE_MAX_BYTES)),
    };
    let text = std::str::from_utf8(whole).map_err(|_| HeaderFault::Invalid("it is not ASCII"))?;
    client(text).map(HeaderStep::Client)
}

/// Reads a line without its end.
fn client(text: &str) -> Result<Option<SocketAddr>, HeaderFault> {
    if text.contains(['\r', '\n']) {
        return Err(HeaderFault::Invalid("a line end within its line"));
    }
    let mut words = text.split(' ');
    let client = match (words.next(), words.next()) {
        // Whatever else such a line says is to be ignored.
        (Some("PROXY"), Some("UNKNOWN")) => return Ok(None),
        (Some("PROXY"), Some("TCP4")) => client_of::<Ipv4Addr>(&mut words)?,
        (Some("PROXY"), Some("TCP6")) => client_of::<Ipv6Addr>(&mut words)?,
        _ => return Err(HeaderFault::NotTcp),
    };
    match words.next() {
        None => Ok(Some(client)),
        Some(_) => Err(HeaderFault::Invalid("more than two addresses and two ports")),
    }
}

/// Reads the addresses of one family and the ports; returns the first of each.
fn client_of<A: FromStr + Into<IpAddr>>(words: &mut Split<'_, char>) -> Result<SocketAddr, HeaderFault> {
    let mut address = || {
        let parsed = words.next().and_then(|word| word.parse::<A>().ok());
        parsed.map(Into::<IpAddr>::into).ok_or(HeaderFault::Invalid("an address is not one of its family"))
    };
    let (client, _) = (address()?, address()?);
    let mut port = || words.next().and_then(port).ok_or(HeaderFault::Invalid("a port is not a number from 0 to 65535"));
    let (from, _) = (port()?, port()?);
    Ok(SocketAddr::new(client.to_canonical(), from))
}

/// Decimal digits without a sign and without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|octet| octet.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    if is_plain { word.parse().ok() } else { None }
}
