//! Reports of other servers: DMARC, TLS, and the mail that carries them.
//!
//! RFC 9990, RFC 8460, RFC 1952.

use reports::received::{ReceivedReport, read_message};
use reports::unpack::{UNPACKED_MAX_BYTES, unpack};
use reports::{dmarc, gzip, tls};

use crate::checks::INPUT_MAX_BYTES;

/// A report that is read is written in the newer format, with all its rows, and read as what was written.
pub fn dmarc_reports(data: &[u8]) {
    let Ok(report) = dmarc::read(data) else { return };
    check_dmarc(&report);
}

fn check_dmarc(report: &dmarc::DmarcReport) {
    let once = dmarc::read(&dmarc::write(report)).expect("a written report");
    assert_eq!((&once.report_id, once.rows.len()), (&report.report_id, report.rows.len()));
    let written = dmarc::write(&once);
    assert_eq!(dmarc::read(&written).as_ref(), Ok(&once), "{}", String::from_utf8_lossy(&written));
}

/// A report that is read is written, and read as the same report.
pub fn tls_reports(data: &[u8]) {
    let Ok(report) = tls::from_json(data) else { return };
    check_tls(&report);
}

fn check_tls(report: &tls::TlsReport) {
    let written = report.to_json();
    assert_eq!(tls::from_json(written.as_bytes()).as_ref(), Ok(report), "{written}");
}

/// A message, or an attachment: unpacks within the limit, and what is read is a report or a reason in one line.
pub fn report_messages(data: &[u8]) {
    if let Ok(unpacked) = unpack(data) {
        assert!(unpacked.len() <= UNPACKED_MAX_BYTES);
    }
    match read_message(data) {
        ReceivedReport::Dmarc(report) => check_dmarc(&report),
        ReceivedReport::Tls(report) => check_tls(&report),
        ReceivedReport::Unreadable(why) => crate::checks::assert_one_line(&why),
        ReceivedReport::NotAReport | ReceivedReport::TooLarge => {}
    }
    let plain = &data[..data.len().min(INPUT_MAX_BYTES)];
    assert_eq!(unpack(&gzip(plain)).expect("what we have packed").as_ref(), plain);
}
