//! The line of events before the writer.
//!
//! Invariant: recording an event takes a lock that is never held across a system call of the disk; beyond [`LINE_MAX`] events are counted and dropped.

use std::sync::Arc;
use std::time::Duration;

use events::Event;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// Maximum events that wait for the writer: some seconds of a busy server, and at most some ten MiB.
pub(crate) const LINE_MAX: usize = 32_768;

/// Events that are written at once without waiting for more.
const BATCH: usize = 4096;

/// Maximum wait for more events. A query does not wait for it.
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// The line.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<LineState>,
    more: Condvar,
    /// How many events have left the line for good, written or lost.
    done: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct LineState {
    events: Vec<Arc<Event>>,
    /// Events that have entered the line.
    entered: u64,
    /// Events that were dropped since the last batch.
    dropped: u64,
    is_urgent: bool,
    is_closed: bool,
}

/// What the writer has to do.
#[derive(Debug, Default)]
pub(crate) struct LineBatch {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// Events that were dropped before them.
    pub dropped: u64,
    /// Whether no further ones will come.
    pub is_last: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { state: Mutex::default(), more: Condvar::new(), done: watch::Sender::new(0) }
    }
}

impl Line {
    /// Adds an event. Returns whether there was room.
    pub fn push(&self, event: Arc<Event>) -> bool {
        let mut state = self.state.lock();
        if state.is_closed || state.events.len() >= LINE_MAX {
            state.dropped += 1;
            return false;
        }
        state.events.push(event);
        state.entered += 1;
        let waiting = state.events.len();
        drop(state);
        if waiting == 1 || waiting == BATCH {
            self.more.notify_one();
        }
        true
    }

    /// Waits for events, then a moment for more, and takes them all.
    pub fn take(&self) -> LineBatch {
        let mut state = self.state.lock();
        self.more.wait_while(&mut state, |state| state.events.is_empty() && !state.is_closed);
        self.more.wait_while_for(&mut state, |state| state.events.len() < BATCH && !state.is_urgent && !state.is_closed, BATCH_WAIT);
        state.is_urgent = false;
        LineBatch { events: std::mem::take(&mut state.events), dropped: std::mem::take(&mut state.dropped), is_last: state.is_closed }
    }

    /// Reports that a batch of this number of events was written or lost.
    pub fn finish(&self, events: usize) {
        self.done.send_modify(|done| *done = done.saturating_add(events as u64));
    }

    /// Waits until all events that are in the line now have been written or lost.
    pub async fn flush(&self) {
        let entered = {
            let mut state = self.state.lock();
            state.is_urgent |= !state.events.is_empty();
            state.entered
        };
        self.more.notify_one();
        // The sender lives in `self`.
        let _ = self.done.subscribe().wait_for(|done| *done >= entered).await;
    }

    /// Ends the line after the writer has died: nothing waits for it any more.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.events = Vec::new();
        drop(state);
        self.done.send_replace(u64::MAX);
    }

    /// Ends the line: the writer takes what is in it and stops.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::EventKind;

    fn event(at_ms: i64) -> Arc<Event> {
        Arc::new(Event::new(EventKind::Delivered, at_ms))
    }

    #[test]
    fn a_full_line_drops_and_counts() {
        let line = Line::default();
        let pushed = (0..LINE_MAX as i64 + 5).filter(|n| line.push(event(*n))).count();
        assert_eq!(pushed, LINE_MAX);
        let batch = line.take();
        assert_eq!((batch.events.len(), batch.dropped, batch.is_last), (LINE_MAX, 5, false));
        assert!(line.push(event(1)));
        line.close();
        assert!(!line.push(event(2)), "a closed line takes nothing");
        let last = line.take();
        assert_eq!((last.events.len(), last.dropped, last.is_last), (1, 1, true));
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_is_in_the_line() {
        let line = Arc::new(Line::default());
        line.flush().await;
        line.push(event(1));
        let writer = line.clone();
        let thread = std::thread::spawn(move || {
            let batch = writer.take();
            writer.finish(batch.events.len());
        });
        line.flush().await;
        assert_eq!(*line.done.borrow(), 1);
        thread.join().unwrap();
    }
}
