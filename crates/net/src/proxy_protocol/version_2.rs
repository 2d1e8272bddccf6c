//! Version 2: a signature, four octets that say what follows, addresses, and further values (TLV).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{HeaderFault, HeaderStep};

/// What every header begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of the signature, version and command, family and protocol, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// Maximum length of a header, in octets. Proxies add a few names and identifiers, and at most a certificate's subject.
const HEADER_MAX_BYTES: usize = 4096;

/// The type of the value that has the CRC-32C of the whole header.
const CHECKSUM_TYPE: u8 = 3;

/// Returns what a header so far asks for.
pub(super) fn next_step(header: &[u8]) -> Result<HeaderStep, HeaderFault> {
    let Some((fixed, rest)) = header.split_at_checked(FIXED_BYTES) else {
        return Ok(HeaderStep::read(FIXED_BYTES - header.len()));
    };
    let [.., version_and_command, family, high, low] = fixed else {
        return Err(HeaderFault::Invalid("it is cut off"));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if FIXED_BYTES + length > HEADER_MAX_BYTES {
        return Err(HeaderFault::TooLong(HEADER_MAX_BYTES));
    }
    let is_proxied = match version_and_command {
        0x20 => false,
        0x21 => true,
        0x22..=0x2f => return Err(HeaderFault::Invalid("its command is not known")),
        _ => return Err(HeaderFault::Invalid("its version is not 2")),
    };
    match length.checked_sub(rest.len()) {
        Some(0) if is_proxied => client(header, *family, rest).map(HeaderStep::Client),
        // The proxy's own check: the rest is to be ignored.
        Some(0) => Ok(HeaderStep::Client(None)),
        Some(missing) => Ok(HeaderStep::read(missing)),
        None => Err(HeaderFault::Invalid("it is longer than it says")),
    }
}

fn client(header: &[u8], family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderFault> {
    let (client, values) = match family {
        // The proxy does not know the client's address.
        0x00 => return Ok(None),
        0x11 => {
            let ([address @ .., _, _, _, _, high, low, _, _], values) = split::<12>(rest)?;
            (SocketAddr::new(Ipv4Addr::from(*address).into(), u16::from_be_bytes([*high, *low])), values)
        }
        0x21 => {
            let (addresses, values) = split::<36>(rest)?;
            let (address, [.., high, low, _, _]) = (addresses.first_chunk::<16>(), addresses);
            let address = address.ok_or(HeaderFault::Invalid("it is cut off"))?;
            (SocketAddr::new(Ipv6Addr::from(*address).to_canonical(), u16::from_be_bytes([*high, *low])), values)
        }
        _ => return Err(HeaderFault::NotTcp),
    };
    check_values(header, values)?;
    Ok(Some(client))
}

fn split<const BYTES: usize>(rest: &[u8]) -> Result<(&[u8; BYTES], &[u8]), HeaderFault> {
    rest.split_first_chunk().ok_or(HeaderFault::Invalid("it is too short for its addresses"))
}

/// Checks that the values fill the rest, and the checksum if one of them is one.
fn check_values(header: &[u8], mut values: &[u8]) -> Result<(), HeaderFault> {
    while !values.is_empty() {
        let cut = HeaderFault::Invalid("a value is longer than the header");
        let ([kind, high, low], rest) = values.split_first_chunk().ok_or(cut)?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).ok_or(cut)?;
        if *kind == CHECKSUM_TYPE {
            let found: [u8; 4] = value.try_into().map_err(|_| HeaderFault::Invalid("its checksum has not four octets"))?;
            let at = header.len() - rest.len() - value.len();
            if crc32c(header, at..at + value.len()) != u32::from_be_bytes(found) {
                return Err(HeaderFault::Checksum);
            }
        }
        values = rest;
    }
    Ok(())
}

/// CRC-32C (Castagnoli), with these octets taken as zeros. A header is small, so no table is worth its code.
fn crc32c(octets: &[u8], zeros: std::ops::Range<usize>) -> u32 {
    let step = |crc: u32, octet: u8| (0..8).fold(crc ^ u32::from(octet), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()));
    let octets = octets.iter().enumerate().map(|(at, octet)| if zeros.contains(&at) { 0 } else { *octet });
    !octets.fold(u32::MAX, step)
}

#[cfg(test)]
mod checksum_tests {
    use super::*;

    #[test]
    fn crc32c_has_its_check_value() {
        assert_eq!(crc32c(b"123456789", 0..0), 0xe306_9283);
        assert_eq!(crc32c(b"12\xff\xff56789", 2..4), crc32c(b"12\0\x0056789", 0..0));
    }
}
