//! Compresses reports.
//!
//! RFC 8460 s.5.2, RFC 1952. Invariant: deterministic, so that a report sent again is the same report.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Compresses with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn gzip_round_trips() {
        let bytes = b"{\"policies\":[]}".repeat(1000);
        let packed = gzip(&bytes);
        assert!(packed.len() < 500 && packed == gzip(&bytes));
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, bytes);
    }
}
