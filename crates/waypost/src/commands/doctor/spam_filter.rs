//! The spam filter: whether it answers, and what happens to mail while it does not.
//!
//! Invariant: the probe connects as the server does, and sends no message.

use mta::settings::WhenDown;

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

pub(super) async fn check(context: &DoctorContext) -> Vec<Finding> {
    let Some(filtering) = &context.config.settings.filtering else { return Vec::new() };
    let about = filtering.filter.address.to_string();
    let finding = match filtering.filter.probe().await {
        Ok(()) => Finding::good("filter", about, "answers"),
        Err(error) => {
            let why = match filtering.when_down {
                WhenDown::Pass => "all mail passes unfiltered (when_down = \"pass\")",
                WhenDown::Defer => "mail is deferred until it answers (when_down = \"defer\")",
            };
            let fix = "start it, and check kind and address under [filter]";
            Finding::bad(Severity::Error, "filter", about, error.to_string(), fix).because(why)
        }
    };
    vec![finding]
}
