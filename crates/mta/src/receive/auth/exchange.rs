//! A session's AUTH command: runs the exchange of its mechanism against [`Authenticator`].
//!
//! RFC 4954 s.4. Invariant: each step gets one answer; any failure ends the exchange with the same reply as every failed login.

use std::net::IpAddr;

use mail::Reply;
use sasl::{Context, Exchange, Mechanism, Step};
use smtp::server::AuthStep;

use crate::receive::auth::authenticator::{Authenticator, LoginAttempt, LoginWay, Offered};
use crate::receive::auth::denied::Denied;
use crate::receive::tls_accept::TlsSession;

/// The answer to a step.
#[derive(Debug)]
pub(crate) enum AuthAnswer {
    Challenge(Vec<u8>),
    /// The client is logged in as this login.
    LoggedIn(String),
    Refused(Reply),
}

/// A session's login attempts.
#[derive(Debug, Default)]
pub(crate) struct AuthExchange {
    exchange: Option<(LoginAttempt, Exchange)>,
    offered: Option<Offered>,
    /// The account that the client claims to be, if there is one.
    claimed: Option<String>,
    /// How often the session was refused for too many failures.
    warned: u32,
}

impl AuthExchange {
    /// Answers a step.
    pub async fn step(&mut self, logins: &Authenticator, client: IpAddr, secured: Option<&TlsSession>, step: AuthStep) -> AuthAnswer {
        let step = match step {
            AuthStep::Begin { mechanism, initial } => {
                let Some(mechanism) = Mechanism::from_name(&mechanism) else { return self.refuse(logins, client, Denied::Wrong) };
                let settings = logins.settings();
                let context = Context {
                    hostname: settings.hostname.to_string(),
                    nonce: net::random_bytes(),
                    bindings: secured.map(|secured| secured.bindings.clone()).unwrap_or_default(),
                    pepper: logins.pepper(),
                    offers_plus: settings.channel_binding && secured.is_some_and(|secured| !secured.bindings.is_empty()),
                };
                (self.offered, self.claimed) = (None, None);
                let (_, exchange) = self
                    .exchange
                    .insert((LoginAttempt { client, mechanism: LoginWay::Sasl(mechanism) }, Exchange::new(mechanism, context)));
                exchange.start(initial.as_deref())
            }
            AuthStep::Response(response) => self.exchange.as_mut().map_or(Step::Refused, |(_, exchange)| exchange.respond(&response)),
        };
        self.follow(logins, secured, step).await.unwrap_or_else(|denied| self.refuse(logins, client, denied))
    }

    /// Continues until the client must respond or is logged in.
    async fn follow(&mut self, logins: &Authenticator, secured: Option<&TlsSession>, mut step: Step) -> Result<AuthAnswer, Denied> {
        loop {
            let Some((attempt, exchange)) = &mut self.exchange else { return Err(Denied::Wrong) };
            let attempt = *attempt;
            step = match step {
                Step::Challenge(challenge) => return Ok(AuthAnswer::Challenge(challenge)),
                Step::Credentials(credentials) => {
                    self.claimed = logins.claimed(&credentials.authcid);
                    return logins.check(attempt, &credentials).await.map(|found| AuthAnswer::LoggedIn(found.login));
                }
                Step::Lookup(lookup) => {
                    self.claimed = logins.claimed(&lookup.name);
                    let (found, offered) = logins.look_up(attempt, &lookup)?;
                    self.offered = Some(offered);
                    exchange.found(found)
                }
                Step::Token(token) => exchange.token_checked(logins.owner(&token).await),
                Step::External { authzid } => {
                    let sha256 = secured.and_then(|secured| secured.certificate.as_deref()).ok_or(Denied::Wrong)?;
                    return logins.by_certificate(attempt, &authzid, sha256).map(AuthAnswer::LoggedIn).ok_or(Denied::Wrong);
                }
                Step::Proven(proven) => {
                    let found = match self.offered.take() {
                        Some(offered) => logins.proven(attempt, offered, proven.password),
                        None => logins.by_token(attempt, &proven.name),
                    };
                    return found.map(AuthAnswer::LoggedIn).ok_or(Denied::Wrong);
                }
                Step::Refused => return Err(Denied::Wrong),
            };
        }
    }

    fn refuse(&mut self, logins: &Authenticator, client: IpAddr, denied: Denied) -> AuthAnswer {
        let mechanism = self.exchange.take().map(|(attempt, _)| attempt.mechanism.name());
        let reply = denied.reply(self.warned);
        if denied == Denied::TooMany {
            self.warned += 1;
        }
        logins.log_refused(client, mechanism, self.claimed.take(), denied, &reply);
        AuthAnswer::Refused(reply)
    }
}
