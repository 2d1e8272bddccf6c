//! Timeouts of a session that waits for its client.
//!
//! RFC 5321 s.4.5.3.2. Invariant: slow octets do not count as progress; a client without a login must keep a minimum rate while its content is open.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::Limits;

/// Octets of content that count as progress within each content timeout.
const CONTENT_PROGRESS_BYTES: u64 = 64 * 1024;

/// Maximum time for the first octets of content, without a login.
const FIRST_OCTETS: Duration = Duration::from_secs(30);

/// Time after which content without a login must have kept the rate.
const HEAD_START: Duration = Duration::from_secs(60);

/// Command timeout for unknown clients that use most of their share, as Postfix under stress.
const CROWDED: Duration = Duration::from_secs(10);

/// Interval at which an idle session checks whether its share is crowded.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The progress of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionProgress {
    /// Commands answered.
    pub commands: u64,
    /// Octets of the content that is being received, if any.
    pub content_bytes: Option<u64>,
    /// Whether the client has logged in.
    pub is_account: bool,
    /// Whether clients of its rank use most of their share.
    pub is_crowded: bool,
}

/// The last progress of a session.
#[derive(Debug)]
pub(crate) struct ClientTimeouts {
    /// The last progress: commands and units of content.
    progress: (u64, u64),
    progress_at: Instant,
    /// When the content began.
    content_since: Option<Instant>,
}

impl ClientTimeouts {
    /// Starts with the session.
    pub fn new(now: Instant) -> Self {
        Self { progress: (0, 0), progress_at: now, content_since: None }
    }

    /// Returns when the client times out.
    pub fn deadline(&mut self, position: SessionProgress, limits: &Limits, now: Instant) -> Instant {
        let progress = (position.commands, position.content_bytes.unwrap_or(0) / CONTENT_PROGRESS_BYTES);
        if progress != self.progress {
            (self.progress, self.progress_at) = (progress, now);
        }
        let Some(bytes) = position.content_bytes else {
            self.content_since = None;
            let patience = Duration::from_secs(limits.command_timeout_s);
            return self.progress_at + if position.is_crowded { patience.min(CROWDED) } else { patience };
        };
        let since = *self.content_since.get_or_insert(now);
        let silent = self.progress_at.max(since) + Duration::from_secs(limits.content_timeout_s);
        if position.is_account {
            return silent;
        }
        let paid = match bytes {
            0 => FIRST_OCTETS,
            bytes => HEAD_START + Duration::from_millis(bytes.saturating_mul(limits.content_timeout_s * 1000) / CONTENT_PROGRESS_BYTES),
        };
        silent.min(since.checked_add(paid).unwrap_or(silent))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // deadlines are the runtime's time
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn content_without_a_login_must_keep_a_minimum_rate() {
        let limits = Limits { command_timeout_s: 300, content_timeout_s: 300, ..Settings::plain().limits };
        let begin = Instant::now();
        let mut patience = ClientTimeouts::new(begin);
        let mut left_s = |commands, content_bytes, is_account, after_s| {
            let now = begin + Duration::from_secs(after_s);
            let deadline = patience.deadline(SessionProgress { commands, content_bytes, is_account, is_crowded: false }, &limits, now);
            deadline.saturating_duration_since(now).as_secs()
        };
        assert_eq!(left_s(4, None, false, 0), 300);
        assert_eq!(left_s(5, Some(0), false, 100), 30, "silent after DATA");
        assert_eq!(left_s(5, Some(100), false, 110), 50, "a few octets buy the head start");
        assert_eq!(left_s(5, Some(6 * 1024), false, 160), 28, "6 KiB buy 28 s");
        assert_eq!(left_s(5, Some(1 << 20), false, 160), 300, "silence has a limit however much came before");
        assert_eq!(left_s(5, Some((1 << 20) + 1), false, 260), 200, "one octet is no progress");
        assert_eq!(left_s(6, None, false, 270), 300);
        assert_eq!(left_s(7, Some(0), true, 280), 300, "an account has logged in for it");
    }

    #[test]
    fn crowding_shortens_the_timeout_of_waiting_clients() {
        let limits = Limits { command_timeout_s: 300, ..Settings::plain().limits };
        let begin = Instant::now();
        let mut patience = ClientTimeouts::new(begin);
        let mut deadline = |commands, is_crowded, after_s| {
            let position = SessionProgress { commands, content_bytes: None, is_account: false, is_crowded };
            let now = begin + Duration::from_secs(after_s);
            patience.deadline(position, &limits, now).saturating_duration_since(now).as_secs()
        };
        assert_eq!((deadline(1, false, 0), deadline(1, false, 100)), (300, 200));
        assert_eq!((deadline(1, true, 100), deadline(2, true, 101), deadline(2, true, 105)), (0, 10, 6));
        assert_eq!(deadline(2, false, 106), 295);
    }
}
