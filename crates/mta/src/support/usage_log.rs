//! Records where passwords were used and to which recipients accounts have sent.
//!
//! Invariant: no session waits for it; a crash may lose the last seconds, so that a known network or recipient counts as new again.

use std::collections::HashMap;

use store::{KnownRecipient, LoginUse, Store};

use crate::support::write_behind::{BatchWriter, WriteBehind};

/// An event to record.
#[derive(Debug)]
pub(crate) enum UsageEvent {
    /// A login.
    Login(LoginUse),
    /// The first message of an account to a recipient.
    Recipient(KnownRecipient),
}

/// Queues events for the log.
pub(crate) type UsageLog = WriteBehind<UsageEvent>;

/// Starts the writer.
pub(crate) fn start(store: Store) -> UsageLog {
    WriteBehind::start(UsageWriter(store))
}

struct UsageWriter(Store);

impl BatchWriter<UsageEvent> for UsageWriter {
    async fn write(&mut self, batch: Vec<UsageEvent>, _dropped: u64) {
        write(&self.0, batch).await;
    }
}

async fn write(store: &Store, events: Vec<UsageEvent>) {
    let mut uses: HashMap<(String, String, String), LoginUse> = HashMap::new();
    let mut recipients = Vec::new();
    for event in events {
        match event {
            UsageEvent::Recipient(known) => recipients.push(known),
            UsageEvent::Login(used) => {
                let key = (used.login.clone(), used.password.clone(), used.network.clone());
                let times = uses.get(&key).map_or(0, |before| before.times);
                uses.insert(key, LoginUse { times: times.saturating_add(used.times), ..used });
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
        tracing::warn!(%error, "cannot record logins and recipients");
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
            UsageEvent::Login(LoginUse {
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
        write(&store, vec![used(1), used(2), UsageEvent::Recipient(known)]).await;
        let found = store.logins(None, 0).await.unwrap();
        assert_eq!(found.iter().map(|f| (f.last_ms, f.times)).collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!(store.known_recipients("me".into()).await.unwrap(), [(7, 3)]);
    }
}
