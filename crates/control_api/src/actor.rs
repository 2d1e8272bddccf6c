//! Who sends a request, and what it may do.
//!
//! Invariant: a request without an actor reaches no handler, and a handler does nothing that the row of its route does not allow ([`crate::table`]).

use std::fmt;
use std::ops::BitOr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use directory::{Alias, AliasSource, Directory};
use mail::{Domain, Mailbox};

use crate::error::ApiError;

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Read everything except secrets.
    pub const READ: Self = Self(1);
    /// See and change aliases.
    pub const ALIASES: Self = Self(2);
    /// See and change the queue, held mail and pauses.
    pub const QUEUE: Self = Self(4);
    /// Everything over the network.
    pub const ADMIN: Self = Self(8);
    /// The aliases that lead to the actor's own account, and its passwords.
    pub const OWN: Self = Self(16);
    /// What only the machine's own users may do: submit mail as a local user.
    pub const LOCAL: Self = Self(32);

    /// The scopes that a token can have, with their names.
    pub const NAMED: [(&str, Self); 5] =
        [("read", Self::READ), ("aliases", Self::ALIASES), ("queue", Self::QUEUE), ("admin", Self::ADMIN), ("own", Self::OWN)];

    /// Whether it has one of these.
    pub fn has_any(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }

    /// Returns the scope of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope)
    }

    /// Returns the names.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMED.iter().filter(|(_, scope)| self.has_any(*scope)).map(|(name, _)| *name).collect()
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Scopes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.names())
    }
}

/// Who sends a request: an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name in the history.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The domains that it is limited to; `None`: all.
    pub domains: Option<Vec<Domain>>,
    /// Its account, if it has one.
    pub login: Option<Mailbox>,
    /// Whether the route is open to it only for its own account; set by [`authorize`].
    is_limited: bool,
}

impl Actor {
    /// Root and the server's user, over the Unix socket or in process: everything.
    pub fn operator() -> Self {
        let all = Scopes::READ | Scopes::ALIASES | Scopes::QUEUE | Scopes::ADMIN | Scopes::OWN | Scopes::LOCAL;
        Self { name: "operator".into(), scopes: all, domains: None, login: None, is_limited: true }
    }

    /// Any user of this machine: submission of mail.
    pub(crate) fn local_user() -> Self {
        Self { name: "local user".into(), scopes: Scopes::LOCAL, domains: None, login: None, is_limited: true }
    }

    /// An account that is an owner: everything that can be done over the network.
    pub fn owner(login: Mailbox) -> Self {
        let all = Scopes::READ | Scopes::ALIASES | Scopes::QUEUE | Scopes::ADMIN | Scopes::OWN;
        Self { name: login.to_string(), scopes: all, domains: None, login: Some(login), is_limited: true }
    }

    /// Another account: its own aliases and passwords.
    pub fn account(login: Mailbox) -> Self {
        Self { name: login.to_string(), scopes: Scopes::OWN, domains: None, login: Some(login), is_limited: true }
    }

    /// The holder of a token; `login` is the account that the token was made for.
    pub fn token(name: &str, scopes: Scopes, domains: Option<Vec<Domain>>, login: Option<Mailbox>) -> Self {
        Self { name: format!("token {name}"), scopes, domains, login, is_limited: true }
    }

    /// Whether it may do everything that can be done over the network.
    pub fn is_admin(&self) -> bool {
        self.scopes.has_any(Scopes::ADMIN) && self.domains.is_none()
    }

    /// Returns the account that it is limited to on this route.
    pub fn limited_to(&self) -> Option<&Mailbox> {
        self.login.as_ref().filter(|_| self.is_limited)
    }

    /// Whether it may know of this domain.
    pub fn covers(&self, domain: &Domain) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.contains(domain))
    }

    /// Refuses a domain that it is not allowed, as one that is not hosted here.
    pub(crate) fn check_domain(&self, domain: &Domain) -> Result<(), ApiError> {
        match self.covers(domain) {
            true => Ok(()),
            false => Err(ApiError::missing(format!("{domain} is not hosted here, or {} may not use it", self.name))),
        }
    }

    /// Whether it may know of this alias: one of its domains, and of its own account if it is limited to that.
    pub(crate) fn sees(&self, directory: &Directory, alias: &Alias) -> bool {
        self.covers(alias.source.domain()) && self.limited_to().is_none_or(|login| leads_to(directory, &alias.source, login))
    }

    /// Whether it may know of this account.
    pub(crate) fn sees_account(&self, login: &Mailbox) -> bool {
        self.covers(&login.domain) && self.limited_to().is_none_or(|own| own == login)
    }
}

/// Whether mail to the alias goes to this account.
fn leads_to(directory: &Directory, source: &AliasSource, login: &Mailbox) -> bool {
    match source {
        AliasSource::Address(address) => {
            address == login || directory.account(&login.to_string()).is_some_and(|account| account.leads_here(address, directory))
        }
        AliasSource::CatchAll(_) => false,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(no_credentials)
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// One of these is enough.
    pub scopes: Scopes,
    /// Whether the handler limits itself to the domains of the actor; otherwise an actor that is limited to domains is refused.
    pub by_domain: bool,
}

impl Access {
    /// Returns an access with one of these scopes; `admin` has all that is not local.
    pub const fn of(scopes: Scopes) -> Self {
        Self { scopes: scopes.and(Scopes::ADMIN), by_domain: false }
    }

    /// The access for users of this machine only.
    pub const LOCAL: Self = Self { scopes: Scopes::LOCAL, by_domain: false };

    /// The same for a handler that limits itself to the domains of the actor.
    pub const fn by_domain(self) -> Self {
        Self { scopes: self.scopes, by_domain: true }
    }

    /// Returns the actor as it may act on the route.
    fn admit(self, mut actor: Actor) -> Result<Actor, ApiError> {
        let wide = Scopes(self.scopes.0 & !Scopes::OWN.0);
        let is_own = self.scopes.has_any(Scopes::OWN) && actor.scopes.has_any(Scopes::OWN) && actor.login.is_some();
        actor.is_limited = !actor.scopes.has_any(wide);
        if actor.is_limited && !is_own {
            let needed = self.scopes.names().join(" or ");
            let needed = if needed.is_empty() { "a user of this machine".to_owned() } else { format!("the scope {needed}") };
            return Err(ApiError::new(StatusCode::FORBIDDEN, format!("{} may not do this", actor.name))
                .hint(format!("it needs {needed}; waypost token add NAME --scope SCOPE makes a token")));
        }
        if actor.domains.is_some() && !self.by_domain {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("{} is limited to domains, and this concerns the whole server", actor.name),
            )
            .hint("use a token without --domain"));
        }
        Ok(actor)
    }
}

fn no_credentials() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "the request has no credentials")
        .hint("send a token: Authorization: Bearer wpt_...; waypost token add NAME makes one")
}

/// Refuses requests of an actor that may not use the route.
pub(crate) async fn authorize(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let admitted = request.extensions_mut().remove::<Actor>().ok_or_else(no_credentials).and_then(|actor| access.admit(actor));
    match admitted {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}
