//! How much nonsense a session is allowed.
//!
//! RFC 5321 s.4.3.2 and s.7.8 leave the limits to us. Invariant: no client can go on for ever without sending mail.

const IDLE_LIMIT: u32 = 100;
const BAD_LIMIT: u32 = 20;
const RECIPIENT_LIMIT: u32 = 20;
const EXCUSED: u32 = 1000;
const DEFERRED_LIMIT: u32 = 1000;

/// The counters of one session. Each method says whether the session has now gone too far.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    idle: u32,
    bad: u32,
    recipients: u32,
    deferred: u32,
    excused: u32,
}

impl Strikes {
    /// A command that achieves nothing: NOOP, RSET, VRFY, HELP, a second EHLO, a refused MAIL.
    pub(super) fn idle(&mut self) -> bool {
        self.idle += 1;
        self.idle > IDLE_LIMIT
    }

    /// A command that was wrong.
    pub(super) fn bad(&mut self) -> bool {
        self.bad += 1;
        self.bad >= BAD_LIMIT
    }

    /// A command out of sequence; not held against a client that pipelined it behind one that was refused.
    pub(super) fn out_of_sequence(&mut self) -> bool {
        if self.excused > 0 {
            self.excused -= 1;
            return false;
        }
        self.bad()
    }

    /// A recipient was refused for good.
    pub(super) fn refused_recipient(&mut self) -> bool {
        self.recipients += 1;
        self.recipients >= RECIPIENT_LIMIT
    }

    /// A recipient was refused for now.
    pub(super) fn deferred_recipient(&mut self) -> bool {
        self.deferred += 1;
        self.deferred > DEFERRED_LIMIT
    }

    /// A transaction was refused while the client may have more of it under way.
    pub(super) fn excuse_pipelined(&mut self) {
        self.excused = EXCUSED;
    }

    /// The client knows again where it stands.
    pub(super) fn synchronised(&mut self) {
        self.excused = 0;
    }

    /// A message was accepted: the client means business.
    pub(super) fn message_accepted(&mut self) {
        self.idle = 0;
        self.deferred = 0;
    }
}
