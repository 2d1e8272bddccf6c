//! The scene of outbound mail: a server whose account sends to other domains.

use crate::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, zone};

/// A server whose account me@example.test sends to other domains.
#[derive(Debug)]
pub struct OutboundScene {
    /// The lab.
    pub lab: Lab,
    _dns: Dns,
    /// The host of inbox.test: DSNs to the account arrive there.
    pub inbox: Sink,
    /// Our server.
    pub waypost: Waypost,
    password: String,
}

impl OutboundScene {
    /// Starts all of it but the other domains' hosts. `far` are these domains: the name, and the lab's address of their only MX host.
    pub fn new(far: &[(&str, u8)], options: &str) -> Self {
        let lab = Lab::new();
        let records: String = far.iter().map(|(name, host)| domain(&lab, name, *host)).collect();
        Self::in_lab(lab, &records, options)
    }

    /// The same with records of the test's own.
    pub fn in_lab(lab: Lab, records: &str, options: &str) -> Self {
        let dns = Dns::start(&lab, &(zone(&lab) + records));
        Self::with_dns(lab, dns, options)
    }

    /// The same with one more zone: its name and its records.
    pub fn with_zone(lab: Lab, records: &str, (name, more): (&str, &str), options: &str) -> Self {
        let dns = Dns::with_zone(&lab, &(zone(&lab) + records), name, more);
        Self::with_dns(lab, dns, options)
    }

    fn with_dns(lab: Lab, dns: Dns, options: &str) -> Self {
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let waypost = Waypost::started(&lab, "foo@inbox.test", options);
        let password = waypost.account("me@example.test");
        Self { lab, _dns: dns, inbox, waypost, password }
    }

    /// A session of the account.
    pub fn session(&self) -> Talk {
        self.waypost.logged_in("me@example.test", &self.password)
    }

    /// Sends a message from the account.
    pub fn send(&self, to: &str, subject: &str) {
        self.session().taken("me@example.test", to, &content(subject));
    }

    /// Waits for the log line about a recipient: `word` is delivered, deferred or failed.
    pub fn fate(&self, word: &str, to: &str) -> String {
        let to = format!("to={to}");
        self.waypost.wait_for_line(&[&format!(": {word} id="), &to])
    }
}

/// A message from the account.
pub fn content(subject: &str) -> String {
    format!("From: me@example.test\r\nSubject: {subject}\r\n\r\nthe body\r\n")
}
