//! Limits what an account may send: recipients per hour, and new recipients per day. This bounds the damage of a stolen password.
//!
//! Invariant: known recipients of an account stay known across restarts; memory is bounded by the number of accounts and by the recipients
//! remembered for each.

use std::collections::{HashSet, VecDeque};

use directory::Account;
use mail::Mailbox;
use store::{KnownRecipient, Store, StoreError};
use tokio::sync::Mutex;

use crate::settings::Sending;
use crate::support::limits::{BoundedMap, Bucket};
use crate::support::usage_log::{UsageEvent, UsageLog};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Interval at which a node reads which new recipients an account has used at other nodes, in milliseconds.
const OTHERS_EVERY_MS: i64 = 60_000;

/// Maximum accounts counted at a time; the least recent sender is dropped first.
const COUNTED_MAX: usize = 1000;

/// Returns the account's own limits, or else the general ones.
pub(crate) fn limits_of(account: &Account, general: Sending) -> Sending {
    Sending {
        per_hour: account.caps.recipients_per_hour.unwrap_or(general.per_hour),
        new_per_day: account.caps.new_recipients_per_day.unwrap_or(general.new_per_day),
    }
}

/// The decision about one more recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitVerdict {
    /// Allowed.
    Fine,
    /// Too many within the hour.
    TooMany(u32),
    /// Too many new ones within the day; `first` is set for the first refusal.
    TooManyNew { most: u32, first: bool },
    /// It continues after many refusals, as a program does and no person would.
    Runaway(u32),
}

/// The counts.
#[derive(Debug)]
pub(crate) struct SendCounts {
    accounts: Mutex<BoundedMap<String, AccountCounts>>,
    store: Store,
    usage_log: UsageLog,
}

#[derive(Debug, Default)]
struct AccountCounts {
    /// The recipients of the last hour.
    hour: Bucket,
    /// When it last sent, Unix milliseconds.
    at_ms: i64,
    known: HashSet<i64>,
    /// When `known` and `new` were read from the store, Unix milliseconds.
    loaded_ms: i64,
    /// When each new recipient of the last day was first used.
    new: VecDeque<i64>,
    /// New recipients refused, and since when.
    refused: u32,
    refused_ms: i64,
}

impl SendCounts {
    pub fn new(store: Store, usage_log: UsageLog) -> Self {
        Self { accounts: Mutex::new(BoundedMap::new(COUNTED_MAX)), store, usage_log }
    }

    /// Counts one more recipient of an account.
    pub async fn one_more(&self, account: &Account, recipient: &Mailbox, limits: Sending, now_ms: i64) -> Result<LimitVerdict, StoreError> {
        let login = account.login.key();
        let mut accounts = self.accounts.lock().await;
        if accounts.get(&login).is_none() {
            // Rare: the account's first message since the start.
            let sent = AccountCounts::load(&self.store, &login, now_ms).await?;
            accounts.insert_over_oldest(login.clone(), sent, |sent| sent.at_ms);
        }
        let Some(sent) = accounts.get_mut(&login) else { return Ok(LimitVerdict::Fine) };
        if self.store.serving_nodes() > 1 && now_ms - sent.loaded_ms >= OTHERS_EVERY_MS {
            sent.take_others(AccountCounts::load(&self.store, &login, now_ms).await?);
        }
        let hash = hash(&login, recipient);
        let is_new = !sent.known.contains(&hash);
        let said = sent.one_more(hash, is_new, limits, now_ms);
        if said == LimitVerdict::Fine && is_new {
            // If the usage log's queue is full, the recipient counts as new again after a restart.
            self.usage_log.push(UsageEvent::Recipient(KnownRecipient { login, recipient: hash, first_ms: now_ms }));
        }
        Ok(said)
    }
}

/// 64 bits of a hash of the recipient.
fn hash(login: &str, recipient: &Mailbox) -> i64 {
    let digest = net::sha256(&[login.as_bytes(), recipient.key().as_bytes()]);
    digest.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes))
}

impl AccountCounts {
    async fn load(store: &Store, login: &str, now_ms: i64) -> Result<Self, StoreError> {
        let rows = store.known_recipients(login.to_owned()).await?;
        let new = rows.iter().rev().map(|(_, first_ms)| *first_ms).filter(|first_ms| now_ms - first_ms < DAY_MS).collect();
        Ok(Self { known: rows.into_iter().map(|(recipient, _)| recipient).collect(), new, loaded_ms: now_ms, ..Self::default() })
    }

    /// Adds what other nodes have stored.
    fn take_others(&mut self, read: Self) {
        self.known.extend(read.known);
        // What this node has not stored yet is counted again at the next read.
        if read.new.len() > self.new.len() {
            self.new = read.new;
        }
        self.loaded_ms = read.loaded_ms;
    }

