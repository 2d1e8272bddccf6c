//! `waypost restore`: a backup into an empty data directory, verified.
//!
//! Invariant: a restore that was interrupted leaves no database, so that no server starts on half of the mail.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use store::{Damage, QueueReader};

use super::CONTENT;
use super::files::{copy, private_directory, sync_directory};
use super::manifest::{Manifest, OtherFile};
use crate::cli::RestoreArgs;
use crate::config;
use crate::output::{BAD, GOOD, Output, WARN, span, styled};

/// What was done.
#[derive(Debug, Serialize)]
struct RestoreReport {
    data_dir: PathBuf,
    made_ms: i64,
    messages: u64,
    recipients: u64,
    contents: usize,
    /// Files that belong outside of the data directory: the backup's, and where they were.
    elsewhere: Vec<(PathBuf, PathBuf)>,
    damage: Vec<Damage>,
    /// The PostgreSQL of the configuration, without its password: the restored mail is not in it yet.
    store: Option<String>,
}

/// Runs the command.
pub fn run(config: &Path, args: &RestoreArgs, out: Output) -> Result<ExitCode> {
    let directory = std::path::absolute(&args.directory)?;
    let manifest = Manifest::read(&directory)?.ok_or_else(|| {
        anyhow!("{} has no backup of Waypost\n  hint: name the directory that was given to `waypost backup`", directory.display())
    })?;
    if !store::opens_schema(manifest.schema) {
        bail!(
            "the backup is of Waypost {} with the schema {}, which this version ({}) cannot open\n  hint: restore it with that version or a later one",
            manifest.version,
            manifest.schema,
            env!("CARGO_PKG_VERSION")
        );
    }
    let (data, store) = target(config, args)?;
    refuse_used(&data)?;
    let wrong = manifest.check(&directory);
    if !wrong.is_empty() {
        bail!("the backup is damaged, and nothing was restored:\n  {}\n  hint: use another backup", wrong.join("\n  "));
    }
    copy_all(&manifest, &directory, &data)?;
    let reader = QueueReader::open(&data)?;
    let verified = reader.examine().and_then(|examined| reader.confirm(examined))?;
    drop(reader);
    give_to_owner(&data, &manifest.owner)?;
    let elsewhere = |other: &OtherFile| other.in_data.is_none().then(|| (directory.join(&other.file.path), other.original.clone()));
    let report = RestoreReport {
        made_ms: manifest.made_ms,
        messages: verified.messages,
        recipients: verified.recipients,
        contents: manifest.content.len(),
        elsewhere: manifest.files.iter().filter_map(elsewhere).collect(),
        damage: verified.damage,
        data_dir: data,
        store,
    };
    out.show(&report, text)?;
    Ok(if report.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the data directory to restore into, and the PostgreSQL that its mail belongs in.
fn target(config: &Path, args: &RestoreArgs) -> Result<(PathBuf, Option<String>)> {
    let address = |file: &config::FileOptions| file.store.url.as_ref().map(|url| url.get_ref().0.to_string());
    if let Some(data) = &args.data_dir {
        return Ok((std::path::absolute(data)?, config::options_of(config).as_ref().and_then(address)));
    }
    let file = config::load(config).context("name the data directory with --data-dir, or a configuration with --config")?.file;
    if let Some(url) = address(&file) {
        let beside = format!("{}-restored", file.data_dir.display());
        bail!(
            "{} has the mail in a PostgreSQL (store.url), so that no server would deliver what is restored into {}\n  hint: restore into another \
             directory, then copy it into a new, empty database: waypost restore {} --data-dir {beside}; waypost store copy {beside} '{url}' \
             (docs/cluster.md, \"Backup and restore\")",
            config.display(),
            file.data_dir.display(),
            args.directory.display(),
        );
    }
    Ok((file.data_dir, None))
}

/// Only an empty directory is restored into: mail that is in it would be lost.
fn refuse_used(data: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", data.display())),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let shown = data.display();
    bail!(
        "{shown} is not empty, and its mail would be lost\n  hint: stop the server and move it away: systemctl stop waypost; mv {shown} {shown}.old; then \
         restore again, and keep {shown}.old until its mail is delivered"
    )
}

/// Copies everything; the database gets its name last.
fn copy_all(manifest: &Manifest, directory: &Path, data: &Path) -> Result<()> {
    private_directory(data).with_context(|| format!("cannot create {}", data.display()))?;
    private_directory(&data.join(CONTENT))?;
    let put = |from: &Path, to: PathBuf| -> Result<()> {
        if let Some(parent) = to.parent() {
            private_directory(parent)?;
        }
        copy(&directory.join(from), &to).with_context(|| format!("cannot write {}", to.display()))
    };
    for content in &manifest.content {
        put(&content.path, data.join(&content.path))?;
    }
    for other in &manifest.files {
        let Some(below) =
            other.in_data.as_ref().filter(|below| below.components().all(|part| matches!(part, std::path::Component::Normal(_))))
        else {
            continue;
        };
        put(&other.file.path, data.join(below))?;
    }
    if let Some(history) = &manifest.history {
        put(&history.path, data.join("history.db"))?;
    }
    sync_directory(&data.join(CONTENT))?;
    put(&manifest.database.path, data.join("waypost.db"))?;
    Ok(sync_directory(data)?)
}

/// Root gives the files to the owner of the data directory, or to the owner that the backup names, so that the server can open them.
fn give_to_owner(data: &Path, owner: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let there = fs::metadata(data)?;
    let named = || nix::unistd::User::from_name(owner).ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    let Some((uid, gid)) = (if there.uid() == 0 { named() } else { Some((there.uid(), there.gid())) }) else { return Ok(()) };
    let mut places = vec![data.to_owned()];
    while let Some(place) = places.pop() {
        lchown(&place, Some(uid), Some(gid)).with_context(|| format!("cannot change the owner of {}", place.display()))?;
        if place.is_dir() {
            for entry in fs::read_dir(&place)? {
                places.push(entry?.path());
            }
        }
    }
    Ok(())
}

fn text(report: &RestoreReport) -> String {
    let age = span(net::Clock::system().now_ms() - report.made_ms);
    let mut lines = vec![format!(
        "{} {} messages for {} recipients are in {}, as they were {age} ago",
        styled(GOOD, "ok:"),
        report.messages,
        report.recipients,
        report.data_dir.display()
    )];
    let next = match &report.store {
        Some(url) => format!("it is not in the database of store.url yet; next: waypost store copy {} '{url}'", report.data_dir.display()),
        None => "waypost serve starts the server".to_owned(),
    };
    lines.push(format!("  mail that was delivered since then is delivered again; {next}"));
    for (from, to) in &report.elsewhere {
        lines.push(format!("{} not in the data directory: {} was {}", styled(WARN, "note:"), from.display(), to.display()));
    }
    for damage in &report.damage {
        lines.push(format!("{} {} {}", styled(BAD, "damage:"), damage.id, damage.what));
    }
    lines.join("\n")
}
