//! Checks logins: looks up names, checks passwords, counts guesses.
//!
//! RFC 4954 s.4, RFC 4422 s.6. Invariant: an unknown user, a disabled one and a wrong password get the same reply after the same work; nothing is
//! hashed for an unknown network beyond the guessing limits; a client in a known network is never refused by them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use directory::{Account, Password};
use events::{Event, EventKind, Fact};
use mail::Reply;
use net::ClientTls;
use sasl::{Credentials, Found, ITERATIONS, Lookup, Mechanism, Need, ScramKeys, Secret, Token};
use store::{AccountChange, DirectoryChange, LoginUse};

use crate::context::Shared;
use crate::receive::auth::cache::{CachedResult, Code, PasswordCache};
use crate::receive::auth::denied::Denied;
use crate::receive::auth::hashing::HashingPool;
use crate::receive::auth::passwords::{self, PasswordKey};
use crate::receive::auth::throttle::{Allowances, LoginNetwork, LoginThrottle, Standing};
use crate::receive::known_networks::KnownNetworks;
use crate::settings::Settings;
use crate::support::directory_cache::LiveDirectory;
use crate::support::networks::{KNOWN_MS, neighbourhood};
use crate::support::usage_log::{UsageEvent, UsageLog};

/// Delay of the reply to a failed login from a known network, where no limit applies: the guesser may share the network with the owner.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// A login attempt: the client and its mechanism.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginAttempt {
    pub client: IpAddr,
    pub mechanism: LoginWay,
}

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginWay {
    /// To send mail.
    Sasl(Mechanism),
    /// To open the owner's page.
    Page,
}

impl LoginWay {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sasl(mechanism) => mechanism.name(),
            Self::Page => "page",
        }
    }
}

/// A successful login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The login of the account, in lower case.
    pub login: String,
    /// The name of the password or certificate.
    pub credential: String,
    /// What was known of the client's network.
    pub network: LoginNetwork,
}

/// The outcome of hashing a sealed password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashedSealed {
    /// It is stored as a verifier now.
    Done,
    /// It was sealed with a different key.
    Unreadable,
    /// Too many logins wait to be hashed.
    Busy,
}

/// Checks logins.
#[derive(Debug)]
pub(crate) struct Authenticator {
    throttle: LoginThrottle,
    hashing: HashingPool,
    cache: PasswordCache,
    key: Arc<PasswordKey>,
    usage_log: UsageLog,
    networks: KnownNetworks,
    shared: Shared,
    /// For authorization servers.
    client_tls: ClientTls,
}

/// The credentials offered to a mechanism.
#[derive(Debug)]
pub(crate) struct Offered {
    login: String,
    /// The names of the passwords, in the order of the keys.
    passwords: Vec<String>,
}

impl Authenticator {
    /// Starts the hashing threads and loads the known networks.
    pub async fn start(
        shared: Shared,
        key: Arc<PasswordKey>,
        usage_log: UsageLog,
        networks: KnownNetworks,
        client_tls: ClientTls,
    ) -> Result<Self, store::StoreError> {
        let throttle = LoginThrottle::default();
        let known = shared.store.logins(None, shared.clock.now_ms() - KNOWN_MS).await?;
        for used in &known {
            if let Ok(address) = used.address.parse() {
                networks.logged_in(address, used.last_ms);
            }
        }
        throttle.remember(known.into_iter().filter_map(|used| Some((used.login, used.network.parse().ok()?, used.last_ms))));
        Ok(Self { throttle, hashing: HashingPool::start()?, cache: PasswordCache::new(), key, usage_log, networks, shared, client_tls })
    }

    fn allowances(&self) -> Allowances {
        let limits = &self.shared.settings.load().limits;
        let part = |limit| self.shared.part_of(limit);
        Allowances { per_client: part(limits.failed_logins_per_client), per_account: part(limits.failed_logins_per_account) }
    }

