//! A server that sends DMARC reports, which Mail::DMARC and a schema read. RFC 9990.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, fed, python, run_ok, txt, wait_within, zone};

/// Time limit for DMARC reports.
pub const DMARC_REPORT_LIMIT: Duration = Duration::from_secs(60);

/// Parses a mail with a report.
const READER: &str = "
import sys, email, base64, gzip, json
import xml.etree.ElementTree as tree
mail = email.message_from_bytes(base64.b64decode(sys.stdin.read()))
text, file = mail.get_payload()
xml = gzip.decompress(file.get_payload(decode=True)).decode()
print(json.dumps({'fields': {name: ' '.join(value.split()) for name, value in mail.items()}, 'text': text.get_payload(),
    'type': mail.get_content_type(), 'file_type': file.get_content_type(), 'file_name': file.get_filename(),
    'xml': xml, 'dispositions': [one.text for one in tree.fromstring(xml.encode()).iter('{urn:ietf:params:xml:ns:dmarc-2.0}disposition')]}))
";

/// A server that sends DMARC reports. list.test passes SPF from anywhere in the lab; rua.test accepts reports about all domains, victim.test about
/// none.
#[derive(Debug)]
pub struct DmarcReporter {
    /// Our server.
    pub waypost: Waypost,
    /// The host of inbox.test.
    pub inbox: Sink,
    /// The destination of most reports.
    pub rua: Sink,
    /// The lab.
    pub lab: Lab,
    _dns: Dns,
}

/// A DMARC record with rua.
pub fn dmarc_record(name: &str, tags: &str, rua: &str) -> String {
    txt(&format!("_dmarc.{name}"), &format!("v=DMARC1; {tags}; rua={rua}"))
}

/// A message of this author.
pub fn authored(author: &str, subject: &str) -> String {
    format!("From: {author}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@client.test>\r\n\r\nthe body\r\n")
}

impl DmarcReporter {
    /// Starts it. `reports` are options of `[reports]`, `records` more lines of the zone.
    pub fn start(reports: &str, records: &str) -> Self {
        let lab = Lab::new();
        let options = format!(
            "[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n[reports]\nevery = \"4s\"\n{reports}"
        );
        let mut waypost = Waypost::configured(&lab, &options);
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        let records = zone(&lab)
            + &domain(&lab, "rua", 11)
            + &domain(&lab, "victim", 11)
            + "*._report._dmarc.rua TXT \"v=DMARC1\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
            + &waypost.keys("fwd.example.test")
            + records;
        let dns = Dns::start(&lab, &records);
        let (inbox, rua) = (Sink::start(lab.address(2), MX_PORT), Sink::start(lab.address(11), MX_PORT));
        waypost.start();
        Self { waypost, inbox, rua, lab, _dns: dns }
    }

    /// Sends a message to the alias; returns the reply.
    pub fn send(&self, from: &str, message: &str) -> String {
        Talk::greeted(self.waypost.address, MX_PORT).message(from, "me@example.test", message)
    }

    /// Sends through list.test, which is not aligned with any author.
    pub fn send_as(&self, author: &str, want: &str) {
        let reply = self.send("secret.sender@list.test", &authored(author, "hello"));
        assert!(reply.starts_with(want), "{author}: wanted {want}, got {reply}");
    }

    /// The reports about a domain, as Mail::DMARC reads them.
    pub fn reports(&self, about: &str) -> Vec<(Value, Delivered)> {
        let is_about = |mail: &Delivered| mail.text().contains(&format!("\r\nSubject: Report Domain: {about}\r\n"));
        self.rua.messages().into_iter().filter(is_about).map(|mail| (self.read(&mail), mail)).collect()
    }

    /// Parses a report, and checks it against the schema.
    pub fn read(&self, mail: &Delivered) -> Value {
        let mut report: Value = serde_json::from_str(&python(&["-c", READER], &STANDARD.encode(&mail.content))).unwrap();
        let xml = report["xml"].as_str().unwrap().to_owned();
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/it/dmarc-2.0.xsd");
        let file = self.lab.write("report.xml", &xml);
        run_ok("xmllint", &["--noout", "--schema", schema, &file.display().to_string()]);
        assert!(!xml.contains("secret") && !xml.contains("me@example.test") && !xml.contains("boss"), "a local part: {xml}");
        // It looks for element names without a namespace, as in the older format.
        let plain = xml.replacen(" xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"", "", 1);
        report["read"] = serde_json::from_str(&fed("perl", &["tests/lab/mail_dmarc.pl", "read"], &plain)).unwrap();
        report
    }

    /// Messages by result, over all reports about a domain.
    pub fn sums(&self, about: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (report, _) in self.reports(about) {
            // Mail::DMARC does not support disposition "pass", and reads "none".
            let dispositions = report["dispositions"].as_array().unwrap();
            let rows = report["read"]["rows"].as_array().unwrap();
            assert_eq!(rows.len(), dispositions.len());
            for (row, disposition) in rows.iter().zip(dispositions) {
                assert_eq!(row["disposition"].as_str(), disposition.as_str().map(|word| if word == "pass" { "none" } else { word }));
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                let reasons: Vec<&str> = row["reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let key = format!(
                    "{} {} {} dkim={} spf={}",
                    text("source"),
                    text("header_from"),
                    disposition.as_str().unwrap(),
                    text("dkim"),
                    text("spf")
                );
                *sums.entry([&[key.as_str()], &reasons[..]].concat().join(" ")).or_default() += row["count"].as_u64().unwrap();
            }
        }
        sums
    }

    /// Waits until the reports about a domain sum up to this.
    pub fn wait_for_sums(&self, about: &str, want: &[(&str, u64)]) {
        let want: BTreeMap<String, u64> = want.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
        let total: u64 = want.values().sum();
        let mut last = BTreeMap::new();
        let until = || {
            last = self.sums(about);
            (last.values().sum::<u64>() >= total).then_some(())
        };
        wait_within(DMARC_REPORT_LIMIT, &format!("reports about {about} that say {want:?}"), until);
        assert_eq!(last, want, "about {about}");
    }
}
