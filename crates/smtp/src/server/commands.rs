//! Session commands, and the dispatch of transaction commands.
//!
//! RFC 5321 s.4.1.1.1 (EHLO) to s.4.1.1.10 (QUIT), RFC 3207 s.4. Invariant: a line with a control character is never
//! executed.

use std::fmt::Write as _;

use mail::Reply;

use super::line::Line;
use super::session::{Hello, Question, ServerSession, SessionState, Step};
use super::verb::Verb;
use super::{ServerEvent, Service, replies};

impl<R> ServerSession<R> {
    pub(super) fn step_command(&mut self) -> Step {
        let line = match self.lines.next(&mut self.input, false) {
            Line::More => return Step::Idle,
            Line::Whole(line) => line,
            broken => return self.broken_line(broken),
        };
        let verb = Verb::at_start_of(&line);
        let has_control = line.iter().any(u8::is_ascii_control);
        if has_control && matches!(verb, Verb::Ehlo | Verb::Helo) {
            return self.bad(&Reply::new(501, (5, 5, 2), "invalid host name"));
        }
        match std::str::from_utf8(&line) {
            Ok(line) if !has_control => self.execute(line),
            Err(_) if !has_control && matches!(verb, Verb::Mail | Verb::Rcpt) => {
                self.bad(&Reply::new(553, (5, 6, 7), "address is not valid UTF-8"))
            }
            // Latin-1, for example, from a machine with an umlaut in its name.
            Err(_) if !has_control && matches!(verb, Verb::Ehlo | Verb::Helo) => {
                self.bad(&Reply::new(501, (5, 5, 2), "invalid host name: not ASCII"))
            }
            Err(_) if !has_control => self.bad(&replies::bad_syntax("command is not valid UTF-8")),
            _ => self.bad(&replies::bad_syntax("control character in command")),
        }
    }

    fn execute(&mut self, line: &str) -> Step {
        let (verb, argument) = Verb::split(line);
        match verb {
            Verb::Ehlo => self.greeted(argument, true),
            Verb::Helo => self.greeted(argument, false),
            Verb::Mail => self.mail(argument),
            Verb::Rcpt => self.rcpt(argument),
            Verb::Data => self.data(argument),
            Verb::Bdat => self.bdat(argument),
            Verb::Auth => self.auth(argument),
            Verb::StartTls => self.start_tls(argument),
            Verb::Rset if !argument.is_empty() => self.bad(&replies::bad_argument("RSET takes no argument")),
            Verb::Rset => {
                self.reset();
                self.strikes.synchronised();
                self.idle(&Reply::new(250, (2, 0, 0), "OK"))
            }
            Verb::Noop => self.idle(&Reply::new(250, (2, 0, 0), "OK")),
            Verb::Vrfy if argument.is_empty() => self.bad(&replies::bad_argument("syntax: VRFY address")),
            Verb::Vrfy => self.idle(&Reply::new(252, (2, 5, 2), "cannot verify addresses; send a message to find out")),
            Verb::Expn => self.bad(&replies::not_here("EXPN is not supported")),
            Verb::Help => self.idle(&Reply::new(214, (2, 0, 0), "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS AUTH")),
            Verb::Quit if !argument.is_empty() => self.bad(&replies::bad_argument("QUIT takes no argument")),
            Verb::Quit => {
                self.close_with(Reply::new(221, (2, 0, 0), "goodbye"));
                Step::Again
            }
            Verb::Http => {
                self.close_with(replies::not_http());
                Step::Again
            }
            Verb::Unknown => self.bad(&replies::unknown_command()),
        }
    }

    fn greeted(&mut self, name: &str, extended: bool) -> Step {
        if !self.input.is_empty() {
            self.close_with(replies::too_early());
            return Step::Again;
        }
        if name.is_empty() {
            return self.bad(&replies::bad_argument("syntax: EHLO hostname"));
        }
        if name.len() > 255 || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return self.bad(&Reply::new(501, (5, 5, 2), "invalid host name"));
        }
        let too_far = self.hello.is_some() && self.strikes.idle();
        self.strikes.synchronised();
        self.reset();
        self.hello = Some(Hello { name: name.to_owned(), extended });
        self.synchronising = true;
        let text = if extended { self.extensions() } else { self.config.hostname.to_string() };
        self.reply_unless(too_far, &Reply::plain(250, text), "too many commands without mail");
        Step::Again
    }

    fn extensions(&self) -> String {
        let mut text = format!(
            "{}\nPIPELINING\nSIZE {}\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nDSN",
            self.config.hostname, self.config.max_size_bytes
        );
        if self.config.starttls && self.tls.is_none() {
            text.push_str("\nSTARTTLS");
        }
        if self.tls.is_some() {
            text.push_str("\nREQUIRETLS");
        }
        if self.config.service == Service::Submission && self.tls.is_some() && !self.config.mechanisms.is_empty() {
            let _ = write!(text, "\nAUTH {}", self.config.mechanisms.join(" "));
        }
        text.push_str("\nHELP");
        text
    }

    fn start_tls(&mut self, argument: &str) -> Step {
        if !self.input.is_empty() {
            self.close_with(replies::too_early());
            return Step::Again;
        }
        if self.tls.is_some() {
            return self.out_of_sequence(&replies::bad_sequence("TLS is already active"));
        }
        if !self.config.starttls {
            return self.bad(&replies::not_here("STARTTLS is not available"));
        }
        if !argument.is_empty() {
            return self.bad(&replies::bad_argument("STARTTLS takes no argument"));
        }
        self.reset();
        self.state = SessionState::Waiting(Question::StartTls);
        self.reply(&Reply::new(220, (2, 0, 0), "ready to start TLS"));
        Step::Event(ServerEvent::StartTls)
    }

    /// Answers an invalid command.
    pub(super) fn bad(&mut self, reply: &Reply) -> Step {
        let too_far = self.strikes.bad();
        self.reply_unless(too_far, reply, "too many errors");
        Step::Again
    }

    /// Answers a command that is out of sequence.
    pub(super) fn out_of_sequence(&mut self, reply: &Reply) -> Step {
        let too_far = self.strikes.out_of_sequence();
        self.reply_unless(too_far, reply, "too many errors");
        Step::Again
    }

    /// Answers a command that does not advance a transaction.
    fn idle(&mut self, reply: &Reply) -> Step {
        let too_far = self.strikes.idle();
        self.reply_unless(too_far, reply, "too many commands without mail");
        Step::Again
    }

    pub(super) fn reply_unless(&mut self, too_far: bool, reply: &Reply, why: &'static str) {
        if too_far {
            self.close_with(replies::too_many(why));
        } else {
            self.reply(reply);
        }
    }
}
