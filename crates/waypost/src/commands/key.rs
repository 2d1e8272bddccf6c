//! `waypost key`: DKIM keys, their records and their rotation.

use anyhow::{Result, bail};
use control_api::api::{Changed, KeyView, KeysChanged, NewKeys, RotateKeys};

use crate::cli::KeyCommand;
use crate::output::{BOLD, DIM, GOOD, Output, styled, table};
use crate::transport::{Transport, segment, with_query};

pub(super) async fn run(api: &mut Transport, command: KeyCommand, out: Output) -> Result<()> {
    match command {
        KeyCommand::List => {
            let keys: Vec<KeyView> = api.list("/api/v1/keys", &[]).await?;
            out.show(&keys, |keys| list(keys))?;
        }
        KeyCommand::Show { domain } => {
            let keys: Vec<KeyView> = api.list("/api/v1/keys", &[]).await?;
            let keys: Vec<KeyView> = keys.into_iter().filter(|key| key.domain.eq_ignore_ascii_case(domain.trim())).collect();
            if keys.is_empty() {
                bail!("{domain} has no DKIM key\n  hint: waypost key list shows all keys; waypost key add {domain} creates the first ones");
            }
            out.show(&keys, |keys| records(keys))?;
        }
        KeyCommand::Add { domain } => {
            let done: KeysChanged = api.post("/api/v1/keys", &NewKeys { domain }).await?;
            out.show(&done, changed)?;
        }
        KeyCommand::Remove { domain, selector, force } => {
            let query = [("selector", selector), ("force", force.then(|| "true".to_owned()))];
            let done: Changed = api.delete(&with_query(&format!("/api/v1/keys/{}", segment(&domain)), &query)).await?;
            super::changed(out, &done)?;
        }
        KeyCommand::Rotate { domain, force } => {
            let done: KeysChanged = api.post(&format!("/api/v1/keys/{}/rotate", segment(&domain)), &RotateKeys { force }).await?;
            out.show(&done, changed)?;
        }
    }
    Ok(())
}

fn changed(done: &KeysChanged) -> String {
    format!("{} {}\n\n{}", styled(GOOD, "ok:"), done.changed, records(&done.keys))
}

fn list(keys: &[KeyView]) -> String {
    if keys.is_empty() {
        return styled(DIM, "no DKIM keys yet; create the first ones: waypost key add example.com");
    }
    let row = |key: &KeyView| {
        let since = mail::rfc5322_date(key.since_ms / 1000);
        vec![key.domain.clone(), key.selector.clone(), key.key_type.clone(), key.state.clone(), since]
    };
    table(&["domain", "selector", "type", "state", "since"], &keys.iter().map(row).collect::<Vec<_>>())
}

/// The records one below the other, because they are too long for a table.
fn records(keys: &[KeyView]) -> String {
    let one = |key: &KeyView| format!("{}  {}\n{}. TXT\n\"{}\"", styled(BOLD, &key.selector), key.state, key.record_name, key.record);
    keys.iter().map(one).collect::<Vec<_>>().join("\n\n")
}
