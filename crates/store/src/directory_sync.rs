//! Syncs the directory of large contents, with one call for all that wait.
//!
//! Invariant: a caller returns without an error only after a sync that began after its call, so one that includes the file that it has made.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The syncs of one directory.
#[derive(Debug)]
pub(crate) struct DirectorySync {
    path: PathBuf,
    state: Mutex<SyncState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    /// Syncs that have begun, and so the number of the last one.
    begun: u64,
    /// The last one that has ended; the one after it may run.
    ended: u64,
    /// The last one that has failed, and its error.
    failed: Option<(u64, io::ErrorKind, String)>,
    /// Callers so far.
    #[cfg(test)]
    callers: usize,
}

impl DirectorySync {
    pub fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default(), ended: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, SyncState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the directory, or waits for a sync of another caller that has not begun yet. Blocks.
    ///
    /// # Errors
    /// If that sync fails; it is not tried again.
    pub fn sync(&self) -> io::Result<()> {
        self.with(|| File::open(&self.path)?.sync_all())
    }

    fn with(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        // One that runs may have begun before the caller's file was made.
        let needed = state.begun + 1;
        #[cfg(test)]
        {
            state.callers += 1;
        }
        while state.begun > state.ended {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended < needed {
            state.begun += 1;
            drop(state);
            let result = sync();
            state = self.state();
            state.ended += 1;
            if let Err(error) = &result {
                state.failed = Some((state.ended, error.kind(), error.to_string()));
            }
            self.ended.notify_all();
            return result;
        }
        match &state.failed {
            Some((number, kind, error)) if *number >= needed => Err(io::Error::new(*kind, error.clone())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    /// Three callers come while a sync runs; returns the number of syncs in all and the results of the three.
    fn beside_one_that_runs(second: fn() -> io::Result<()>) -> (usize, Vec<bool>) {
        let (all, calls) = (Arc::new(DirectorySync::new(PathBuf::new())), Arc::new(AtomicUsize::new(0)));
        let (end, ends) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let (first, counted) = (all.clone(), calls.clone());
        let running = thread::spawn(move || {
            first.with(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                begun.send(()).unwrap();
                ends.recv().map_err(io::Error::other)
            })
        });
        begins.recv().unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (all, calls) = (all.clone(), calls.clone());
                thread::spawn(move || {
                    all.with(|| {
                        calls.fetch_add(1, Ordering::SeqCst);
                        second()
                    })
                })
            })
            .collect();
        while all.state().callers < 4 {
            thread::yield_now();
        }
        end.send(()).unwrap();
        running.join().unwrap().unwrap();
        let results = waiting.into_iter().map(|thread| thread.join().unwrap().is_ok()).collect();
        (calls.load(Ordering::SeqCst), results)
    }

    #[test]
    fn callers_share_a_sync_that_begins_after_they_came() {
        let (syncs, results) = beside_one_that_runs(|| Ok(()));
        assert_eq!(results, [true; 3]);
        assert_eq!(syncs, 2, "the one that ran, and one for all who came meanwhile");
    }

    #[test]
    fn an_error_reaches_every_caller_that_shares_the_sync() {
        assert_eq!(beside_one_that_runs(|| Err(io::Error::other("the disk failed"))).1, [false; 3]);
        let one = DirectorySync::new(PathBuf::new());
        assert!(one.with(|| Err(io::Error::other("the disk failed"))).is_err());
        assert!(one.with(|| Ok(())).is_ok(), "the next caller has a sync of its own");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        assert!(DirectorySync::new("/nonexistent/content".into()).sync().is_err());
    }
}
