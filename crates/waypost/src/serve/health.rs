//! The running server's own checks: those of `waypost doctor`, run in the background when somebody looks and the last result is old.
//!
//! Invariant: at most one check runs; nothing is checked unless it is asked for, since the checks ask name servers, blocklists and a time server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use control_api::ControlError;
use control_api::api::{CheckQuery, HealthFinding, HealthView, Severity};
use net::blocking;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::commands::doctor;
use crate::config;
use crate::transport::Transport;

/// Maximum age of a result before somebody who looks at it starts another check, in milliseconds.
const OLD_MS: i64 = 6 * 3_600_000;

/// Maximum duration of a check.
const WITHIN: Duration = Duration::from_secs(120);

/// Maximum checks at a time that `waypost doctor` and others run.
const RUNS_MAX: usize = 4;

/// The last result, the request of another check, and checks that somebody waits for.
#[derive(Debug, Clone)]
pub struct Health {
    last: Arc<Mutex<HealthView>>,
    requested: Arc<Notify>,
    runs: mpsc::Sender<CheckRun>,
    waiting: Arc<Mutex<Option<mpsc::Receiver<CheckRun>>>>,
}

/// A check that somebody waits for.
#[derive(Debug)]
struct CheckRun {
    what: CheckQuery,
    findings: mpsc::UnboundedSender<HealthFinding>,
}

impl Default for Health {
    fn default() -> Self {
        let (runs, waiting) = mpsc::channel(RUNS_MAX);
        Self { last: Arc::default(), requested: Arc::default(), runs, waiting: Arc::new(Mutex::new(Some(waiting))) }
    }
}

impl Health {
    /// Runs all checks now; returns what they find, as they find it.
    ///
    /// # Errors
    /// Too many checks run.
    pub fn run(&self, what: CheckQuery) -> Result<mpsc::UnboundedReceiver<HealthFinding>, ControlError> {
        let (findings, found) = mpsc::unbounded_channel();
        match self.runs.try_send(CheckRun { what, findings }) {
            Ok(()) => Ok(found),
            Err(_) => Err(ControlError::Failed(format!("{RUNS_MAX} checks run already"))),
        }
    }

    /// Returns the last result; requests a check if it is old.
    pub fn view(&self) -> HealthView {
        let view = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_old = view.checked_ms.is_none_or(|at_ms| net::Clock::system().now_ms() - at_ms > OLD_MS);
        if is_old && !view.is_checking {
            self.request();
            return HealthView { is_checking: true, ..view };
        }
        view
    }

    /// Requests a check, unless one runs.
    pub fn request(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut last.is_checking, true) {
            self.requested.notify_one();
        }
    }

    fn finish(&self, findings: Vec<HealthFinding>) {
        let view = HealthView::of(findings, net::Clock::system().now_ms());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

/// The task that checks; it ends when this is dropped.
#[derive(Debug)]
pub struct HealthTask(JoinHandle<()>);

impl Drop for HealthTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the task, which checks the server behind this router at each request.
pub fn start(health: Health, path: PathBuf, router: Router) -> HealthTask {
    let waiting = health.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let runs = tokio::spawn(run_checks(waiting, path.clone(), router.clone()));
    HealthTask(tokio::spawn(async move {
        let _runs = HealthTask(runs);
        loop {
            health.requested.notified().await;
            let file = path.clone();
            let config = blocking(move || config::load(&file)).await;
            let api = Transport::InProcess(Box::new(router.clone()));
            // A bug in a check must not end the checks.
            let check = tokio::spawn(async move { tokio::time::timeout(WITHIN, doctor::findings(config, api)).await });
            let findings = match check.await {
                Ok(Ok(Ok(findings))) => findings,
                Ok(Ok(Err(error))) => vec![failed(format!("{error:#}"))],
                Ok(Err(_)) => vec![failed(format!("the checks did not end within {} s", WITHIN.as_secs()))],
                Err(error) => vec![failed(format!("a check has a bug: {error}"))],
            };
            health.finish(findings);
        }
    }))
}

/// Runs the checks that somebody waits for, a few at a time.
async fn run_checks(waiting: Option<mpsc::Receiver<CheckRun>>, path: PathBuf, router: Router) {
    let Some(mut waiting) = waiting else { return };
    let places = Arc::new(Semaphore::new(RUNS_MAX));
    while let (Ok(place), Some(run)) = (places.clone().acquire_owned().await, waiting.recv().await) {
        let (file, api) = (path.clone(), Transport::InProcess(Box::new(router.clone())));
        tokio::spawn(async move {
            let _place = place;
            let config = blocking(move || config::load(&file)).await;
            let CheckRun { what, findings } = run;
            let check = doctor::send_findings(config, api, &what, findings.clone());
            let problem = match tokio::time::timeout(WITHIN, check).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("the checks did not end within {} s", WITHIN.as_secs()),
            };
            // Nobody may wait any more.
            let _ = findings.send(failed(problem));
        });
    }
}

fn failed(found: String) -> HealthFinding {
    HealthFinding::bad(
        Severity::Error,
        "doctor",
        "the checks",
        found,
        "run waypost doctor on the server, which shows each check as it ends",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_requests_one_check_and_a_fresh_result_none() {
        let health = Health::default();
        assert!(health.view().is_checking && health.view().is_checking);
        health.finish(vec![HealthFinding::good("disk", "/", "free")]);
        let view = health.view();
        assert!(!view.is_checking && view.checked_ms.is_some() && view.good.len() == 1);
        health.request();
        let view = health.view();
        assert!(view.is_checking && view.good.len() == 1, "the old result stays until the new one");
    }
}
