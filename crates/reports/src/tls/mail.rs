//! A TLS report as a mail.
//!
//! RFC 8460 s.5.1 (file name), RFC 8460 s.5.3. Invariant: the same report gives the same attachment.

use mail::Domain;

use super::TlsReport;
use crate::letter::{Attachment, Envelope, Letter, Multipart};

/// The media type of a compressed report, in mail and over HTTPS (RFC 8460 s.5.4).
pub const MEDIA_TYPE: &str = "application/tlsrpt+gzip";

impl TlsReport {
    /// Its file name: sender, policy domain, and period.
    pub fn file_name(&self, submitter: &Domain, domain: &Domain) -> String {
        format!("{submitter}!{domain}!{}!{}.json.gz", self.begin_unix_s, self.end_unix_s)
    }

    /// The mail that carries it; `packed` is its compressed JSON.
    pub fn mail(&self, envelope: Envelope<'_>, packed: &[u8]) -> Vec<u8> {
        let Envelope { submitter, domain, from, to, id, now_unix_s } = envelope;
        let (about, by, id_field) =
            (format!("Report Domain: {domain}"), format!("Submitter: {submitter}"), format!("Report-ID: <{}>", self.id));
        let (successful, failed) =
            self.policies.iter().fold((0, 0), |(all, bad), one| (all + one.summary.successful, bad + one.summary.failed));
        let text = format!(
            "This is a TLS report from {submitter} about the mail hosts of {domain}.\n\n\
             Sessions that met the policy: {successful}\nSessions that did not: {failed}\n\n\
             Details are in the attachment (JSON, RFC 8460). Questions: {}\n",
            mail::one_line(&self.contact)
        );
        let letter = Letter {
            from,
            to,
            subject: &[&about, &by, &id_field],
            fields: &[("TLS-Report-Domain", domain.as_str()), ("TLS-Report-Submitter", submitter.as_str())],
            id,
            now_unix_s,
            multipart: Multipart::Report("tlsrpt"),
            text: &text,
            attachment: Attachment { media_type: MEDIA_TYPE, file_name: &self.file_name(submitter, domain), bytes: packed },
        };
        letter.compose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Mailbox;

    #[test]
    fn the_mail_follows_rfc8460() {
        let report = TlsReport {
            organization: "Example".into(),
            begin_unix_s: 1_013_662_812,
            end_unix_s: 1_013_749_130,
            contact: "x@example.test\r\nBcc: y@example.test".into(),
            id: "735ff.e317@sender.test".into(),
            policies: Vec::new(),
        };
        let (from, to) = (Mailbox::parse("reports@sender.test").unwrap(), Mailbox::parse("tls@far.test").unwrap());
        let (submitter, domain) = (from.domain.clone(), to.domain.clone());
        let mail =
            report.mail(Envelope { submitter: &submitter, domain: &domain, from: &from, to: &to, id: "1", now_unix_s: 0 }, b"packed");
        let text = String::from_utf8(mail).unwrap();
        for want in [
            "Subject: Report Domain: far.test\r\n\tSubmitter: sender.test\r\n\tReport-ID: <735ff.e317@sender.test>\r\n",
            "TLS-Report-Domain: far.test\r\nTLS-Report-Submitter: sender.test\r\n",
            "multipart/report; report-type=\"tlsrpt\";",
            "Content-Type: application/tlsrpt+gzip\r\n",
            "\tfilename=\"sender.test!far.test!1013662812!1013749130.json.gz\"\r\n",
        ] {
            assert!(text.contains(want), "{want} not in\n{text}");
        }
        assert!(!text.contains("\r\nBcc"));
    }
}
