//! The files of the data directory that the nodes of one database need alike: secrets, certificates, the ACME account.
//!
//! At a start a node takes a file from the database, or stores its own there if it is the first one. Later changes are news. Files that the configuration
//! names are the operator's matter and are not touched. Invariants: a value of the database replaces a file only when it is new to this node, and the file
//! before it is kept as NAME.before; a pair that does not load replaces none.

mod challenges;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use mail::Domain;
use net::acme::{CertificateDir, Challenges, Directories, private_directory};
use net::{Clock, blocking, sha256};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{News, NodeValues, Store, StoreError};
use tokio::sync::watch;

use crate::config::{self, Config};

/// Prefixes of the names of shared values.
const FILES: &str = "file/";
const CERTIFICATES: &str = "certificate/";
const CHALLENGES: &str = NodeValues::CHALLENGES;

/// The digest of the key that seals passwords, of the first node.
const PASSWORD_KEY: &str = "digest/passwords.key";

/// The clocks of two nodes may differ by this much without a change being overlooked.
const CLOCKS_DIFFER_MS: i64 = 3_600_000;

/// The files that this process shares with other nodes.
pub struct SharedFiles {
    pub(crate) store: Store,
    /// The name of this node.
    node: String,
    pub(crate) hostname: Domain,
    data: PathBuf,
    directories: Directories,
    challenges: Challenges,
    /// The secrets within the data directory.
    secrets: Vec<SecretFile>,
    password_key: PathBuf,
    /// Whether the key that seals passwords is not that of the first node.
    has_other_key: AtomicBool,
    seen: Mutex<SeenValues>,
}

/// What this node has read or written last.
#[derive(Default)]
struct SeenValues {
    /// Digests of values, by name.
    values: HashMap<String, [u8; 32]>,
    /// Values stored before this were read, Unix milliseconds.
    until_ms: i64,
    /// The host names of the other nodes.
    other_hosts: Vec<Domain>,
}

/// A file with a secret.
struct SecretFile {
    name: &'static str,
    make: fn(&Path) -> Result<()>,
}

/// The files of a certificate, as they are shared.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CertificateFiles {
    certificate: String,
    key: String,
    next_key: Option<String>,
    state: Option<String>,
}

/// What other nodes have changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FilesChanged {
    /// A secret of return addresses.
    pub secrets: bool,
    /// A certificate.
    pub certificates: bool,
    /// The host names of the other nodes, if they are not those of before.
    pub other_hosts: Option<Vec<Domain>>,
}

impl SharedFiles {
    /// Those of this configuration; `None` if no other node shares the store.
    pub fn new(config: &Config, store: &Store, challenges: Challenges) -> Option<Self> {
        let node = store.node_name()?.to_owned();
        let data = config.file.data_dir.clone();
        let all = [(config.file.srs_secrets(), SecretFile { name: "srs.secrets", make: config::secrets::make })];
        let secrets = all.into_iter().filter(|(path, file)| *path == data.join(file.name)).map(|(_, file)| file).collect();
        let (hostname, directories) = (config.settings.hostname.clone(), config.certificate_directories());
        let password_key = config.file.password_key();
        let (store, has_other_key) = (store.clone(), AtomicBool::new(false));
        Some(Self { store, node, hostname, data, directories, challenges, secrets, password_key, has_other_key, seen: Mutex::default() })
    }

    /// Takes the secrets from the database, or stores those of this node there.
    ///
    /// # Errors
    /// The database does not answer, or a file cannot be read or written.
    pub async fn adopt_secrets(&self) -> Result<()> {
        for SecretFile { name, make } in &self.secrets {
            let (path, shared_name) = (self.data.join(name), format!("{FILES}{name}"));
            let value = match self.store.shared_get(&shared_name).await? {
                Some(value) => value,
                None => {
                    make(&path)?;
                    let own = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    self.store.shared_offer(&shared_name, own, Clock::system().now_ms()).await?
                }
            };
            self.note(&shared_name, &value);
            self.replace(name, &value)?;
        }
        Ok(())
    }

    /// Warns if the key that seals passwords is not that of the other nodes. It is not shared: a copy of the database must not be enough to read them.
    async fn compare_password_key(&self) -> Result<()> {
        config::secrets::password_key(&self.password_key)?;
        let path = self.password_key.display();
        let own = sha256(&[&fs::read(&self.password_key).with_context(|| format!("cannot read {path}"))?]).to_vec();
        let first = self.store.shared_offer(PASSWORD_KEY, own.clone(), Clock::system().now_ms()).await?;
        self.has_other_key.store(first != own, Ordering::SeqCst);
        if first != own {
            tracing::warn!(
                file = %path,
                "the key that seals passwords is not that of the other nodes: logins by CRAM-MD5, DIGEST-MD5 and NTLM, and codes of a second step, fail at \
                 one of them; copy the file from the first node, and restart"
            );
        }
        Ok(())
    }

    /// Whether the key that seals passwords was not that of the first node at the start.
    pub fn has_other_key(&self) -> bool {
        self.has_other_key.load(Ordering::SeqCst)
    }

