//! Limits on errors and idle commands in one session.
//!
//! RFC 5321 s.4.3.2 and s.7.8 leave the limits to the server. Invariant: a client cannot keep a session open without sending mail.

/// Maximum commands without mail.
const IDLE_LIMIT: u32 = 100;
/// Errors that end the session.
const BAD_LIMIT: u32 = 20;
/// The same, and recipients refused with 5xx, while the server is under stress.
const STRESSED_LIMIT: u32 = 3;
/// Recipients refused with 5xx that end the session.
const RECIPIENT_LIMIT: u32 = 20;
/// Maximum pipelined commands that are not counted after a refusal.
const EXCUSED: u32 = 1000;
/// Maximum recipients refused with 4xx.
const DEFERRED_LIMIT: u32 = 1000;

/// The counters of one session. A method returns whether its limit is exceeded.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    idle: u32,
    bad: u32,
    recipients: u32,
    deferred: u32,
    excused: u32,
    /// Whether the server is under stress.
    pub(super) is_stressed: bool,
}

impl Strikes {
    /// Counts a command that does not advance a transaction: NOOP, RSET, VRFY, HELP, a second EHLO, a refused MAIL.
    pub(super) fn idle(&mut self) -> bool {
        self.idle += 1;
        self.idle > IDLE_LIMIT
    }

    /// Counts an invalid command.
    pub(super) fn bad(&mut self) -> bool {
        self.bad += 1;
        self.bad >= if self.is_stressed { STRESSED_LIMIT } else { BAD_LIMIT }
    }

    /// Counts a command out of sequence, unless the client pipelined it after a refused command.
    pub(super) fn out_of_sequence(&mut self) -> bool {
        if self.excused > 0 {
            self.excused -= 1;
            return false;
        }
        self.bad()
    }

    /// Counts a recipient refused with 5xx.
    pub(super) fn refused_recipient(&mut self) -> bool {
        self.recipients += 1;
        self.recipients >= if self.is_stressed { STRESSED_LIMIT } else { RECIPIENT_LIMIT }
    }

    /// Counts a recipient refused with 4xx.
    pub(super) fn deferred_recipient(&mut self) -> bool {
        self.deferred += 1;
        self.deferred > DEFERRED_LIMIT
    }

    /// Excuses the commands that the client may have pipelined after a refused one.
    pub(super) fn excuse_pipelined(&mut self) {
        self.excused = EXCUSED;
    }

    /// Ends the excuse: the client has read its replies.
    pub(super) fn synchronised(&mut self) {
        self.excused = 0;
    }

    /// Resets the idle and deferred counts after an accepted message.
    pub(super) fn message_accepted(&mut self) {
        self.idle = 0;
        self.deferred = 0;
    }
}
