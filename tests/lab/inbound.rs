//! The scene of inbound mail: a server for example.test, and the mailbox where its alias leads.

use crate::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, zone};

const GOOD: &str = "From: her@foreign.test\r\nSubject: a good message\r\n\r\nhello\r\n";

/// A server that hosts example.test, and the host of the mailbox that its alias leads to.
#[derive(Debug)]
pub struct InboundScene {
    /// The lab.
    pub lab: Lab,
    _dns: Dns,
    /// The host of foo@inbox.test, to which me@example.test leads.
    pub inbox: Sink,
    /// Our server.
    pub waypost: Waypost,
}

impl InboundScene {
    /// Starts all of it. `options` are those of [`Config::new`](crate::Config::new).
    pub fn new(options: &str) -> Self {
        let lab = Lab::new();
        let dns = Dns::start(&lab, &zone(&lab));
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let waypost = Waypost::started(&lab, "foo@inbox.test", options);
        Self { lab, _dns: dns, inbox, waypost }
    }

    /// A session on port 25 after EHLO.
    pub fn greeted(&self) -> Talk {
        Talk::greeted(self.waypost.address, MX_PORT)
    }

    /// Sends a good message in this session, and requires that no other has arrived.
    pub fn only_the_good_one(&self, talk: &mut Talk) {
        talk.taken("her@foreign.test", "me@example.test", GOOD);
        self.inbox.wait_for("a good message");
        self.waypost.wait_for_empty_queue();
        let arrived = self.inbox.messages();
        assert_eq!(arrived.len(), 1, "{arrived:?}");
        self.waypost.assert_no_bugs();
    }
}