    /// At the start: takes everything from the database, after storing there what only this node has.
    ///
    /// # Errors
    /// As [`Self::adopt_secrets`].
    pub async fn adopt(&self) -> Result<()> {
        let now_ms = Clock::system().now_ms();
        self.adopt_secrets().await?;
        self.compare_password_key().await?;
        // Of an order that the end of the last process interrupted.
        self.store.shared_remove(&self.own(CHALLENGES)).await?;
        self.store.shared_put(&self.own(NodeValues::HOSTNAME), self.hostname.to_string().into(), now_ms).await?;
        for name in account_files(&self.directories.accounts) {
            if let Ok(text) = fs::read(self.directories.accounts.join(&name)) {
                self.store.shared_offer(&format!("{FILES}acme/{name}"), text, now_ms).await?;
            }
        }
        for name in certificate_names(&self.directories.certificates) {
            if let Some(files) = CertificateFiles::read(&self.certificate(&name)) {
                self.store.shared_offer(&format!("{CERTIFICATES}{name}"), files.encoded()?, now_ms).await?;
            }
        }
        self.take().await.map(drop)
    }

    /// Takes what other nodes have stored since the last time.
    ///
    /// # Errors
    /// The database does not answer, or a file cannot be written.
    pub async fn take(&self) -> Result<FilesChanged> {
        let (now_ms, since_ms) = (Clock::system().now_ms(), self.seen.lock().until_ms);
        let mut changed = FilesChanged::default();
        for (shared_name, value) in self.store.shared_list(FILES, since_ms).await? {
            let Some(name) = shared_name.strip_prefix(FILES) else { continue };
            let is_secret = self.secrets.iter().any(|file| file.name == name);
            let is_ours = is_secret || name.strip_prefix("acme/").is_some_and(is_plain_name);
            if is_ours && self.is_news(&shared_name, &value) {
                changed.secrets |= self.replace(name, &value)? && is_secret;
                self.note(&shared_name, &value);
            }
        }
        for (shared_name, value) in self.store.shared_list(CERTIFICATES, since_ms).await? {
            let Some(name) = shared_name.strip_prefix(CERTIFICATES).filter(|name| is_plain_name(name)) else { continue };
            if self.is_news(&shared_name, &value) {
                changed.certificates |= self.install(name, &value);
                self.note(&shared_name, &value);
            }
        }
        changed.other_hosts = self.take_hosts().await?;
        self.take_challenges().await?;
        self.seen.lock().until_ms = now_ms - CLOCKS_DIFFER_MS;
        Ok(changed)
    }

    /// Stores secrets that the operator has edited on this node.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn share_edited(&self) -> Result<()> {
        for SecretFile { name, .. } in &self.secrets {
            let Ok(text) = fs::read(self.data.join(name)) else { continue };
            self.share(&format!("{FILES}{name}"), text).await?;
        }
        Ok(())
    }

    /// Stores the files of a certificate, and the account, if they have changed.
    pub(crate) async fn share_certificate(&self, name: &str) -> Result<()> {
        for account in account_files(&self.directories.accounts) {
            if let Ok(text) = fs::read(self.directories.accounts.join(&account)) {
                self.share(&format!("{FILES}acme/{account}"), text).await?;
            }
        }
        let place = self.certificate(name);
        let Some(files) = blocking(move || CertificateFiles::read(&place)).await else { return Ok(()) };
        self.share(&format!("{CERTIFICATES}{name}"), files.encoded()?).await
    }

    /// Whether another node has the hostname of this one.
    pub(crate) async fn hostname_is_shared(&self) -> Result<bool, StoreError> {
        Ok(self.store.hostnames().await?.iter().any(|(node, host)| *node != self.node && *host == self.hostname))
    }

    /// The host names of the other nodes, each once, without that of this one; as taken last.
    pub fn other_hosts(&self) -> Vec<Domain> {
        self.seen.lock().other_hosts.clone()
    }

    /// All of them are read: one that was removed leaves nothing behind.
    async fn take_hosts(&self) -> Result<Option<Vec<Domain>>, StoreError> {
        let now = self.store.hostnames().await?.into_values().filter(|host| *host != self.hostname);
        let now: Vec<Domain> = now.collect::<BTreeSet<Domain>>().into_iter().collect();
        let mut seen = self.seen.lock();
        let is_news = seen.other_hosts != now;
        seen.other_hosts.clone_from(&now);
        Ok(is_news.then_some(now))
    }

    /// What other nodes change.
    pub fn news(&self) -> watch::Receiver<News> {
        self.store.news()
    }

    async fn share(&self, shared_name: &str, value: Vec<u8>) -> Result<()> {
        if self.is_news(shared_name, &value) {
            self.store.shared_put(shared_name, value.clone(), Clock::system().now_ms()).await?;
            self.note(shared_name, &value);
        }
        Ok(())
    }

    fn own(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.node)
    }

    fn certificate(&self, name: &str) -> CertificateDir {
        CertificateDir(self.directories.certificates.join(name))
    }

    fn is_news(&self, shared_name: &str, value: &[u8]) -> bool {
        self.seen.lock().values.get(shared_name) != Some(&sha256(&[value]))
    }

    fn note(&self, shared_name: &str, value: &[u8]) {
        self.seen.lock().values.insert(shared_name.to_owned(), sha256(&[value]));
    }

    /// Writes a file of the data directory, unless it has this content. Returns whether it was written.
    fn replace(&self, name: &str, value: &[u8]) -> Result<bool> {
        let path = self.data.join(name);
        let failed = || format!("cannot write {}, which the nodes of the database share", path.display());
        match fs::read(&path) {
            Ok(before) if before == value => return Ok(false),
            Ok(_) => {
                let kept = path.with_file_name(format!("{}.before", path.file_name().unwrap_or_default().to_string_lossy()));
                let _ = fs::remove_file(&kept);
                // The file itself stays until it is replaced: at no moment is there none.
                fs::hard_link(&path, &kept).with_context(failed)?;
                tracing::warn!(file = %path.display(), kept = %kept.display(), "replaced a file by the one that the nodes of the database share");
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::info!(file = %path.display(), "took a file that the nodes of the database share");
            }
            Err(error) => return Err(error).with_context(failed),
        }
        path.parent().map_or(Ok(()), private_directory).with_context(failed)?;
        let text = std::str::from_utf8(value).with_context(failed)?;
        net::acme::write(&path, text, 0o600).with_context(failed)?;
        Ok(true)
    }

    /// Installs a certificate; one that does not load changes nothing, and the log says so. Returns whether it was installed.
    fn install(&self, name: &str, value: &[u8]) -> bool {
        let installed = serde_json::from_slice::<CertificateFiles>(value)
            .map_err(|error| error.to_string())
            .and_then(|files| files.install(&self.certificate(name)));
        match installed {
            Ok(is_new) => is_new,
            Err(error) => {
                tracing::warn!(certificate = name, error, "cannot use the certificate that another node has stored");
                false
            }
        }
    }
}