    /// The user name, with the configured default domain if it has none.
    fn with_domain<'a>(&self, user_name: &'a str) -> Cow<'a, str> {
        match &self.shared.settings.load().login_domain {
            Some(domain) if !user_name.contains('@') => Cow::Owned(format!("{}@{domain}", user_name.trim())),
            _ => Cow::Borrowed(user_name),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    /// The directory in force.
    pub fn directory(&self) -> &LiveDirectory {
        &self.shared.directory
    }

    /// The login that the authorization server names for a token.
    pub async fn owner(&self, token: &Token) -> Option<String> {
        let settings = self.settings();
        let introspection = settings.introspection.as_ref()?;
        match introspection.owner(&self.client_tls, token.token.expose()).await {
            Ok(owner) => owner.filter(|owner| token.user.as_ref().is_none_or(|user| user.trim().eq_ignore_ascii_case(owner))),
            Err(error) => {
                tracing::error!(%error, "cannot check an access token");
                None
            }
        }
    }

    /// The key that derives salts for unknown users.
    pub fn pepper(&self) -> [u8; 32] {
        self.key.pepper()
    }

    /// The account of this user name. A name without one may be a password in the wrong field, and is recorded nowhere.
    pub fn claimed(&self, user_name: &str) -> Option<String> {
        let directory = self.shared.directory.current();
        directory.account(&self.with_domain(user_name)).map(|account| account.login.to_string())
    }

    /// Logs a refused login; `claimed` is the account that the client named.
    pub fn log_refused(&self, client: IpAddr, mechanism: Option<&'static str>, claimed: Option<String>, denied: Denied, reply: &Reply) {
        let kind = EventKind::LoginRefused;
        tracing::warn!(%client, mechanism, %reply, "{}", kind.words());
        self.shared.events.record_with(|| {
            let event = Event::new(kind, self.shared.clock.now_ms()).client(client).login(claimed).reply(reply);
            event.reason(Some(denied.reason())).maybe(Fact::Mechanism, mechanism)
        });
    }

    /// Checks a name and a password.
    pub async fn check(&self, attempt: LoginAttempt, credentials: &Credentials) -> Result<LoggedIn, Denied> {
        let directory = self.shared.directory.current();
        let user_name = self.with_domain(&credentials.authcid);
        let account = directory.active_account(&user_name);
        let name = counted_name(&user_name);
        let code = self.cache.code(&name, credentials.password.expose(), account);
        if let Some(answer) = self.cached_answer(attempt, &name, &code) {
            return answer;
        }
        let _turn = self.cache.wait_turn(code).await;
        // Another session may have checked the same password meanwhile.
        if let Some(answer) = self.cached_answer(attempt, &name, &code) {
            return answer;
        }
        let now_ms = self.shared.clock.now_ms();
        let standing = self.throttle.enter(&name, attempt.client, self.allowances(), now_ms).ok_or(Denied::TooMany)?;
        let (checked, password, key) = (account.cloned(), credentials.password.clone(), self.key.clone());
        let found =
            self.hashing.run(standing, Some(attempt.client), move || passwords::find_password(checked.as_ref(), &password, &key)).await;
        let found = found.map_err(|_| {
            self.throttle.excuse(&name, attempt.client);
            Denied::Busy
        })?;
        let Some((account, stored)) = account.zip(found.and_then(|n| account?.passwords.get(n))) else {
            self.cache.store_wrong(code, now_ms);
            self.pause(standing).await;
            return Err(Denied::Wrong);
        };
        self.cache.store_right(code, &stored.name, now_ms);
        if passwords::is_incomplete(account, stored) {
            self.complete(account, stored, &credentials.password).await;
        }
        Ok(self.log_in(attempt, name, stored.name.clone()))
    }

    /// The result of an earlier check of the same password.
    fn cached_answer(&self, attempt: LoginAttempt, name: &str, code: &Code) -> Option<Result<LoggedIn, Denied>> {
        let now_ms = self.shared.clock.now_ms();
        match self.cache.get(code, now_ms) {
            CachedResult::Nothing => None,
            // A client that repeats an old password is not guessing.
            CachedResult::Wrong => Some(Err(Denied::Wrong)),
            // After too many guesses a client must not learn which password is right.
            CachedResult::Right(credential) => Some(match self.throttle.enter(name, attempt.client, self.allowances(), now_ms) {
                Some(_) => Ok(self.log_in(attempt, name.to_owned(), credential)),
                None => Err(Denied::TooMany),
            }),
        }
    }

    /// Returns the credentials for a mechanism other than PLAIN and LOGIN.
    pub fn look_up(&self, attempt: LoginAttempt, lookup: &Lookup) -> Result<(Found, Offered), Denied> {
        let user_name = self.with_domain(&lookup.name);
        let name = counted_name(&user_name);
        self.throttle.enter(&name, attempt.client, self.allowances(), self.shared.clock.now_ms()).ok_or(Denied::TooMany)?;
        let directory = self.shared.directory.current();
        let Some(account) = directory.active_account(&user_name) else {
            return Ok((Found::NoSuchUser, Offered { login: name, passwords: Vec::new() }));
        };
        let (found, passwords) = match lookup.need {
            Need::ScramSha256 => scram(account, |stored| stored.scram_sha256.as_deref()),
            Need::ScramSha1 => scram(account, |stored| stored.scram_sha1.as_deref()),
            Need::Secrets => self.secrets(account, attempt.mechanism),
        };
        Ok((found, Offered { login: name, passwords }))
    }

    /// The plain passwords, if the account allows the mechanism.
    fn secrets(&self, account: &Account, mechanism: LoginWay) -> (Found, Vec<String>) {
        if !account.legacy_mechanisms.iter().any(|name| name == mechanism.name()) {
            return (Found::NoSuchUser, Vec::new());
        }
        let opened = account.passwords.iter().filter_map(|stored| Some((self.key.open(account, stored)?, stored.name.clone())));
        let (secrets, names): (Vec<Secret>, Vec<String>) = opened.unzip();
        (Found::Secrets(secrets), names)
    }

    /// Logs in a client that has proven knowledge of an offered password.
    pub fn proven(&self, attempt: LoginAttempt, offered: Offered, password: usize) -> Option<String> {
        let credential = offered.passwords.get(password)?.clone();
        Some(self.log_in(attempt, offered.login, credential).login)
    }

    /// Logs in a client by the SHA-256 of its certificate, after it has proven possession of the key.
    pub fn by_certificate(&self, attempt: LoginAttempt, authzid: &str, sha256: &str) -> Option<String> {
        let directory = self.shared.directory.current();
        let has = |account: &Account| account.is_active() && account.certificates.iter().any(|known| known.sha256 == sha256);
        let account = match authzid.trim() {
            "" => directory.contents().accounts.iter().find(|account| has(account)),
            authzid => directory.account(authzid).filter(|account| has(account)),
        }?;
        let certificate = account.certificates.iter().find(|known| known.sha256 == sha256)?;
        Some(self.log_in(attempt, account.login.key(), certificate.name.clone()).login)
    }

    /// Logs in a client whose name an authorization server has confirmed.
    pub fn by_token(&self, attempt: LoginAttempt, login: &str) -> Option<String> {
        let directory = self.shared.directory.current();
        let account = directory.active_account(login)?;
        Some(self.log_in(attempt, account.login.key(), "token".into()).login)
    }

    /// Logs in to the page by something that is as good as a password, with this name.
    pub fn on_the_page(&self, client: IpAddr, login: String, by: String) -> LoggedIn {
        self.log_in(LoginAttempt { client, mechanism: LoginWay::Page }, login, by)
    }

    /// Counts a guess at something else than a password, until it is excused.
    pub fn count_guess(&self, client: IpAddr, login: &str) -> Result<(), Denied> {
        self.throttle.enter(login, client, self.allowances(), self.shared.clock.now_ms()).map(drop).ok_or(Denied::TooMany)
    }

    /// Uncounts a guess that was right.
    pub fn excuse_guess(&self, client: IpAddr, login: &str) {
        self.throttle.excuse(login, client);
    }

    fn log_in(&self, attempt: LoginAttempt, login: String, credential: String) -> LoggedIn {
        let now_ms = self.shared.clock.now_ms();
        let from = self.throttle.succeeded(&login, attempt.client, now_ms);
        self.networks.logged_in(attempt.client, now_ms);
        let (client, mechanism) = (attempt.client, attempt.mechanism.name());
        tracing::info!(%client, login, password = credential, mechanism, new = from.news(), "{}", EventKind::LoggedIn.words());
        // The owner's page has an event of its own, recorded after the second step.
        if attempt.mechanism != LoginWay::Page {
            self.shared.events.record_with(|| {
                let event = Event::new(EventKind::LoggedIn, now_ms).client(client).login(Some(login.as_str()));
                let event = event.fact(Fact::Password, &credential).fact(Fact::Mechanism, mechanism);
                event.maybe(Fact::New, from.news())
            });
        }
        self.usage_log.push(UsageEvent::Login(LoginUse {
            login: login.clone(),
            password: credential.clone(),
            network: neighbourhood(client).to_string(),
            address: client.to_string(),
            mechanism: mechanism.into(),
            last_ms: now_ms,
            times: 1,
        }));
        LoggedIn { login, credential, network: from }
    }

    async fn pause(&self, standing: Standing) {
        if standing == Standing::Known {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    /// Hashes a password that is only sealed. The caller reloads the directory.
    pub async fn hash_sealed(&self, account: &Account, stored: &Password) -> Result<HashedSealed, store::StoreError> {
        let Some(secret) = self.key.open(account, stored) else { return Ok(HashedSealed::Unreadable) };
        let (of, name, key, made_ms) = (account.clone(), stored.name.clone(), self.key.clone(), stored.made_ms);
        let made = self.hashing.run(Standing::Stranger, None, move || passwords::make(&of, &name, &secret, &key, made_ms)).await;
        let Ok(Ok(to)) = made else { return Ok(HashedSealed::Busy) };
        let change = AccountChange::CompletePassword { login: account.login.clone(), from: stored.verifier.clone(), to };
        self.shared.store.change_directory(vec![DirectoryChange::Account(change)]).await.map(|()| HashedSealed::Done)
    }

    /// Completes an imported verifier, now that the password is known.
    async fn complete(&self, account: &Account, stored: &Password, password: &Secret) {
        let (of, name, secret) = (account.clone(), stored.name.clone(), password.clone());
        let (key, made_ms) = (self.key.clone(), stored.made_ms);
        let made = self.hashing.run(Standing::Known, None, move || passwords::make(&of, &name, &secret, &key, made_ms)).await;
        let Ok(Ok(made)) = made else { return };
        let change = AccountChange::CompletePassword { login: account.login.clone(), from: stored.verifier.clone(), to: made };
        let changes = vec![DirectoryChange::Account(change)];
        match self.shared.store.change_directory(changes.clone()).await {
            Ok(()) => match self.shared.directory.apply(&changes).await {
                Ok(()) => tracing::info!(login = %account.login, password = stored.name, "imported password converted to our own form"),
                Err(error) => tracing::warn!(%error, "the directory could not be reloaded"),
            },
            Err(error) => tracing::warn!(%error, login = %account.login, "imported password not converted to our own form"),
        }
    }
}

/// The name under which guesses are counted: the login's key if it is an address, else the name as sent.
fn counted_name(name: &str) -> String {
    mail::Mailbox::parse(name.trim()).map_or_else(|_| name.trim().to_lowercase(), |mailbox| mailbox.key())
}

fn scram<'a>(account: &'a Account, keys: impl Fn(&'a Password) -> Option<&'a [u8]>) -> (Found, Vec<String>) {
    let stored = account.passwords.iter().filter_map(|stored| Some((ScramKeys::from_bytes(keys(stored)?)?, stored.name.clone())));
    let (keys, names): (Vec<ScramKeys>, Vec<String>) = stored.unzip();
    (Found::Scram { salt: account.salt.to_vec(), iterations: ITERATIONS, keys }, names)
}
