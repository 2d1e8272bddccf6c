//! `waypost store`: copies between databases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use store::{Copied, Place, StoreError, copy_store};

use crate::cli::{StoreCommand, StoreCopyArgs};
use crate::config::StoreUrl;
use crate::output::{GOOD, Output, WARN, styled};

/// What a copy does not have.
const KEYS_OF: &str = "files are not copied: before a server starts on the copy, copy those of passwords.key, srs.secrets, tls, certificates and acme that \
     exist from FROM to its data directory; without them it makes new ones, and sealed passwords and return addresses of before do not work";

/// Runs a command.
pub async fn run(command: StoreCommand, out: Output) -> Result<ExitCode> {
    match command {
        StoreCommand::Copy(args) => copy(&args, out).await,
    }
}

/// A place on the command line: an address, or a data directory.
fn place(text: &str) -> Result<Place> {
    let url: StoreUrl = text.parse()?;
    // A directory with such a name is written with ./ before it.
    if !text.contains("://") && !url.has_keys() {
        return Ok(Place::Data(PathBuf::from(text)));
    }
    url.check().map_err(|fault| anyhow!("{url} cannot be used: {}\n  hint: {}", fault.what, fault.hint))?;
    Ok(Place::Postgres { url: text.to_owned(), password: std::env::var("PGPASSWORD").ok().filter(|_| !url.has_password()) })
}

/// Refuses directories that cannot be meant.
fn check(from: &Place, to: &Place) -> Result<()> {
    if let Place::Data(data) = from
        && !data.join("waypost.db").exists()
    {
        bail!("{} has no database\n  hint: name a data directory, or an address that begins with postgres://", data.display());
    }
    if let Place::Data(data) = to {
        let absolute = std::path::absolute(data)?;
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            bail!(
                "{} cannot be made: there is no directory {}\n  hint: name a directory in one that exists, or an address that begins with postgres://",
                data.display(),
                parent.display()
            );
        }
    }
    let is_same = match (from, to) {
        (Place::Data(from), Place::Data(to)) => {
            fs::canonicalize(from).ok().is_some_and(|from| fs::canonicalize(to).is_ok_and(|to| from == to))
        }
        (Place::Postgres { url: from, .. }, Place::Postgres { url: to, .. }) => from == to,
        _ => false,
    };
    if is_same {
        bail!("the source and the target are the same\n  hint: name a new data directory or a new, empty database as the target");
    }
    Ok(())
}

async fn copy(args: &StoreCopyArgs, out: Output) -> Result<ExitCode> {
    let (from, to) = (place(&args.from)?, place(&args.to)?);
    check(&from, &to)?;
    let now_ms = net::Clock::system().now_ms();
    let copied = copy_store(&from, &to, now_ms).await.map_err(|error| failed(&error, &from, &to))?;
    let files_of = match &from {
        Place::Data(data) => data.display().to_string(),
        Place::Postgres { .. } => "the data directory of a node".to_owned(),
    };
    let keys = KEYS_OF.replace("FROM", &files_of);
    out.show(&copied, |copied| text(copied, &keys))?;
    Ok(ExitCode::SUCCESS)
}

/// An error of a copy, with what to do about the side that it is about.
fn failed(error: &StoreError, from: &Place, to: &Place) -> anyhow::Error {
    let what = "the copy failed; the source is unchanged";
    let of_data = [from, to].into_iter().find_map(|place| match (place, error) {
        (_, StoreError::InUse(data)) | (Place::Data(data), _) => error.remedy(data),
        _ => None,
    });
    let is_postgres = |place: &Place| matches!(place, Place::Postgres { .. });
    let remedy = error.shared_remedy().filter(|_| is_postgres(from) || is_postgres(to)).or(of_data);
    match (error, remedy) {
        // What runs or is not empty is named before the remedy.
        (StoreError::Exists(text), _) => anyhow!("{what}: {}", text.replacen("; ", "\n  hint: ", 1)),
        (_, Some(remedy)) => anyhow!("{what}: {error}\n  hint: {remedy}"),
        (_, None) => anyhow!("{what}: {error}"),
    }
}

fn text(copied: &Copied, keys: &str) -> String {
    let rows: u64 = copied.rows.iter().map(|(_, rows)| rows).sum();
    let mut lines = vec![format!("{} {rows} rows were copied and compared", styled(GOOD, "ok:"))];
    lines.extend(copied.rows.iter().map(|(table, rows)| format!("  {table}: {rows}")));
    lines.push(format!("  large contents: {}", copied.large_contents));
    lines.push(format!("{} {keys}", styled(WARN, "note:")));
    lines.join("\n")
}
