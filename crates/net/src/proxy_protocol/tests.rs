//! Headers as haproxy sends them, damaged ones, and connections that bring them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::version_2::SIGNATURE;
use super::*;

/// Reads a header octet by octet as a socket may bring them, never more than it asks for.
fn read(octets: &[u8]) -> Result<(HeaderStep, usize), HeaderFault> {
    let mut taken = 0;
    loop {
        match next_step(&octets[..taken])? {
            HeaderStep::Read(_) if taken < octets.len() => taken += 1,
            step => return Ok((step, taken)),
        }
    }
}

/// The client that a complete header names.
fn client(octets: &[u8]) -> Result<Option<SocketAddr>, HeaderFault> {
    match read(octets)? {
        (HeaderStep::Client(client), taken) => {
            assert_eq!(taken, octets.len(), "octets of the client were read");
            Ok(client)
        }
        (HeaderStep::Read(more), _) => panic!("{more} octets are missing"),
    }
}

/// A header of version 2 with this command, family and rest.
fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

const TCP4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 0, 25];

fn at(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn lines_of_version_1_name_the_client() {
    for (line, want) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n", at("192.0.2.7:56324")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", at("255.255.255.255:65535")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n", at("1.1.1.1:0")),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 5 25\r\n", at("[2001:db8::7]:5")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 5 25\r\n", at("192.0.2.7:5")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    ] {
        assert_eq!(client(line.as_bytes()), Ok(want), "{line}");
    }
    // The longest line that the protocol allows.
    let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {address} {address} 65535 65535\r\n");
    assert_eq!((longest.len(), client(longest.as_bytes())), (107, Ok(None)));
}

#[test]
fn wrong_lines_of_version_1_are_refused() {
    let address = HeaderFault::Invalid("an address is not one of its family");
    let port = HeaderFault::Invalid("a port is not a number from 0 to 65535");
    for (line, why) in [
        ("EHLO client.example\r\n", HeaderFault::Missing),
        ("PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n", HeaderFault::Missing),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", HeaderFault::Missing),
        ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", HeaderFault::NotTcp),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", HeaderFault::NotTcp),
        ("PROXY TCP4 2001:db8::7 2001:db8::1 5 25\r\n", address),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", address),
        ("PROXY TCP4 1.1.1.1 2.2.2 1 2\r\n", address),
        ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", address),
        ("PROXY TCP4 1.1.1.1\r\n", address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", port),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", port),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", port),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", port),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", port),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", HeaderFault::Invalid("more than two addresses and two ports")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", HeaderFault::Invalid("more than two addresses and two ports")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", HeaderFault::Invalid("its line ends without CR")),
        ("PROXY UNKNOWN 1\r2\r\n", HeaderFault::Invalid("a line end within its line")),
    ] {
        assert_eq!(read(line.as_bytes()), Err(why), "{line:?}");
    }
    assert_eq!(read(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat()), Err(HeaderFault::TooLong(107)));
    assert_eq!(read(b"PROXY UNKNOWN \xff\xfe\r\n"), Err(HeaderFault::Invalid("it is not ASCII")));
    let early = next_step(b"PROXY TCP4 1.1.1.1\n 2");
    assert_eq!(early, Err(HeaderFault::Invalid("a line end within its line")), "also where more follows");
}

#[test]
fn headers_of_version_2_name_the_client() {
    let tcp6: Vec<u8> = [[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [0; 16]].concat();
    let tcp6 = [tcp6.as_slice(), &[0xdc, 0x04, 0, 25]].concat();
    let authority = [TCP4, &[0x02, 0, 4], b"mail"].concat();
    for (header, want) in [
        (version_2(0x21, 0x11, TCP4), at("192.0.2.7:56324")),
        (version_2(0x21, 0x21, &tcp6), at("[2001:db8::7]:56324")),
        (version_2(0x21, 0x11, &authority), at("192.0.2.7:56324")),
        (version_2(0x21, 0x11, &[TCP4, &[4, 0, 0]].concat()), at("192.0.2.7:56324")),
        (version_2(0x20, 0x00, &[]), None),
        (version_2(0x20, 0x11, TCP4), None),
        (version_2(0x20, 0xff, b"whatever"), None),
        (version_2(0x21, 0x00, &[]), None),
        (version_2(0x21, 0x00, b"to be ignored"), None),
    ] {
        assert_eq!(client(&header), Ok(want), "{header:x?}");
    }
}

#[test]
fn wrong_headers_of_version_2_are_refused() {
    let cut = HeaderFault::Invalid("a value is longer than the header");
    for (header, why) in [
        (version_2(0x11, 0x11, TCP4), HeaderFault::Invalid("its version is not 2")),
        (version_2(0x22, 0x11, TCP4), HeaderFault::Invalid("its command is not known")),
        (version_2(0x21, 0x12, TCP4), HeaderFault::NotTcp),
        (version_2(0x21, 0x31, &[0; 216]), HeaderFault::NotTcp),
        (version_2(0x21, 0x41, &[0; 216]), HeaderFault::NotTcp),
        (version_2(0x21, 0x11, &TCP4[..11]), HeaderFault::Invalid("it is too short for its addresses")),
        (version_2(0x21, 0x21, TCP4), HeaderFault::Invalid("it is too short for its addresses")),
        (version_2(0x21, 0x11, &[TCP4, &[2, 0]].concat()), cut),
        (version_2(0x21, 0x11, &[TCP4, &[2, 0, 5], b"mail"].concat()), cut),
        (version_2(0x21, 0x11, &[TCP4, &[3, 0, 3, 0, 0, 0]].concat()), HeaderFault::Invalid("its checksum has not four octets")),
        (version_2(0x21, 0x11, &[0; 4081]), HeaderFault::TooLong(4096)),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), HeaderFault::Missing),
    ] {
        assert_eq!(read(&header), Err(why), "{header:x?}");
    }
}

