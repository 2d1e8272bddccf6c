//! How much an account may send: recipients an hour, and new ones a day. What a stolen password is good for is bounded by it.
//!
//! Invariant: what an account has sent to before is told from what is new to it over restarts too; memory is bounded by what is
//! remembered of each account that sends.

use std::collections::{HashSet, VecDeque};

use directory::Account;
use mail::Mailbox;
use store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::settings::Sending;
use crate::support::limits::{BoundedMap, Bucket};
use crate::support::usage_log::{Habit, Habits};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Accounts that are counted at a time; the one that has sent nothing for the longest time goes first.
const COUNTED_MAX: usize = 1000;

/// The account's own limits, else those of everybody.
pub(crate) fn limits(account: &Account, everybody: Sending) -> Sending {
    Sending {
        per_hour: account.caps.recipients_per_hour.unwrap_or(everybody.per_hour),
        new_per_day: account.caps.new_recipients_per_day.unwrap_or(everybody.new_per_day),
    }
}

/// What is said of one more recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It may be.
    Fine,
    /// There were too many within the hour.
    TooMany(u32),
    /// There were too many new ones within the day; `first` where this is the first to be refused.
    TooManyNew { most: u32, first: bool },
    /// And it went on trying: this is no person.
    Runaway(u32),
}

/// The counts.
#[derive(Debug)]
pub(crate) struct Allowance {
    accounts: Mutex<BoundedMap<String, Sent>>,
    store: Store,
    habits: Habits,
}

#[derive(Debug, Default)]
struct Sent {
    /// The recipients of the last hour.
    hour: Bucket,
    /// When it sent last.
    at_ms: i64,
    known: HashSet<i64>,
    /// When the new ones of the last day were new.
    new: VecDeque<i64>,
    /// How many were refused for being new, and since when.
    refused: u32,
    refused_ms: i64,
}

impl Allowance {
    pub fn new(store: Store, habits: Habits) -> Self {
        Self { accounts: Mutex::new(BoundedMap::new(COUNTED_MAX)), store, habits }
    }

    /// Counts one more recipient of an account.
    pub async fn one_more(&self, account: &Account, recipient: &Mailbox, limits: Sending, now_ms: i64) -> Result<Said, StoreError> {
        let login = account.login.key();
        let mut accounts = self.accounts.lock().await;
        if accounts.get(&login).is_none() {
            // Rare: the first message of an account since the start.
            let sent = Sent::load(&self.store, &login, now_ms).await?;
            accounts.insert_over_oldest(login.clone(), sent, |sent| sent.at_ms);
        }
        let Some(sent) = accounts.get_mut(&login) else { return Ok(Said::Fine) };
        let hash = hash(&login, recipient);
        let is_new = !sent.known.contains(&hash);
        let said = sent.one_more(hash, is_new, limits, now_ms);
        if said == Said::Fine && is_new {
            // With a full line it is new once more after a restart.
            self.habits.push(Habit::Recipient(login, hash, now_ms));
        }
        Ok(said)
    }
}

/// 64 bits of a hash of the recipient.
fn hash(login: &str, recipient: &Mailbox) -> i64 {
    let digest = net::sha256(&[login.as_bytes(), recipient.key().as_bytes()]);
    digest.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes))
}

impl Sent {
    async fn load(store: &Store, login: &str, now_ms: i64) -> Result<Self, StoreError> {
        let rows = store.known_recipients(login.to_owned()).await?;
        let new = rows.iter().rev().map(|(_, first_ms)| *first_ms).filter(|first_ms| now_ms - first_ms < DAY_MS).collect();
        Ok(Self { known: rows.into_iter().map(|(recipient, _)| recipient).collect(), new, ..Self::default() })
    }

    fn one_more(&mut self, recipient: i64, is_new: bool, limits: Sending, now_ms: i64) -> Said {
        self.at_ms = now_ms;
        if !self.hour.take(limits.per_hour, HOUR_MS, now_ms) {
            return Said::TooMany(limits.per_hour);
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
        Said::Fine
    }

    fn refuse_new(&mut self, most: u32, now_ms: i64) -> Said {
        if now_ms - self.refused_ms >= DAY_MS {
            (self.refused, self.refused_ms) = (0, now_ms);
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused > most.max(20) { Said::Runaway(most) } else { Said::TooManyNew { most, first: self.refused == 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Sending = Sending { per_hour: 10, new_per_day: 3 };

    #[test]
    fn an_hour_has_so_many_recipients() {
        let mut sent = Sent::default();
        let mut one = |now_ms| sent.one_more(1, false, LIMITS, now_ms);
        assert!((0..10).all(|_| one(DAY_MS) == Said::Fine));
        assert_eq!(one(DAY_MS), Said::TooMany(10));
        assert_eq!(one(DAY_MS + HOUR_MS / 10), Said::Fine, "they come back one by one");
        assert_eq!(one(DAY_MS + HOUR_MS / 10), Said::TooMany(10));
    }

    #[test]
    fn a_day_has_so_many_new_ones_and_who_goes_on_is_stopped() {
        let limits = Sending { per_hour: 100_000, ..LIMITS };
        let mut sent = Sent::default();
        for n in 0..3 {
            assert_eq!(sent.one_more(n, true, limits, DAY_MS + n), Said::Fine);
        }
        assert_eq!(sent.one_more(9, true, limits, DAY_MS + 9), Said::TooManyNew { most: 3, first: true });
        assert_eq!(sent.one_more(1, false, limits, DAY_MS + 9), Said::Fine, "whom it knows it may write to");
        for n in 0..19 {
            assert_eq!(sent.one_more(9 + n, true, limits, DAY_MS + 9), Said::TooManyNew { most: 3, first: false });
        }
        assert_eq!(sent.one_more(99, true, limits, DAY_MS + 9), Said::Runaway(3));
        assert_eq!(sent.one_more(99, true, limits, 2 * DAY_MS + 9), Said::Fine, "a day later");
    }

    #[tokio::test]
    async fn who_is_known_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let account = Account::new("me@example.test".parse().unwrap(), [0; 16]);
        let to = |n: u32| Mailbox::parse(&format!("you{n}@foreign.test")).unwrap();
        let allowance = Allowance::new(store.clone(), crate::support::usage_log::start(store.clone()));
        for n in 0..3 {
            assert_eq!(allowance.one_more(&account, &to(n), LIMITS, DAY_MS).await.unwrap(), Said::Fine);
        }
        tokio::time::timeout(std::time::Duration::from_secs(20), async {
            while store.known_recipients("me@example.test".into()).await.unwrap().len() < 3 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        let next = Allowance::new(store.clone(), crate::support::usage_log::start(store));
        assert_eq!(next.one_more(&account, &to(7), LIMITS, DAY_MS + 1).await.unwrap(), Said::TooManyNew { most: 3, first: true });
        assert_eq!(next.one_more(&account, &to(1), LIMITS, DAY_MS + 1).await.unwrap(), Said::Fine);
    }
}
