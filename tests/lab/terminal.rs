//! A terminal: a command in a pane of tmux, its screen as text, and keys for it.
//!
//! Invariant: each terminal has a tmux server of its own, which ends with it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Lab, run, run_ok, wait_for};

/// The number of the next terminal of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A terminal with one command.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs a shell command on a terminal of this size. Its exit status is shown as `status=0` when it ends, and the terminal stays open.
    pub fn start(lab: &Lab, columns: u16, rows: u16, command: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = lab.path().join(format!("tmux-{number}")).display().to_string();
        let script = format!("echo before; {command}; echo status=$?; stty -a; exec sleep 1000");
        let terminal = Self { socket };
        let size = [columns, rows].map(|n| n.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], &script]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-S", &self.socket];
        all.extend(arguments);
        run_ok("tmux", &all)
    }

    /// The screen, as text.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has a text; returns the screen.
    pub fn wait_for(&self, text: &str) -> String {
        let mut last = String::new();
        wait_for(&format!("{text:?} on the screen"), || {
            last = self.screen();
            last.contains(text).then(|| last.clone())
        })
    }

    /// Types keys, by tmux's names: `q`, `Enter`, `Escape`.
    pub fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = [columns, rows].map(|n| n.to_string());
        self.tmux(&["resize-window", "-x", &size[0], "-y", &size[1]]);
    }

    /// The id of the command's process, of this program.
    pub fn process_of(&self, program: &Path) -> i32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let name = program.file_name().expect("a program").to_string_lossy();
        let ids = run_ok("pgrep", &["-P", shell.trim(), "-x", &name]);
        ids.trim().parse().expect("one process")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = run("tmux", &["-S", &self.socket, "kill-server"]);
    }
}
