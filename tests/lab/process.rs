//! Processes of a lab.
//!
//! Invariant: a process is ended by its own id, never by name.

use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that is killed with the lab.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a command, whose output goes where it says.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}")))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).unwrap_or_else(|e| panic!("{signal} to {id}: {e}"));
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Its exit status; `None` while it runs.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a process of this one")
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Sends SIGTERM, and waits for the end; returns whether it exited with success.
    pub fn stop(&mut self) -> bool {
        if !self.is_running() {
            return false;
        }
        self.signal(Signal::SIGTERM);
        for _ in 0..1500 {
            if let Ok(Some(status)) = self.0.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap_or_else(|e| panic!("{program} cannot be run (cargo xtask ci installs it): {e}"))
}

/// Runs a command that must succeed; returns its standard output.
pub fn run_ok<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = run(program, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {}: {}\n{out}{err}", words(arguments), output.status);
    out
}

fn words<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    arguments.iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
