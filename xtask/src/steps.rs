//! Steps of a run: each is announced, timed, and listed in the summary.
//!
//! Invariant: no step is left out silently. A failed check does not hide the following ones; a missing prerequisite ends the run.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

enum End {
    Passed,
    Failed(String),
    LeftOut(&'static str),
}

/// The steps so far.
#[derive(Default)]
pub struct Steps(Vec<(&'static str, Duration, End)>);

impl Steps {
    /// Runs a step; returns whether it passed.
    #[allow(clippy::disallowed_methods)] // the duration of a step is not part of the mail flow
    pub fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        let end = match result {
            Ok(()) => {
                println!("<== {name}: passed in {:.1} s", took.as_secs_f64());
                End::Passed
            }
            Err(error) => {
                println!("<== {name}: FAILED after {:.1} s: {error:#}", took.as_secs_f64());
                End::Failed(format!("{error:#}"))
            }
        };
        let passed = matches!(end, End::Passed);
        self.0.push((name, took, end));
        passed
    }

    /// Records a step that is left out.
    pub fn leave_out(&mut self, name: &'static str, why: &'static str) {
        println!("\n==> {name}: left out ({why})");
        self.0.push((name, Duration::ZERO, End::LeftOut(why)));
    }

    /// Prints the summary; an error if a step failed.
    pub fn finish(self) -> Result<()> {
        println!("\nSummary");
        for (name, took, end) in &self.0 {
            let (word, why) = match end {
                End::Passed => ("passed", ""),
                End::Failed(why) => ("FAILED", why.as_str()),
                End::LeftOut(why) => ("left out", *why),
            };
            println!("  {word:<9} {:>7.1} s  {name}{}{why}", took.as_secs_f64(), if why.is_empty() { "" } else { ": " });
        }
        let failed = self.0.iter().filter(|(.., end)| matches!(end, End::Failed(_))).count();
        let passed = self.0.iter().filter(|(.., end)| matches!(end, End::Passed)).count();
        println!("{passed} steps passed, {failed} failed, {} left out", self.0.len() - passed - failed);
        if failed > 0 {
            bail!("{failed} steps failed");
        }
        Ok(())
    }
}
