//! A DMARC report as a mail.
//!
//! RFC 9990 (transport: file name, media type, Subject). Invariant: the same report gives the same attachment, of bounded size.

use ::mail::Domain;

use super::{DmarcReport, write};
use crate::letter::{Attachment, Envelope, Letter, Multipart};
use crate::pack::gzip;

/// Maximum size of a compressed report, in octets: many mailboxes refuse mail of more than 10 MiB.
pub const PACKED_MAX_BYTES: usize = 5 << 20;

impl DmarcReport {
    /// The report as compressed XML. Rows that do not fit are left out, those with the fewest messages first, and the report says so.
    pub fn packed(&mut self) -> Vec<u8> {
        self.packed_within(PACKED_MAX_BYTES)
    }

    fn packed_within(&mut self, most_bytes: usize) -> Vec<u8> {
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        loop {
            let packed = gzip(&write(self));
            if packed.len() <= most_bytes || self.rows.len() < 2 {
                return packed;
            }
            let left_out: u64 = self.rows.drain(self.rows.len() / 2..).map(|row| row.count).sum();
            self.messages_left_out += left_out;
            self.errors = vec![format!("the report would be too large: rows with {} messages are left out", self.messages_left_out)];
        }
    }

    /// Its file name: sender, policy domain, and period.
    pub fn file_name(&self, submitter: &Domain) -> String {
        format!("{submitter}!{}!{}!{}.xml.gz", self.policy.domain, self.begin_s, self.end_s)
    }

    /// The mail that carries it; `packed` is its compressed XML.
    pub fn mail(&self, envelope: Envelope<'_>, packed: &[u8]) -> Vec<u8> {
        let Envelope { submitter, domain, from, to, id, now_unix_s } = envelope;
        let (about, by, id_field) =
            (format!("Report Domain: {domain}"), format!("Submitter: {submitter}"), format!("Report-ID: <{}>", self.report_id));
        let (passed, failed) = self.rows.iter().fold((0, 0), |(passed, failed), row| match row.dkim_aligned || row.spf_aligned {
            true => (passed + row.count, failed),
            false => (passed, failed + row.count),
        });
        let text = format!(
            "This is a DMARC aggregate report from {submitter} about mail with {domain} in its From field.\n\n\
             Messages that passed: {passed}\nMessages that did not: {failed}\n\n\
             Details are in the attachment (XML, RFC 9990). Questions: {}\n",
            mail::one_line(&self.contact)
        );
        let letter = Letter {
            from,
            to,
            subject: &[&about, &by, &id_field],
            fields: &[],
            id,
            now_unix_s,
            multipart: Multipart::Mixed,
            text: &text,
            attachment: Attachment { media_type: "application/gzip", file_name: &self.file_name(submitter), bytes: packed },
        };
        letter.compose()
    }
}

#[cfg(test)]
mod tests {
    use ::mail::Mailbox;

    use super::super::read;
    use super::super::samples::GOOGLE;
    use super::*;

    #[test]
    fn the_mail_follows_rfc9990() {
        let mut report = read(GOOGLE.as_bytes()).unwrap();
        (report.report_id, report.begin_s, report.end_s) = ("1.2.far.test@sender.test".into(), 1, 2);
        report.policy.domain = "far.test".into();
        let packed = report.packed();
        let (from, to) = (Mailbox::parse("postmaster@sender.test").unwrap(), Mailbox::parse("dmarc@far.test").unwrap());
        let (submitter, domain) = (from.domain.clone(), to.domain.clone());
        let mail = report.mail(Envelope { submitter: &submitter, domain: &domain, from: &from, to: &to, id: "1", now_unix_s: 0 }, &packed);
        let text = String::from_utf8(mail).unwrap();
        for want in [
            "Subject: Report Domain: far.test\r\n\tSubmitter: sender.test\r\n\tReport-ID: <1.2.far.test@sender.test>\r\n",
            "Content-Type: multipart/mixed;",
            "Content-Type: application/gzip\r\n",
            "\tfilename=\"sender.test!far.test!1!2.xml.gz\"\r\n",
        ] {
            assert!(text.contains(want), "{want} not in\n{text}");
        }
    }

    #[test]
    fn a_report_that_is_too_large_drops_its_smallest_rows_and_says_so() {
        let mut report = read(GOOGLE.as_bytes()).unwrap();
        let row = report.rows.remove(0);
        report.rows = (1..=100).map(|n| super::super::Row { count: n, header_from: format!("{n}.far.test"), ..row.clone() }).collect();
        let most_bytes = report.clone().packed().len() - 1;
        let packed = report.packed_within(most_bytes);
        assert!(packed.len() <= most_bytes);
        assert_eq!((report.rows.len(), report.rows.last().unwrap().count), (50, 51));
        assert_eq!(report.errors, ["the report would be too large: rows with 1275 messages are left out"]);
    }
}
