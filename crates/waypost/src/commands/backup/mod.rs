//! `waypost backup`: a consistent copy of the queue, accounts and aliases, made while the server runs.
//!
//! The server is asked to bring its database up to date; then this process reads the files beside it. A content file never changes, so that a hard link is a
//! copy. Invariant: what the manifest names is on disk; an earlier backup in the directory is usable until then.

mod files;
mod manifest;
mod others;
mod restore;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use control_api::api::{Page, QueuedMessage};
use serde::Serialize;
use store::{ContentFile, QueueReader, Snapshot};

use crate::cli::BackupArgs;
use crate::config::Config;
use crate::output::{BAD, GOOD, Output, WARN, size, styled};
use crate::transport::Transport;
use files::{Taken, private_directory, private_file, sync_directory, take};
use manifest::{BackupFile, Manifest};

pub use restore::run as restore;

/// The directory of content files, in the data directory and in a backup.
const CONTENT: &str = "content";

/// What the names of our files and directories in a backup begin with, besides the manifest.
const OURS: [&str; 5] = ["waypost-", "history-", CONTENT, "keys", "config"];

/// What was done.
#[derive(Debug, Default, Serialize)]
struct BackupReport {
    directory: PathBuf,
    messages: u64,
    recipients: u64,
    database_bytes: u64,
    linked: u64,
    copied: u64,
    kept: u64,
    removed: u64,
    delivered_meanwhile: u64,
    other_files: usize,
    /// Contents that the queue names and that are missing on the disk.
    missing: Vec<String>,
}

