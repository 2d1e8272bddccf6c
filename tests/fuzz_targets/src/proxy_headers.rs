//! Headers of the PROXY protocol, which come before anything else of a connection.

use net::{HeaderStep, next_step};

/// The longest header of either version, in octets.
const HEADER_MAX_BYTES: usize = 4096;

/// Reads a header with reads of at most this size. Returns how many octets it took, and what came of it.
fn read(octets: &[u8], chunk: usize) -> (usize, Result<HeaderStep, String>) {
    let mut taken = 0;
    loop {
        let step = match next_step(&octets[..taken]) {
            Ok(step) => step,
            Err(fault) => return (taken, Err(fault.to_string())),
        };
        let HeaderStep::Read(missing) = step else { return (taken, Ok(step)) };
        let missing = usize::try_from(missing).expect("a small number");
        assert!(missing > 0 && taken + missing <= HEADER_MAX_BYTES, "{missing} octets after {taken}");
        let there = octets.len() - taken;
        if there == 0 {
            return (taken, Ok(step));
        }
        taken += missing.min(chunk).min(there);
    }
}

/// A header means the same however it arrives, it is never read beyond its end, and what is asked for is bounded.
pub fn proxy_headers(data: &[u8]) {
    let (taken, whole) = read(data, usize::MAX);
    for chunk in [1, 2, 7] {
        let (in_pieces, result) = read(data, chunk);
        match (&whole, &result) {
            // A fault is seen as early as the octets allow.
            (Err(_), Err(_)) => assert!(in_pieces <= taken, "{in_pieces} after {taken}"),
            _ => assert_eq!((taken, &whole), (in_pieces, &result)),
        }
    }
    if let Ok(HeaderStep::Client(client)) = whole {
        let (header, rest) = data.split_at(taken);
        assert!(header.ends_with(b"\r\n") || header.starts_with(b"\r\n\r\n\0\r\nQUIT\n"), "{header:x?}");
        // What follows is the client's, whatever it is.
        assert_eq!(read(&[header, b"EHLO client.example\r\n"].concat(), usize::MAX), (taken, Ok(HeaderStep::Client(client))));
        assert_eq!(taken + rest.len(), data.len());
        assert!(client.is_none_or(|client| client.ip() == client.ip().to_canonical()), "{client:?}");
    }
}
