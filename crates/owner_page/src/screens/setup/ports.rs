//! Ports, the name of the address, the way out: what the server's own checks found.
//!
//! Invariant: shows the checks that a new server fails, each with its fix; a check that has not run is not ticked.

use control_api::api::{HealthCause, HealthFinding, HealthView, Severity};
use maud::{Markup, html};

use super::tick;
use crate::catalogue::Text;
use crate::components::{cut, whole};
use crate::moment::relative;
use crate::said::said;
use crate::screen::Screen;

/// The checks of this step, in the order of a first connection.
const CHECKS: [&str; 10] = ["address", "port", "relay", "ptr", "tls", "certificate", "outbound", "ipv6", "dkim", "blocklist"];

pub(super) fn show(screen: &Screen, health: Option<&HealthView>) -> Markup {
    let text = screen.text;
    let Some(health) = health else { return html! { p.quiet { (text.say("setup-no-checks")) } } };
    html! {
        p.quiet {
            @if let Some(at_ms) = health.checked_ms { (text.rich("setup-checked", [("when", relative(text, at_ms, screen.now_ms))], [])) " " }
            @if health.is_checking { (text.say("setup-checking")) }
        }
        ul.plain.ticks {
            @for check in CHECKS {
                @let bad: Vec<&HealthCause> = health.causes.iter().filter(|cause| cause.check == check).collect();
                @let good: Vec<&HealthFinding> = health.good.iter().filter(|finding| finding.check == check).collect();
                @if !bad.is_empty() || !good.is_empty() { li { (one(text, check, &bad, &good)) } }
            }
        }
        @if health.checked_ms.is_none() && !health.is_checking { p.quiet { (text.say("setup-no-checks")) } }
    }
}

fn one(text: Text, check: &str, bad: &[&HealthCause], good: &[&HealthFinding]) -> Markup {
    let is_serious = bad.iter().any(|cause| cause.severity >= Severity::Warning);
    html! {
        (tick(Some(!is_serious), html! { (name(text, check)) }))
        @if bad.is_empty() {
            @for finding in good.iter().take(3) { div.quiet.small-text { (cut(&format!("{}: {}", finding.about, finding.found), 160)) } }
        }
        @for cause in bad { (cause_in_words(text, cause)) }
    }
}

/// Returns a cause: what was found, the consequence, the fix.
fn cause_in_words(text: Text, cause: &HealthCause) -> Markup {
    html! {
        div.cause {
            @for finding in &cause.findings {
                p { (cut(&said(text, &finding.about), 100)) ": " (cut(&said(text, &finding.found), 300)) }
                @if let Some(fix) = finding.fix.as_ref().filter(|_| cause.fix.is_none()) { p.hint { "→ " (whole(&said(text, fix))) } }
            }
            @if let Some(why) = &cause.why { p.quiet { (cut(&said(text, why), 300)) } }
            @if let Some(fix) = &cause.fix { p.hint { "→ " (whole(&said(text, fix))) } }
        }
    }
}

/// Returns the name of a check, in the visitor's language.
fn name(text: Text, check: &str) -> String {
    let key = format!("check-{check}");
    let words = text.say(&key);
    if words == key { check.to_owned() } else { words.into_owned() }
}
