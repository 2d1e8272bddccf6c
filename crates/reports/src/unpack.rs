//! Unpacks an attachment: gzip, zip, or plain.
//!
//! RFC 1952 (gzip), RFC 9990 and RFC 8460 s.5.3 (transport). Invariant: unpacks at most [`UNPACKED_MAX_BYTES`], and only the first file of an
//! archive: a bomb costs no more than a report.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

/// Maximum size of an unpacked report, in octets.
pub const UNPACKED_MAX_BYTES: usize = 10 << 20;

/// Initial buffer, in octets.
const FIRST_BYTES: usize = 64 * 1024;

/// Why an attachment cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// Larger than the maximum.
    #[error("it is larger than {} MiB", UNPACKED_MAX_BYTES >> 20)]
    TooLarge,
    /// Damaged.
    #[error("it cannot be unpacked: {0}")]
    Broken(String),
}

/// The packing, by the first octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// A zip archive.
    Zip,
    /// Not packed.
    Plain,
}

impl Packing {
    /// Detects the packing by the first octets; names and media types are often wrong.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            _ => Self::Plain,
        }
    }
}

/// Unpacks.
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, UnpackError> {
    match Packing::of(bytes) {
        Packing::Gzip => bounded(MultiGzDecoder::new(bytes)).map(Cow::Owned),
        Packing::Zip => {
            let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
            let first = archive.by_index(0).map_err(|e| broken(&e))?;
            bounded(first).map(Cow::Owned)
        }
        Packing::Plain if bytes.len() > UNPACKED_MAX_BYTES => Err(UnpackError::TooLarge),
        Packing::Plain => Ok(Cow::Borrowed(bytes)),
    }
}

/// Counts the octets, since a size in a header can be false.
fn bounded(packed: impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut out = Vec::with_capacity(FIRST_BYTES);
    let read = packed.take(UNPACKED_MAX_BYTES as u64 + 1).read_to_end(&mut out);
    match read {
        _ if out.len() > UNPACKED_MAX_BYTES => Err(UnpackError::TooLarge),
        Ok(_) => Ok(out),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &dyn std::fmt::Display) -> UnpackError {
    UnpackError::Broken(mail::one_line_at_most(&error.to_string(), 200))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn each_packing_is_unpacked() {
        assert_eq!(&*unpack(b"<feedback/>").unwrap(), b"<feedback/>");
        assert_eq!(&*unpack(&gzip(b"<feedback/>")).unwrap(), b"<feedback/>");
        assert_eq!(&*unpack(&zipped(&[("a.xml", b"<feedback/>"), ("b", b"other")])).unwrap(), b"<feedback/>");
    }

    #[test]
    fn threat_97_a_bomb_stops_at_the_maximum() {
        let zeros = vec![0; UNPACKED_MAX_BYTES + 1];
        assert_eq!(unpack(&zeros), Err(UnpackError::TooLarge));
        assert_eq!(unpack(&gzip(&zeros)), Err(UnpackError::TooLarge));
        assert_eq!(unpack(&zipped(&[("a", &zeros)])), Err(UnpackError::TooLarge));
        // Consecutive gzip members are one stream, and counted together.
        let many = gzip(&zeros[..UNPACKED_MAX_BYTES / 2]).repeat(3);
        assert_eq!(unpack(&many), Err(UnpackError::TooLarge));
        assert_eq!(unpack(&gzip(&zeros[1..])).unwrap().len(), UNPACKED_MAX_BYTES);
    }

    #[test]
    fn truncated_or_forged_attachments_are_broken() {
        let whole = gzip(&b"<feedback/>".repeat(100));
        assert!(matches!(unpack(&whole[..whole.len() / 2]), Err(UnpackError::Broken(_))));
        assert!(matches!(unpack(b"PK\x03\x04 and no more"), Err(UnpackError::Broken(_))));
        assert!(matches!(unpack(&zipped(&[])), Ok(Cow::Borrowed(_))), "an archive without a file begins otherwise");
        // A central directory with a false number of files.
        let mut liar = zipped(&[("a.xml", b"<feedback/>")]);
        let end = liar.len() - 22;
        liar[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
        let _ = unpack(&liar);
    }
}
