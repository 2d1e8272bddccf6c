//! A session's AUTH: the exchange of its mechanism, with what [`Logins`] knows.
//!
//! RFC 4954 s.4. Invariant: each step gets one answer; whatever goes wrong in an exchange ends it with the one reply of every failed login.

use std::net::IpAddr;

use mail::Reply;
use sasl::{Context, Exchange, Mechanism, Step};
use smtp::server::AuthStep;

use crate::receive::auth::authenticator::{Attempt, Denied, Logins, Offered};
use crate::receive::tls_accept::Secured;

/// What the session is to answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Challenge(Vec<u8>),
    /// Somebody is in: the login.
    In(String),
    Refused(Reply),
}

/// A session's attempts to log in.
#[derive(Debug, Default)]
pub(crate) struct LogIn {
    exchange: Option<(Attempt, Exchange)>,
    offered: Option<Offered>,
    /// How often the session heard of too many guesses.
    warned: u32,
}

impl LogIn {
    /// Takes a step.
    pub async fn step(&mut self, logins: &Logins, client: IpAddr, secured: Option<&Secured>, step: AuthStep) -> Answer {
        let step = match step {
            AuthStep::Begin { mechanism, initial } => {
                let Some(mechanism) = Mechanism::from_name(&mechanism) else { return self.refuse(client, Denied::Wrong) };
                let settings = logins.settings();
                let context = Context {
                    hostname: settings.hostname.to_string(),
                    nonce: net::random_bytes(),
                    bindings: secured.map(|secured| secured.bindings.clone()).unwrap_or_default(),
                    pepper: logins.pepper(),
                    offers_plus: settings.channel_binding && secured.is_some_and(|secured| !secured.bindings.is_empty()),
                };
                self.offered = None;
                let (_, exchange) = self.exchange.insert((Attempt { client, mechanism }, Exchange::new(mechanism, context)));
                exchange.start(initial.as_deref())
            }
            AuthStep::Response(response) => self.exchange.as_mut().map_or(Step::Refused, |(_, exchange)| exchange.respond(&response)),
        };
        self.follow(logins, secured, step).await.unwrap_or_else(|denied| self.refuse(client, denied))
    }

    /// Goes on until the client must be asked, or is in.
    async fn follow(&mut self, logins: &Logins, secured: Option<&Secured>, mut step: Step) -> Result<Answer, Denied> {
        loop {
            let Some((attempt, exchange)) = &mut self.exchange else { return Err(Denied::Wrong) };
            let attempt = *attempt;
            step = match step {
                Step::Challenge(challenge) => return Ok(Answer::Challenge(challenge)),
                Step::Credentials(credentials) => return logins.check(attempt, &credentials).await.map(Answer::In),
                Step::Lookup(lookup) => {
                    let (found, offered) = logins.look_up(attempt, &lookup)?;
                    self.offered = Some(offered);
                    exchange.found(found)
                }
                Step::Token(token) => exchange.token_checked(logins.owner(&token).await),
                Step::External { authzid } => {
                    let sha256 = secured.and_then(|secured| secured.certificate.as_deref()).ok_or(Denied::Wrong)?;
                    return logins.by_certificate(attempt, &authzid, sha256).map(Answer::In).ok_or(Denied::Wrong);
                }
                Step::Proven(proven) => {
                    let found = match self.offered.take() {
                        Some(offered) => logins.proven(attempt, offered, proven.password),
                        None => logins.by_token(attempt, &proven.name),
                    };
                    return found.map(Answer::In).ok_or(Denied::Wrong);
                }
                Step::Refused => return Err(Denied::Wrong),
            };
        }
    }

    fn refuse(&mut self, client: IpAddr, denied: Denied) -> Answer {
        let mechanism = self.exchange.take().map(|(attempt, _)| attempt.mechanism.name());
        let reply = denied.reply(self.warned);
        if denied == Denied::TooMany {
            self.warned += 1;
        }
        tracing::warn!(%client, mechanism, %reply, "login refused");
        Answer::Refused(reply)
    }
}
