//! Records where passwords were used and to which recipients accounts have sent.
//!
//! Invariant: no session waits for it; a crash may lose the last seconds, and then a known network or recipient counts as new once more.

use std::collections::HashMap;

use store::{KnownRecipient, LoginUse, Store};

use crate::support::write_behind::{BatchWriter, WriteBehind};

/// An event to record.
#[derive(Debug)]
pub(crate) enum Habit {
    /// A login.
    Login(LoginUse),
    /// The first message of an account to a recipient.
    Recipient(KnownRecipient),
}

/// Where sessions hand over habits.
pub(crate) type Habits = WriteBehind<Habit>;

/// Starts the writer.
pub(crate) fn start(store: Store) -> Habits {
    WriteBehind::start(UsageWriter(store))
}

struct UsageWriter(Store);

impl BatchWriter<Habit> for UsageWriter {
    async fn write(&mut self, batch: Vec<Habit>, _left_out: u64) {
        write(&self.0, batch).await;
    }
}

async fn write(store: &Store, habits: Vec<Habit>) {
    let mut uses: HashMap<(String, String, String), LoginUse> = HashMap::new();
    let mut recipients = Vec::new();
    for habit in habits {
        match habit {
            Habit::Recipient(known) => recipients.push(known),
            Habit::Login(used) => {
                let place = (used.login.clone(), used.password.clone(), used.network.clone());
                let times = uses.get(&place).map_or(0, |before| before.times);
                uses.insert(place, LoginUse { times: times.saturating_add(used.times), ..used });
            }
        }
    }
    let written = async {
        if !uses.is_empty() {
            store.record_logins(uses.into_values().collect()).await?;
        }
        if !recipients.is_empty() {
            store.record_recipients(recipients).await?;
        }
        Ok::<(), store::StoreError>(())
    };
    if let Err(error) = written.await {
        tracing::warn!(%error, "the use of passwords could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uses_of_a_password_are_summed_before_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let used = |last_ms| {
            Habit::Login(LoginUse {
                login: "me".into(),
                password: "phone".into(),
                network: "192.0.0.0".into(),
                address: "192.0.2.1".into(),
                mechanism: "PLAIN".into(),
                last_ms,
                times: 1,
            })
        };
        let known = KnownRecipient { login: "me".into(), recipient: 7, first_ms: 3 };
        write(&store, vec![used(1), used(2), Habit::Recipient(known)]).await;
        let found = store.logins(None, 0).await.unwrap();
        assert_eq!(found.iter().map(|f| (f.last_ms, f.times)).collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!(store.known_recipients("me".into()).await.unwrap(), [(7, 3)]);
    }
}