#[test]
fn a_checksum_is_checked_where_there_is_one() {
    // As haproxy's send-proxy-v2 with proxy-v2-options crc32c sends it.
    let mut header = version_2(0x21, 0x11, &[TCP4, &[3, 0, 4, 0, 0, 0, 0], &[2, 0, 2], b"mx"].concat());
    let at_checksum = header.len() - 9;
    let sum = crc(&header).to_be_bytes();
    header[at_checksum..at_checksum + 4].copy_from_slice(&sum);
    assert_eq!(client(&header), Ok(at("192.0.2.7:56324")));
    for damaged in [16, at_checksum, header.len() - 1] {
        let mut other = header.clone();
        other[damaged] ^= 1;
        assert_eq!(read(&other), Err(HeaderFault::Checksum), "octet {damaged}");
    }
}

/// CRC-32C by another way than the code under test: a table of remainders.
fn crc(octets: &[u8]) -> u32 {
    let row = |n: u32| (0..8).fold(n, |crc, _| if crc & 1 == 1 { 0x82f6_3b78 ^ (crc >> 1) } else { crc >> 1 });
    let table: Vec<u32> = (0..256).map(row).collect();
    !octets.iter().fold(!0, |crc, octet| table[usize::from(crc.to_le_bytes()[0] ^ octet)] ^ (crc >> 8))
}

#[tokio::test]
async fn only_the_header_of_a_named_proxy_is_read() {
    let proxies = TrustedProxies::new(["10.1.0.0/16".parse().unwrap()]);
    let proxy: SocketAddr = "10.1.2.3:4000".parse().unwrap();
    let stranger: SocketAddr = "10.2.2.3:4000".parse().unwrap();
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n";

    let (mut ours, mut theirs) = tokio::io::duplex(1000);
    theirs.write_all(&[header.as_slice(), b"EHLO x\r\n"].concat()).await.unwrap();
    assert_eq!(proxies.client_of(&mut ours, proxy).await.unwrap(), "192.0.2.7:56324".parse().unwrap());
    let mut next = [0; 8];
    ours.read_exact(&mut next).await.unwrap();
    assert_eq!(&next, b"EHLO x\r\n", "what follows is the client's");

    theirs.write_all(header).await.unwrap();
    assert_eq!(proxies.client_of(&mut ours, stranger).await.unwrap(), stranger);
    let mut spoofed = [0; 5];
    ours.read_exact(&mut spoofed).await.unwrap();
    assert_eq!(&spoofed, b"PROXY", "a stranger's header is left to the protocol");
}

#[tokio::test]
async fn a_proxy_without_a_header_is_turned_away_in_time() {
    let proxies = TrustedProxies::new(["10.1.2.3".parse().unwrap()]);
    let proxy: SocketAddr = "10.1.2.3:4000".parse().unwrap();
    let (mut silent, _theirs) = tokio::io::duplex(1000);
    let (mut slow, mut theirs) = tokio::io::duplex(1000);
    theirs.write_all(b"PROXY TCP4 1").await.unwrap();
    let late = tokio::join!(proxies.client_of(&mut silent, proxy), proxies.client_of(&mut slow, proxy));
    assert!(matches!(late, (Err(ProxyError::Late), Err(ProxyError::Late))), "{late:?}");
    let (mut ours, mut theirs) = tokio::io::duplex(1000);
    theirs.write_all(b"PROXY TCP4 1").await.unwrap();
    drop(theirs);
    assert!(matches!(proxies.client_of(&mut ours, proxy).await, Err(ProxyError::Broken(_))));
    let (mut ours, theirs) = tokio::io::duplex(1000);
    drop(theirs);
    assert!(matches!(proxies.client_of(&mut ours, proxy).await, Err(ProxyError::Closed)));
}
