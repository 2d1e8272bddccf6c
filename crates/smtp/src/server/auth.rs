//! AUTH: the exchange as lines of base64.
//!
//! RFC 4954 s.4. Invariant: the driver sees a step of an exchange only on a submission service, under TLS, before a success
//! and outside a transaction.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Reply;

use super::line::Line;
use super::session::{Question, ServerSession, SessionState, Step};
use super::verb::Verb;
use super::{AuthStep, ServerEvent, Service, replies};

impl<R> ServerSession<R> {
    /// AUTH mechanism [initial-response].
    pub(super) fn auth(&mut self, argument: &str) -> Step {
        if self.config.service == Service::Mx {
            return self.bad(&replies::not_here("AUTH is not available here; use the submission port"));
        }
        if self.tls.is_none() {
            return self.bad(&Reply::new(538, (5, 7, 11), "authentication requires TLS; send STARTTLS first"));
        }
        if !self.is_extended() {
            return self.out_of_sequence(&replies::bad_sequence("send EHLO first"));
        }
        if self.identity.is_some() || self.transaction.is_some() {
            return self.out_of_sequence(&replies::bad_sequence("AUTH is allowed once, and not during a transaction"));
        }
        let mut words = argument.split(' ').filter(|w| !w.is_empty());
        let (mechanism, initial, extra) = (words.next(), words.next(), words.next());
        let Some(mechanism) = mechanism.filter(|_| extra.is_none()) else {
            return self.bad(&replies::bad_argument("syntax: AUTH mechanism [initial-response]"));
        };
        let mechanism = mechanism.to_ascii_uppercase();
        if !self.config.mechanisms.iter().any(|known| *known == mechanism) {
            return self.bad(&Reply::new(504, (5, 5, 4), "authentication mechanism not supported"));
        }
        let initial = match initial {
            None => None,
            Some("=") => Some(Vec::new()),
            Some(text) => match STANDARD.decode(text) {
                Ok(initial) => Some(initial),
                Err(_) => return self.bad_base64(),
            },
        };
        self.state = SessionState::Waiting(Question::Auth);
        Step::Event(ServerEvent::Auth(AuthStep::Begin { mechanism, initial }))
    }

    pub(super) fn step_auth_response(&mut self) -> Step {
        let line = match self.lines.next(&mut self.input, true) {
            Line::More => return Step::Idle,
            Line::Whole(line) => line,
            broken => {
                self.state = SessionState::Command;
                return self.broken_line(broken);
            }
        };
        self.state = SessionState::Command;
        if *line == b"*"[..] {
            return self.bad(&Reply::new(501, (5, 7, 0), "authentication cancelled"));
        }
        // An empty response is an empty line; some clients (curl) send "=", the form of an empty initial response.
        let line = if *line == b"="[..] { Default::default() } else { line };
        let Ok(response) = STANDARD.decode(&line) else { return self.bad_base64() };
        self.state = SessionState::Waiting(Question::Auth);
        Step::Event(ServerEvent::Auth(AuthStep::Response(response)))
    }

    pub(super) fn reply_challenge(&mut self, challenge: &[u8]) {
        self.reply(&Reply::plain(334, STANDARD.encode(challenge)));
    }

    fn bad_base64(&mut self) -> Step {
        self.bad(&Reply::new(501, (5, 5, 2), "invalid base64"))
    }

    /// Answers a line that is not a command.
    pub(super) fn broken_line(&mut self, line: Line) -> Step {
        match line {
            Line::BareLf => self.bad(&replies::bad_syntax("commands must end with CRLF")),
            Line::TooLong(Verb::Auth) => self.bad(&Reply::new(500, (5, 5, 6), "authentication line too long")),
            Line::TooLong(Verb::Ehlo | Verb::Helo) => self.bad(&Reply::new(501, (5, 5, 2), "invalid host name")),
            Line::TooLong(_) => self.bad(&replies::bad_syntax("line too long")),
            Line::Endless => {
                self.close_with(replies::too_many("line longer than 64 KiB"));
                Step::Again
            }
            Line::More | Line::Whole(_) => Step::Idle,
        }
    }
}
