//! A server that sends TLS reports, and the readers of these reports. RFC 8460.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{DNS_PORT, Delivered, Dns, Lab, Sink, Unbound, Waypost, content, python, txt, wait_within};

/// Time limit for TLS reports.
const REPORT_LIMIT: Duration = Duration::from_secs(40);

/// Waits for something that comes with a report.
pub fn wait_for_report<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    wait_within(REPORT_LIMIT, what, done)
}

const READER: &str = "
import sys, email, base64, gzip, json
bytes = base64.b64decode(sys.stdin.read())
if bytes[:2] == b'\\x1f\\x8b':
    print(json.dumps({'report': json.loads(gzip.decompress(bytes))}))
else:
    mail = email.message_from_bytes(bytes)
    text, file = mail.get_payload()
    print(json.dumps({'fields': {name: ' '.join(value.split()) for name, value in mail.items()}, 'text': text.get_payload(),
        'type': mail.get_content_type(), 'report_type': mail.get_param('report-type'), 'file_type': file.get_content_type(), 'file_name': file.get_filename(),
        'report': json.loads(gzip.decompress(file.get_payload(decode=True)))}))
";

/// Parses a mail, or a compressed report, with Python's modules.
pub fn parse_tls_report(bytes: &[u8]) -> Value {
    serde_json::from_str(&python(&["-c", READER], &STANDARD.encode(bytes))).unwrap()
}

/// A server that sends TLS reports, with a validating resolver.
#[derive(Debug)]
pub struct TlsReporter {
    _dns: Dns,
    _unbound: Unbound,
    /// Our server.
    pub waypost: Waypost,
    password: String,
}

impl TlsReporter {
    /// Starts it. `reports` are options of `[reports]`.
    pub fn start(lab: &Lab, records: &str, reports: &str) -> Self {
        Self::with_zones(lab, records, reports, &[])
    }

    /// The same with more zones.
    pub fn with_zones(lab: &Lab, records: &str, reports: &str, zones: &[(&str, &str)]) -> Self {
        // A second attempt would be counted in the reports too, so none comes while a test waits for exact sums.
        let options = format!(
            "[retry]\nwaits_s = [3600]\n[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n[delivery]\nloopback = true\nhost_pause_s = 1\nidle_timeout_s = 0\n\
             [tls]\nextra_authorities = \"authority.pem\"\n[dns]\nservers = [\"{}:{}\"]\nvalidate = \"upstream\"\n[reports]\nevery = \"3s\"\n{reports}",
            lab.address(54),
            DNS_PORT
        );
        let mut waypost = Waypost::configured(lab, &options);
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "me@inbox.test"]);
        let records = format!("example MX 10 mx.example\nmx.example A {}\n{records}{}", lab.address(1), waypost.keys("fwd.example.test"));
        let dns = Dns::with_zones(lab, &records, zones);
        let unbound = Unbound::start(lab, &dns);
        waypost.start();
        let password = waypost.account("me@example.test");
        Self { _dns: dns, _unbound: unbound, waypost, password }
    }

    /// Sends a message to this address.
    pub fn send(&self, to: &str) {
        self.waypost.logged_in("me@example.test", &self.password).taken("me@example.test", to, &content(&format!("to {to}.")));
    }

    /// Waits for a log line about a report, however busy the machine is.
    pub fn says(&self, parts: &[&str]) {
        let said = || self.waypost.log().lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(());
        wait_for_report(&format!("a line of the log with {parts:?}"), said);
    }

    /// Waits for the log line about a recipient: `word` is delivered, deferred or failed.
    pub fn fate(&self, word: &str, to: &str) {
        self.waypost.wait_for_line(&[&format!(": {word} id="), &format!("to={to}")]);
    }
}

/// The TLSRPT record of a domain.
pub fn tlsrpt(name: &str, rua: &str) -> String {
    txt(&format!("_smtp._tls.{name}"), &format!("v=TLSRPTv1; rua={rua}"))
}

/// Whether a message is the TLS report about a domain.
pub fn is_tls_report(message: &Delivered, about: &str) -> bool {
    message.text().contains(&format!("\r\nTLS-Report-Domain: {about}\r\n"))
}

/// The TLS reports about a domain.
pub fn tls_reports(sink: &Sink, about: &str) -> Vec<Value> {
    sink.messages().iter().filter(|message| is_tls_report(message, about)).map(|message| parse_tls_report(&message.content)).collect()
}

/// Sessions by policy and result, over all reports; "success" for those without a failure.
pub fn tls_sums<'a>(reports: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for policy in reports.into_iter().flat_map(|report| report["report"]["policies"].as_array().unwrap()) {
        let kind = policy["policy"]["policy-type"].as_str().unwrap();
        let mut add = |result: &str, count: &Value| *sums.entry(format!("{kind} {result}")).or_default() += count.as_u64().unwrap();
        let successful = &policy["summary"]["total-successful-session-count"];
        if successful != 0 {
            add("success", successful);
        }
        let failures = policy["failure-details"].as_array().cloned().unwrap_or_default();
        for failure in &failures {
            add(failure["result-type"].as_str().unwrap(), &failure["failed-session-count"]);
        }
        let failed: u64 = failures.iter().map(|failure| failure["failed-session-count"].as_u64().unwrap()).sum();
        assert_eq!(policy["summary"]["total-failure-session-count"], failed, "{policy}");
    }
    sums
}

/// Waits until the reports about a domain sum up to this.
pub fn wait_for_tls_sums(sink: &Sink, about: &str, want: &[(&str, u64)]) -> Vec<Value> {
    let want: BTreeMap<String, u64> = want.iter().map(|(result, count)| ((*result).to_owned(), *count)).collect();
    let mut last = BTreeMap::new();
    wait_for_report(&format!("reports about {about} that say {want:?}"), || {
        let found = tls_reports(sink, about);
        last = tls_sums(&found);
        (last == want).then_some(found)
    })
}
