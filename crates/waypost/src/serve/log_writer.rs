//! Writes the log: a thread of its own takes all lines that wait with one system call.
//!
//! Invariant: a line waits at most [`REST`] while the thread can write, and none is lost at an exit or a panic; if the reader of the log is slow, the threads that
//! log wait, as they would without it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pause after a write, in which lines gather. The first line after a pause without any is written at once.
const REST: Duration = Duration::from_millis(4);

/// Lines that may wait, in octets.
const WAITING_MAX_BYTES: usize = 1 << 20;

/// Maximum time that a panic waits for the lines before it.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Takes lines. Clones share the thread.
#[derive(Debug, Clone, Default)]
pub struct LogWriter(Arc<LogShared>);

#[derive(Debug, Default)]
struct LogShared {
    state: Mutex<LogState>,
    /// The thread has something to do.
    woken: Condvar,
    /// The thread has written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    waiting: Vec<u8>,
    /// The thread waits for a line, and wants to be woken for it.
    is_idle: bool,
    is_writing: bool,
    /// The thread runs; otherwise each line is written at once.
    has_thread: bool,
}

/// Owns the thread, and ends it when dropped, after the last line.
#[derive(Debug, Default)]
pub struct LogThread {
    writer: LogWriter,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    fn state(&self) -> MutexGuard<'_, LogState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, to: &mut impl Write) {
        let mut lines = Vec::new();
        let mut state = self.state();
        loop {
            while state.waiting.is_empty() && state.has_thread {
                state.is_idle = true;
                state = self.0.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_idle = false;
            if state.waiting.is_empty() {
                return;
            }
            std::mem::swap(&mut lines, &mut state.waiting);
            state.is_writing = true;
            drop(state);
            // There is no other place to say that the log cannot be written.
            let _ = to.write_all(&lines).and_then(|()| to.flush());
            lines.clear();
            lines.shrink_to(64 * 1024);
            state = self.state();
            state.is_writing = false;
            self.0.written.notify_all();
            if state.has_thread {
                state = self.0.woken.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn line(&self, line: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        while state.waiting.len() >= WAITING_MAX_BYTES && state.has_thread {
            state = self.0.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.has_thread {
            return io::stderr().write_all(line);
        }
        state.waiting.extend_from_slice(line);
        if std::mem::take(&mut state.is_idle) {
            drop(state);
            self.0.woken.notify_all();
        }
        Ok(())
    }

    /// Waits until every line so far is written.
    pub fn finish_lines(&self) {
        self.0.woken.notify_all();
        let waits = |state: &mut LogState| state.is_writing || !state.waiting.is_empty();
        drop(self.0.written.wait_timeout_while(self.state(), FLUSH_WITHIN, waits));
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogThread {
    /// Starts the thread, which writes to `to`; until then, lines are written to standard error at once.
    pub fn begin(&mut self, mut to: impl Write + Send + 'static) {
        let writer = self.writer.clone();
        self.writer.state().has_thread = true;
        self.thread = thread::Builder::new().name("log".into()).spawn(move || writer.run(&mut to)).ok();
        if self.thread.is_none() {
            self.writer.state().has_thread = false;
        }
    }

    /// Where the lines go.
    pub fn writer(&self) -> LogWriter {
        self.writer.clone()
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.writer.state().has_thread = false;
        self.writer.0.woken.notify_all();
        self.writer.0.written.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Sends each write as one text.
    struct Writes(mpsc::Sender<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_once_and_in_order() {
        let (sender, writes) = mpsc::channel();
        let mut thread = LogThread::default();
        thread.begin(Writes(sender));
        let mut writer = thread.writer();
        writer.write_all(b"first\n").unwrap();
        assert_eq!(writes.recv().unwrap(), "first\n", "an idle thread writes at once");
        let mut want = String::new();
        for n in 0..50_000 {
            let line = format!("line {n} of many, long enough to fill what may wait\n");
            writer.write_all(line.as_bytes()).unwrap();
            want.push_str(&line);
        }
        writer.finish_lines();
        let mut got: Vec<String> = writes.try_iter().collect();
        assert_eq!(got.concat().len(), want.len(), "finish_lines waits for all");
        writer.write_all(b"last\n").unwrap();
        drop(thread);
        got.extend(writes.try_iter());
        assert!(got.len() < 5_000, "{} writes", got.len());
        assert_eq!(got.concat(), want + "last\n");
    }
}
