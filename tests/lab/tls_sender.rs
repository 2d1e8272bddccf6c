//! A server that verifies the TLS of the hosts it sends to, with the resolver that it asks.

use std::net::Ipv4Addr;

use crate::{DNS_PORT, Dns, Lab, Unbound, Waypost, content};

/// A server whose account me@example.test sends, and its resolver.
#[derive(Debug)]
pub struct TlsSender {
    _dns: Dns,
    unbound: Option<Unbound>,
    /// Our server.
    pub waypost: Waypost,
    /// The password of the account.
    pub password: String,
}

impl TlsSender {
    /// Starts it. `validate` is that of `[dns]`; "unbound" means "auto" with a validating resolver.
    pub fn start(lab: &Lab, validate: &str, records: &str, zones: &[(&str, &str)]) -> Self {
        let records = format!("example MX 10 mx.example\nmx.example A {}\n{records}", lab.address(1));
        let dns = Dns::with_zones(lab, &records, zones);
        let anchor = dns.trust_anchor(lab);
        let unbound = ["unbound", "upstream"].contains(&validate).then(|| Unbound::start(lab, &dns));
        let servers = unbound.as_ref().map_or(String::new(), |unbound| format!("servers = [\"{}:{}\"]\n", unbound.address, DNS_PORT));
        let word = if validate == "unbound" { "auto" } else { validate };
        let options = format!(
            "[delivery]\nloopback = true\nhost_pause_s = 1\nidle_timeout_s = 0\n[tls]\nextra_authorities = \"authority.pem\"\n[dns]\n{servers}validate = \"{word}\"\ntrust_anchor = \"{}\"\n",
            anchor.display()
        );
        let waypost = Waypost::started(lab, "me@inbox.test", &options);
        let password = waypost.account("me@example.test");
        Self { _dns: dns, unbound, waypost, password }
    }

    /// The address of the validating resolver.
    pub fn resolver(&self) -> Ipv4Addr {
        self.unbound.as_ref().expect("a validating resolver").address
    }

    /// Sends a message to this address.
    pub fn send(&self, to: &str) {
        self.waypost.logged_in("me@example.test", &self.password).taken("me@example.test", to, &content(&format!("to {to}.")));
    }

    /// Waits for the log line about a recipient: `word` is delivered, deferred or failed.
    pub fn fate(&self, word: &str, to: &str) -> String {
        self.waypost.wait_for_line(&[&format!(": {word} id="), &format!("to={to}")])
    }

    /// Sends, and requires that it is delivered over TLS that was verified so.
    pub fn delivers(&self, to: &str, verified: Option<&str>) {
        self.send(to);
        let line = self.waypost.wait_for_line(&[": delivered id=", &format!("to={to}")]);
        match verified {
            Some(word) => assert!(line.contains(&format!("verified=\"{word}\"")), "{line}"),
            None => assert!(!line.contains("verified="), "{line}"),
        }
    }

    /// Sends, and requires that it is deferred with this code, and with all of these in the reason.
    pub fn waits(&self, to: &str, code: &str, parts: &[&str]) -> String {
        self.send(to);
        let line = self.fate("deferred", to);
        assert!(line.contains(&format!("trouble={code} ")), "{line}");
        let reason = self.waypost.wait_for_reason(parts[0]);
        for part in parts {
            assert!(reason.contains(part), "{part:?} is missing: {reason}");
        }
        reason
    }
}