/// Runs the command.
pub async fn run(config: &Config, args: BackupArgs, out: Output) -> Result<ExitCode> {
    let directory = std::path::absolute(&args.directory)?;
    let before = prepare(&directory, &config.file.data_dir)?;
    let lock = fs::File::options().create(true).truncate(false).write(true).open(directory.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("another backup into {} is in progress", directory.display());
    }
    let mut api = Transport::open(config).await?;
    settle(&mut api).await?;
    let made_ms = net::Clock::system().now_ms();
    let database = PathBuf::from(format!("waypost-{made_ms}.db"));
    let mut report = BackupReport { directory: directory.clone(), ..BackupReport::default() };
    let snapshot = match &config.file.store.url {
        Some(_) => copy_postgres(config, &directory, &database, made_ms).await?,
        None => copy_sqlite(config, &mut api, &database, &mut report).await?,
    };
    let schema = snapshot.schema()?;
    [report.messages, report.recipients] = snapshot.totals()?;
    let content = snapshot.content_files(&directory.join(CONTENT))?;
    snapshot.close()?;
    private_file(&directory.join(&database))?;
    let manifest = Manifest {
        format: Manifest::format(),
        version: env!("CARGO_PKG_VERSION").into(),
        schema,
        made_ms,
        data_dir: config.file.data_dir.clone(),
        owner: owner_of(&config.file.data_dir),
        messages: report.messages,
        recipients: report.recipients,
        database: BackupFile::of(&directory, &database)?,
        content: describe(&directory, content, before.as_ref())?,
        history: others::history(config, &args, &directory, before.as_ref())?,
        files: others::take(config, &args, &directory, before.as_ref())?,
    };
    report.database_bytes = manifest.database.size_bytes;
    report.other_files = manifest.files.len() + usize::from(manifest.history.is_some());
    sync_directory(&directory.join(CONTENT))?;
    manifest.write(&directory)?;
    report.removed = remove_old(&directory, &manifest)?;
    out.show(&report, text)?;
    Ok(if report.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Copies the database and the content files of the data directory, beside a server that runs.
async fn copy_sqlite(config: &Config, api: &mut Transport, database: &Path, report: &mut BackupReport) -> Result<Snapshot> {
    let reader = QueueReader::open(&config.file.data_dir)?;
    let directory = report.directory.clone();
    let snapshot = reader.copy_to(&directory.join(database)).context("cannot copy the database")?;
    let gone = take_content(&snapshot, &config.file.data_dir, &directory, report)?;
    if !gone.is_empty() {
        settle(api).await?;
    }
    let (missing, delivered): (Vec<_>, Vec<_>) = gone.into_iter().partition(|content| reader.names(&content.name).unwrap_or(true));
    report.delivered_meanwhile = snapshot.remove(&delivered)?;
    report.missing = missing.into_iter().map(|content| content.name).collect();
    Ok(snapshot)
}

/// Copies what the nodes share into a database of SQLite, as it was at one moment: `waypost restore` makes one server of it, and `waypost store copy` a
/// PostgreSQL again.
async fn copy_postgres(config: &Config, directory: &Path, database: &Path, made_ms: i64) -> Result<Snapshot> {
    let (url, password) = crate::open_store::address(config)?.context("store.url is not set")?;
    let target = directory.join(database);
    let copied = store::copy_for_backup(url, password, target.clone(), directory.join(CONTENT), made_ms).await;
    copied.map_err(|error| crate::open_store::shared("cannot copy the database", &error))?;
    Ok(Snapshot::open(&target)?)
}

/// Asks for the first message of the queue: the server answers from its database, so that everything accepted before is in it.
pub(super) async fn settle(api: &mut Transport) -> Result<()> {
    let _: Page<QueuedMessage> = api.query("/api/v1/queue", &[("limit", Some("1".into()))]).await?;
    Ok(())
}

/// Creates the directory, or returns the manifest of the backup in it.
fn prepare(directory: &Path, data: &Path) -> Result<Option<Manifest>> {
    if directory.starts_with(data) {
        bail!("{} is in the data directory\n  hint: name a directory elsewhere, best on another disk", directory.display());
    }
    let before = Manifest::read(directory)?;
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", directory.display())),
    };
    // An interrupted first backup has left its lock.
    if before.is_none() && !is_empty && !directory.join("lock").exists() {
        bail!("{} is not empty, and no backup of Waypost is in it\n  hint: name an empty directory", directory.display());
    }
    private_directory(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    private_directory(&directory.join(CONTENT))?;
    Ok(before)
}

/// Takes the content files of the copy. Returns those that are gone.
fn take_content(snapshot: &Snapshot, data: &Path, directory: &Path, report: &mut BackupReport) -> Result<Vec<ContentFile>> {
    let mut gone = Vec::new();
    for content in snapshot.content_files(&data.join(CONTENT))? {
        let to = directory.join(CONTENT).join(&content.name);
        if fs::metadata(&to).is_ok_and(|there| there.len() == content.size_bytes) {
            report.kept += 1;
            continue;
        }
        match take(&content.path, &to) {
            Ok(Taken::Linked) => report.linked += 1,
            Ok(Taken::Copied) => report.copied += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => gone.push(content),
            Err(error) => return Err(error).with_context(|| format!("cannot copy {}", content.path.display())),
        }
    }
    Ok(gone)
}

/// Describes the content files; digests of an earlier backup are used again, since content never changes.
fn describe(directory: &Path, content: Vec<ContentFile>, before: Option<&Manifest>) -> Result<Vec<BackupFile>> {
    let known: HashMap<&Path, &BackupFile> =
        before.iter().flat_map(|before| &before.content).map(|file| (file.path.as_path(), file)).collect();
    let present = content.into_iter().filter(|content| content.path.exists());
    present
        .map(|content| {
            let path = Path::new(CONTENT).join(&content.name);
            match known.get(path.as_path()) {
                Some(file) if file.size_bytes == content.size_bytes => Ok((*file).clone()),
                _ => BackupFile::of(directory, &path),
            }
        })
        .collect()
}

/// Removes what only earlier backups had. Returns the number of files.
fn remove_old(directory: &Path, manifest: &Manifest) -> Result<u64> {
    let named: HashSet<PathBuf> = manifest.all_files().map(|file| directory.join(&file.path)).collect();
    let mut removed = 0;
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(&place)? {
            let path = entry?.path();
            // What others have put there stays.
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_foreign = place == directory && !OURS.iter().any(|ours| name.starts_with(ours));
            match () {
                () if is_foreign || named.contains(&path) => {}
                () if path.is_dir() => places.push(path),
                () => {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

/// Name of the owner of the data directory.
fn owner_of(data: &Path) -> String {
    let uid = fs::metadata(data).map(|metadata| metadata.uid()).unwrap_or_default();
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

fn text(report: &BackupReport) -> String {
    let mut lines = vec![format!(
        "{} {} messages for {} recipients are in {}",
        styled(GOOD, "ok:"),
        report.messages,
        report.recipients,
        report.directory.display()
    )];
    lines.push(format!(
        "  database {}; contents: {} linked, {} copied, {} kept from before, {} removed; {} other files",
        size(report.database_bytes),
        report.linked,
        report.copied,
        report.kept,
        report.removed,
        report.other_files
    ));
    if report.delivered_meanwhile > 0 {
        lines.push(format!("  {} messages were delivered while the backup was made", report.delivered_meanwhile));
    }
    if report.other_files == 0 {
        lines.push(format!("{} keys, configuration and history are not in it; --all adds them", styled(WARN, "note:")));
    }
    for name in &report.missing {
        lines.push(format!(
            "{} the content of message {name} is missing on the disk; waypost queue verify shows all damage",
            styled(BAD, "damage:")
        ));
    }
    lines.join("\n")
}
