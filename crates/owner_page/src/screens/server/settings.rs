//! The settings in force, with where they come from.
//!
//! Invariant: what the file sets is shown first; defaults only on request.

use control_api::api::{ServerView, SettingView};
use maud::{Markup, html};

use crate::components::mono;
use crate::screen::Screen;

pub(super) fn show(screen: &Screen, server: &ServerView, is_all: bool) -> Markup {
    let text = screen.text;
    let shown: Vec<&SettingView> = server.settings.iter().filter(|setting| is_all || setting.origin == "file").collect();
    let other =
        if is_all { ("/server#settings", "server-settings-file") } else { ("/server?settings=all#settings", "server-settings-all") };
    html! {
        p.quiet {
            (text.rich("server-settings-words", [("file", mono(&server.config_file))], [("n", server.settings.iter().filter(|s| s.origin == "file").count().into())]))
            " " a href=(other.0) { (text.say(other.1)) }
        }
        @for section in sections(&shown) {
            @let first = section.first().map(|setting| setting.section.as_str()).unwrap_or_default();
            h3.mono { @if first.is_empty() { (text.say("server-settings-top")) } @else { (first) } }
            dl.facts.settings { @for setting in section { (one(screen, setting, is_all)) } }
        }
    }
}

/// Returns the settings by section; a section that stands in the file several times stays several.
fn sections<'a>(settings: &[&'a SettingView]) -> Vec<Vec<&'a SettingView>> {
    let mut sections: Vec<Vec<&SettingView>> = Vec::new();
    for setting in settings {
        match sections.last_mut().filter(|section| section.first().is_some_and(|first| first.section == setting.section)) {
            Some(section) => section.push(setting),
            None => sections.push(vec![setting]),
        }
    }
    sections
}

fn one(screen: &Screen, setting: &SettingView, is_all: bool) -> Markup {
    let text = screen.text;
    html! {
        div {
            dt.mono title=(setting.meaning) { (setting.name) }
            dd {
                @match &setting.value {
                    Some(value) => (mono(value)),
                    None => span.quiet { (text.say("server-setting-none")) },
                }
                @if is_all && setting.origin == "default" { " " span.quiet.small-text { (text.say("server-setting-default")) } }
                @if is_all { p.hint { (setting.meaning) } }
            }
        }
    }
}
