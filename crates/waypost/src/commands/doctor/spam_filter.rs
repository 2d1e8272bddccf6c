//! The spam filter: whether it answers, and what becomes of mail while it does not.
//!
//! Invariant: it is asked from here, as the server asks it; no message is made up for it.

use mta::settings::WhenDown;

use super::Patient;
use super::finding::{Finding, Severity};

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let Some(filtering) = &patient.config.settings.filtering else { return Vec::new() };
    let about = filtering.filter.address.to_string();
    let finding = match filtering.filter.probe().await {
        Ok(()) => Finding::good("filter", about, "answers"),
        Err(error) => {
            let why = match filtering.when_down {
                WhenDown::Pass => "all mail passes without a verdict: when_down = \"pass\"",
                WhenDown::Defer => "mail is put off until it answers: when_down = \"defer\"",
            };
            let fix = "start it, and see [filter] kind and address";
            Finding::bad(Severity::Error, "filter", about, error.to_string(), fix).because(why)
        }
    };
    vec![finding]
}