impl CertificateFiles {
    /// Reads those of a directory; `None` without a certificate.
    fn read(dir: &CertificateDir) -> Option<Self> {
        let (certificate, key) = (fs::read_to_string(dir.certificate()).ok()?, fs::read_to_string(dir.key()).ok()?);
        let other = |path: PathBuf| fs::read_to_string(path).ok();
        Some(Self { certificate, key, next_key: other(dir.next_key()), state: other(dir.state()) })
    }

    fn encoded(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Writes those that differ. Returns whether the certificate is another one now.
    fn install(&self, dir: &CertificateDir) -> Result<bool, String> {
        let failed = |error: std::io::Error| format!("cannot write in {}: {error}", dir.0.display());
        let before = Self::read(dir).unwrap_or_default();
        let is_new = (&before.certificate, &before.key) != (&self.certificate, &self.key);
        private_directory(&dir.0).map_err(failed)?;
        if is_new {
            net::acme::write(&dir.next_key(), &self.key, 0o600).map_err(failed)?;
            dir.install(&self.certificate, &dir.next_key())?;
        }
        if let Some(next_key) = self.next_key.as_ref().filter(|key| is_new || before.next_key.as_ref() != Some(key)) {
            net::acme::write(&dir.next_key(), next_key, 0o600).map_err(failed)?;
        }
        if let Some(state) = self.state.as_ref().filter(|state| before.state.as_ref() != Some(state)) {
            net::acme::write(&dir.state(), state, 0o600).map_err(failed)?;
        }
        Ok(is_new)
    }
}

/// Whether this is the name of a file in its directory.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn account_files(directory: &Path) -> Vec<String> {
    names_in(directory).into_iter().filter(|name| name.ends_with(".json")).collect()
}

fn certificate_names(directory: &Path) -> Vec<String> {
    names_in(directory)
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_plain_name(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str) -> CertificateFiles {
        let (certificate, key) = net::self_signed(&[name.into()]).unwrap();
        CertificateFiles { certificate, key, next_key: Some("next".into()), state: Some("{}".into()) }
    }

    #[test]
    fn a_certificate_is_installed_whole_or_not_at_all() {
        let data = tempfile::tempdir().unwrap();
        let dir = CertificateDir(data.path().join("a.test"));
        let (first, second) = (files("a.test"), files("a.test"));
        assert_eq!((first.install(&dir), CertificateFiles::read(&dir).as_ref()), (Ok(true), Some(&first)));
        assert_eq!(first.install(&dir), Ok(false), "it is there already");
        let mixed = CertificateFiles { key: second.key.clone(), ..files("a.test") };
        assert!(mixed.install(&dir).is_err());
        let left = CertificateFiles::read(&dir).unwrap();
        assert_eq!((&left.certificate, &left.key), (&first.certificate, &first.key));
        assert_eq!((second.install(&dir), CertificateFiles::read(&dir)), (Ok(true), Some(second)));
    }

    #[test]
    fn names_of_shared_files_stay_in_their_directory() {
        let names = ["a.test", "acme-v02.api.letsencrypt.org-directory.json", "..", "../x", "a/b", "", ".ssh"];
        assert_eq!(names.map(is_plain_name), [true, true, false, false, false, false, false]);
    }
}
