//! What a backup has beside the queue: keys, certificates, the configuration, the history.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files::{copy, private_directory, private_file};
use super::manifest::{BackupFile, Manifest, OtherFile};
use crate::cli::BackupArgs;
use crate::config::Config;

/// Files of the data directory that have a place of their own in the backup, or that a server makes anew.
/// `node` is the identity of one node's process: with a copy of it, another one would take its claims for its own.
const NOT_KEYS: [&str; 10] =
    ["waypost.db", "history.db", "content", "lock", "reserve", "database-made", "journal", "waypost.sock", "node", "copies"];

/// Copies the history, if it is wanted and there is one; otherwise the one of an earlier run stays.
pub(super) fn history(config: &Config, args: &BackupArgs, directory: &Path, before: Option<&Manifest>) -> Result<Option<BackupFile>> {
    let before = before.and_then(|before| before.history.clone());
    if !(args.history || args.all) {
        return Ok(before);
    }
    // One name in two turns: SQLite does not write over a file, and the one before stays until the manifest is replaced.
    let names = ["history-a.db", "history-b.db"];
    let is_free = |name: &&str| before.as_ref().is_none_or(|before| before.path != Path::new(name));
    let name = names.into_iter().find(is_free).unwrap_or("history-a.db");
    let place = directory.join(name);
    let _ = fs::remove_file(&place);
    match history::copy_history(&config.file.data_dir, &place).context("cannot copy the history")? {
        true => {
            private_file(&place)?;
            BackupFile::of(directory, Path::new(name)).map(Some)
        }
        false => Ok(None),
    }
}

/// Copies keys and configuration, if they are wanted; otherwise those of an earlier run stay.
pub(super) fn take(config: &Config, args: &BackupArgs, directory: &Path, before: Option<&Manifest>) -> Result<Vec<OtherFile>> {
    let is_wanted = |other: &OtherFile| args.all || if other.file.path.starts_with("keys") { args.keys } else { args.config_file };
    let mut taken: Vec<OtherFile> = before.iter().flat_map(|before| &before.files).filter(|other| !is_wanted(other)).cloned().collect();
    let data = &config.file.data_dir;
    if args.keys || args.all {
        for path in in_data(data)? {
            let below = path.strip_prefix(data).unwrap_or(&path).to_owned();
            taken.push(take_one(directory, &path, &Path::new("keys/data").join(&below), Some(below))?);
        }
        for (n, path) in crate::serve::sandbox::named_files(&config.file).into_iter().filter(|path| !path.starts_with(data)).enumerate() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_file() {
                taken.push(take_one(directory, path, &PathBuf::from(format!("keys/named/{n}-{name}")), None)?);
            }
        }
    }
    if args.config_file || args.all {
        let path = std::path::absolute(&config.path)?;
        taken.push(take_one(directory, &path, Path::new("config/waypost.toml"), None)?);
    }
    Ok(taken)
}

fn take_one(directory: &Path, from: &Path, to: &Path, in_data: Option<PathBuf>) -> Result<OtherFile> {
    let place = directory.join(to);
    if let Some(parent) = place.parent() {
        private_directory(parent)?;
    }
    copy(from, &place).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(OtherFile { file: BackupFile::of(directory, to)?, original: from.to_owned(), in_data })
}

/// The regular files of the data directory that are not the queue's or the history's.
fn in_data(data: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut places) = (Vec::new(), vec![data.to_owned()]);
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(&place).with_context(|| format!("cannot open {}", place.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_other = place == *data && NOT_KEYS.iter().any(|other| name.starts_with(other));
            let kind = entry.file_type()?;
            match () {
                () if is_other => {}
                () if kind.is_dir() => places.push(entry.path()),
                () if kind.is_file() => found.push(entry.path()),
                () => {}
            }
        }
    }
    found.sort();
    Ok(found)
}
