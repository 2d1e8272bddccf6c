//! The log of changes: who changed what, from the history.

use control_api::api::Page;
use events::{Event, Fact};
use maud::{Markup, html};

use crate::components::{Column, address, cut, empty, table};
use crate::moment::relative;
use crate::outcome::problem_notice;
use crate::screen::Screen;

/// Changes shown.
const SHOWN: &str = "30";

pub(super) async fn show(screen: &Screen) -> Markup {
    let text = screen.text;
    let page: Page<Event> = match screen.api.get(&format!("/history?group=change&limit={SHOWN}")).await {
        Ok(page) => page,
        Err(problem) => return problem_notice(&problem),
    };
    if page.items.is_empty() {
        return empty(text.say("server-no-changes"), html! {});
    }
    let columns = [
        Column::new(text.say("server-change-when"), "tight"),
        Column::new(text.say("server-change-what"), "lead"),
        Column::new(text.say("server-change-who"), ""),
    ];
    let row = |event: &Event| {
        let words = event.get(Fact::Change).map_or_else(|| event.kind.name().to_owned(), ToOwned::to_owned);
        let who = html! { @if let Some(login) = &event.login { (address(login)) } };
        vec![relative(text, event.at_ms, screen.now_ms), html! { (cut(&words, 160)) }, who]
    };
    table(&text.say("server-changes"), &columns, page.items.iter().map(row))
}