    fn one_more(&mut self, recipient: i64, is_new: bool, limits: Sending, now_ms: i64) -> LimitVerdict {
        self.at_ms = now_ms;
        if !self.hour.take(limits.per_hour, HOUR_MS, now_ms) {
            return LimitVerdict::TooMany(limits.per_hour);
        }
        while self.new.front().is_some_and(|at_ms| now_ms - at_ms >= DAY_MS) {
            self.new.pop_front();
        }
        if is_new && self.new.len() >= usize::try_from(limits.new_per_day).unwrap_or(usize::MAX) {
            self.hour.give_back();
            return self.refuse_new(limits.new_per_day, now_ms);
        }
        if is_new {
            self.known.insert(recipient);
            self.new.push_back(now_ms);
        }
        LimitVerdict::Fine
    }

    fn refuse_new(&mut self, most: u32, now_ms: i64) -> LimitVerdict {
        if now_ms - self.refused_ms >= DAY_MS {
            (self.refused, self.refused_ms) = (0, now_ms);
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused > most.max(20) { LimitVerdict::Runaway(most) } else { LimitVerdict::TooManyNew { most, first: self.refused == 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Sending = Sending { per_hour: 10, new_per_day: 3 };

    #[test]
    fn recipients_per_hour_are_limited_and_refill() {
        let mut sent = AccountCounts::default();
        let mut one = |now_ms| sent.one_more(1, false, LIMITS, now_ms);
        assert!((0..10).all(|_| one(DAY_MS) == LimitVerdict::Fine));
        assert_eq!(one(DAY_MS), LimitVerdict::TooMany(10));
        assert_eq!(one(DAY_MS + HOUR_MS / 10), LimitVerdict::Fine, "they come back one by one");
        assert_eq!(one(DAY_MS + HOUR_MS / 10), LimitVerdict::TooMany(10));
    }

    #[test]
    fn new_recipients_at_other_nodes_count() {
        let mut sent = AccountCounts::default();
        assert_eq!(sent.one_more(1, true, LIMITS, DAY_MS), LimitVerdict::Fine);
        let read = AccountCounts {
            known: HashSet::from([1, 2, 3]),
            new: VecDeque::from([DAY_MS; 3]),
            loaded_ms: DAY_MS + 1,
            ..AccountCounts::default()
        };
        sent.take_others(read);
        assert_eq!(sent.one_more(4, true, LIMITS, DAY_MS + 2), LimitVerdict::TooManyNew { most: 3, first: true });
        assert_eq!((sent.one_more(3, false, LIMITS, DAY_MS + 2), sent.loaded_ms), (LimitVerdict::Fine, DAY_MS + 1));
    }

    #[test]
    fn new_recipients_per_day_are_limited_and_persistence_suspends() {
        let limits = Sending { per_hour: 100_000, ..LIMITS };
        let mut sent = AccountCounts::default();
        for n in 0..3 {
            assert_eq!(sent.one_more(n, true, limits, DAY_MS + n), LimitVerdict::Fine);
        }
        assert_eq!(sent.one_more(9, true, limits, DAY_MS + 9), LimitVerdict::TooManyNew { most: 3, first: true });
        assert_eq!(sent.one_more(1, false, limits, DAY_MS + 9), LimitVerdict::Fine, "known recipients are not limited");
        for n in 0..19 {
            assert_eq!(sent.one_more(9 + n, true, limits, DAY_MS + 9), LimitVerdict::TooManyNew { most: 3, first: false });
        }
        assert_eq!(sent.one_more(99, true, limits, DAY_MS + 9), LimitVerdict::Runaway(3));
        assert_eq!(sent.one_more(99, true, limits, 2 * DAY_MS + 9), LimitVerdict::Fine, "a day later");
    }

    #[tokio::test]
    async fn known_recipients_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let account = Account::new("me@example.test".parse().unwrap(), [0; 16]);
        let to = |n: u32| Mailbox::parse(&format!("you{n}@foreign.test")).unwrap();
        let counts = SendCounts::new(store.clone(), crate::support::usage_log::start(store.clone()));
        for n in 0..3 {
            assert_eq!(counts.one_more(&account, &to(n), LIMITS, DAY_MS).await.unwrap(), LimitVerdict::Fine);
        }
        tokio::time::timeout(std::time::Duration::from_secs(20), async {
            while store.known_recipients("me@example.test".into()).await.unwrap().len() < 3 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        let next = SendCounts::new(store.clone(), crate::support::usage_log::start(store));
        assert_eq!(next.one_more(&account, &to(7), LIMITS, DAY_MS + 1).await.unwrap(), LimitVerdict::TooManyNew { most: 3, first: true });
        assert_eq!(next.one_more(&account, &to(1), LIMITS, DAY_MS + 1).await.unwrap(), LimitVerdict::Fine);
    }
}
