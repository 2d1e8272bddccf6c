//! `waypost store`: copies between databases.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use store::{Copied, Place, copy_store};

use crate::cli::{StoreCommand, StoreCopyArgs};
use crate::open_store::shared;
use crate::output::{GOOD, Output, styled};

/// Runs a command.
pub async fn run(command: StoreCommand, out: Output) -> Result<ExitCode> {
    match command {
        StoreCommand::Copy(args) => copy(&args, out).await,
    }
}

/// A place on the command line.
fn place(text: &str) -> Place {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Place::Postgres { url: text.to_owned(), password: std::env::var("PGPASSWORD").ok() }
    } else {
        Place::Data(PathBuf::from(text))
    }
}

async fn copy(args: &StoreCopyArgs, out: Output) -> Result<ExitCode> {
    if let Place::Data(data) = place(&args.from)
        && !data.join("waypost.db").exists()
    {
        bail!("{} has no database\n  hint: name a data directory, or an address that begins with postgres://", data.display());
    }
    let now_ms = net::Clock::system().now_ms();
    let copied = copy_store(&place(&args.from), &place(&args.to), now_ms).await;
    let copied = copied.map_err(|error| shared("the copy failed; the source is unchanged", &error))?;
    out.show(&copied, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(copied: &Copied) -> String {
    let rows: u64 = copied.rows.iter().map(|(_, rows)| rows).sum();
    let mut lines = vec![format!("{} {rows} rows were copied and compared", styled(GOOD, "ok:"))];
    lines.extend(copied.rows.iter().map(|(table, rows)| format!("  {table}: {rows}")));
    lines.push(format!("  large contents: {}", copied.large_contents));
    lines.join("\n")
}
