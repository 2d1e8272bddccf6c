//! Which node a data directory is, so that a copy of it is told from the directory itself.
//!
//! A file in the directory has a random name of the instance, the stays that it had last, and where it was then. Invariant: a process takes over a lease that
//! has not ended only if this directory, on this boot of this machine, had it: after a crash, and not beside another process with a copy.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use nix::time::ClockId;

use crate::error::StoreError;

/// The file in the data directory.
const FILE: &str = "node";

/// How far two readings of the time of a boot may differ, since the clock is corrected meanwhile, in seconds. After a larger step a crash counts as that of
/// another machine: the lease has to end first.
const SAME_BOOT_S: u64 = 10;

/// Stays that are kept: more than one, since the outcome of a registration may be unknown.
const STAYS_MAX: usize = 3;

/// The identity of a data directory.
#[derive(Debug)]
pub(super) struct Identity {
    path: PathBuf,
    instance: String,
    place: DirectoryPlace,
    /// The last one last.
    stays: Mutex<Vec<i64>>,
}

impl Identity {
    /// Reads it; makes it up at the first start.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let (path, place) = (data.join(FILE), DirectoryPlace::of(data)?);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut lines = text.lines().map(str::trim);
        let known = lines.next().filter(|known| !known.is_empty());
        let instance = known.map_or_else(made_up, |known| Ok(known.to_owned()))?;
        let stays = match (lines.next(), lines.next()) {
            (Some(known), Some(stays)) if place.is(known) => stays.split(' ').filter_map(|stay| stay.parse().ok()).collect(),
            // Of another directory, or of none yet.
            _ => Vec::new(),
        };
        let identity = Self { path, instance, place, stays: Mutex::new(stays) };
        if known.is_none() {
            identity.write()?;
        }
        Ok(identity)
    }

    /// The name of the instance, which a copy has too.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether this directory had a stay lately.
    pub fn had(&self, stay: i64) -> bool {
        self.stays.lock().unwrap_or_else(PoisonError::into_inner).contains(&stay)
    }

    /// Notes a stay, before it is committed. On a full disk only this process knows it: after a crash its lease has to end first.
    pub fn note(&self, stay: i64) {
        {
            let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
            stays.push(stay);
            let old = stays.len().saturating_sub(STAYS_MAX);
            stays.drain(..old);
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, file = %self.path.display(), "cannot note this node's stay: after a crash it starts again when its lease has ended, in 30 seconds");
        }
    }

    // Not synced: what a power cut loses is of a boot that has ended.
    fn write(&self) -> Result<(), StoreError> {
        let stays: Vec<String> = self.stays.lock().unwrap_or_else(PoisonError::into_inner).iter().map(ToString::to_string).collect();
        let new = self.path.with_extension("new");
        let DirectoryPlace { booted_s, device, number } = self.place;
        fs::write(&new, format!("{}\n{booted_s} {device} {number}\n{}\n", self.instance, stays.join(" ")))?;
        Ok(fs::rename(&new, &self.path)?)
    }
}

/// What a copy of the directory does not have. `/proc` has the ID of the boot, which a service may not see.
#[derive(Debug, Clone, Copy)]
struct DirectoryPlace {
    /// When the machine was booted, in Unix seconds.
    booted_s: i64,
    /// The file system.
    device: u64,
    /// The directory's number in it.
    number: u64,
}

impl DirectoryPlace {
    fn of(data: &Path) -> Result<Self, StoreError> {
        let seconds = |clock: ClockId| clock.now().map(|time| time.tv_sec()).map_err(|error| StoreError::Io(error.to_string()));
        let booted_s = seconds(ClockId::CLOCK_REALTIME)? - seconds(ClockId::CLOCK_BOOTTIME)?;
        let data = fs::metadata(data)?;
        Ok(Self { booted_s, device: data.dev(), number: data.ino() })
    }

    /// Whether a line of the file says this place.
    fn is(&self, line: &str) -> bool {
        let mut parts = line.split(' ');
        let is_same_boot = parts.next().and_then(|s| s.parse().ok()).is_some_and(|s: i64| s.abs_diff(self.booted_s) <= SAME_BOOT_S);
        is_same_boot && parts.eq([self.device.to_string(), self.number.to_string()])
    }
}

fn made_up() -> Result<String, StoreError> {
    let mut octets = [0_u8; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut octets).map_err(|_| StoreError::Io("the system gives no random octets".into()))?;
    Ok(HEXLOWER.encode(&octets))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_instance_and_had_no_stay() {
        let place = tempfile::tempdir().unwrap();
        let (own, copy) = (place.path().join("own"), place.path().join("copy"));
        for directory in [&own, &copy] {
            fs::create_dir(directory).unwrap();
        }
        let first = Identity::open(&own).unwrap();
        (1..=4).for_each(|stay| first.note(stay));
        assert!(!first.had(1) && (2..=4).all(|stay| first.had(stay)));
        fs::copy(own.join(FILE), copy.join(FILE)).unwrap();
        let again = Identity::open(&own).unwrap();
        assert!(again.instance() == first.instance() && again.had(4) && !again.had(5));
        // A clone of the whole machine, which was booted later.
        let text = fs::read_to_string(own.join(FILE)).unwrap();
        let booted = again.place.booted_s.to_string();
        let later = (again.place.booted_s - 3600).to_string();
        fs::write(own.join(FILE), text.replace(&booted, &later)).unwrap();
        assert!(!Identity::open(&own).unwrap().had(4));
        let copied = Identity::open(&copy).unwrap();
        assert!(copied.instance() == first.instance() && !copied.had(4));
        // A file that cannot be written, as on a full disk.
        fs::create_dir(copy.join(FILE).with_extension("new")).unwrap();
        copied.note(9);
        assert!(copied.had(9) && !Identity::open(&copy).unwrap().had(9));
        fs::write(own.join(FILE), format!("{}\n", first.instance())).unwrap();
        assert!(!Identity::open(&own).unwrap().had(4), "what an earlier version has written");
    }
}
