//! Lists: tables that become cards on a phone, filters and cursors as parameters of the URL, the empty state.
//!
//! Invariant: a list can be read, filtered and paged without JavaScript, and its URL can be shared.

use maud::{Markup, Render, html};

use crate::screen::Screen;

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its heading.
    pub head: String,
    /// The class of its cells: empty, `number`, `tight` for no wider than needed, `wide` for addresses, `lead` for what is first on a phone and `second`
    /// for what follows, `act` for buttons, or `rest` for what a phone does not
    /// show.
    pub class: &'static str,
}

impl Column {
    /// Returns a column.
    pub fn new(head: impl Into<String>, class: &'static str) -> Self {
        Self { head: head.into(), class }
    }
}

/// Returns a table; each row has one cell for each column. `caption` is read aloud and not shown.
pub(crate) fn table(caption: &str, columns: &[Column], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        div.table {
            table role="table" {
                caption.unseen { (caption) }
                thead role="rowgroup" { tr role="row" { @for column in columns { th role="columnheader" scope="col" class=(column.class) { @if column.class == "act" { span.unseen { (column.head) } } @else { (column.head) } } } } }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" {
                            @for (column, cell) in columns.iter().zip(row) {
                                td role="cell" class=(column.class) data-head=(column.head) { @if !cell.0.is_empty() { div { (cell) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns what a list says when it has nothing to show: a sentence, and what to do next.
pub(crate) fn empty(sentence: impl Render, next: impl Render) -> Markup {
    html! { div.empty { p { (sentence) } div { (next) } } }
}

/// Returns filters as links: label, URL, whether it is the present one.
pub(crate) fn chips(label: &str, chips: &[(String, String, bool)]) -> Markup {
    html! {
        nav.chips aria-label=(label) {
            @for (words, url, is_current) in chips {
                a.chip href=(url) aria-current=[is_current.then_some("true")] { (words) }
            }
        }
    }
}

/// Returns a search box that keeps the other parameters of the URL.
pub(crate) fn search_box(screen: &Screen, to: &str, label: &str, value: &str, keep: &[(&str, &str)]) -> Markup {
    search(screen, to, label, value, keep, None)
}

/// Returns a search box that, with a script, shows in `part` of the page what it finds while one types.
pub(crate) fn live_search(screen: &Screen, to: &str, label: &str, value: &str, keep: &[(&str, &str)], part: &str) -> Markup {
    search(screen, to, label, value, keep, Some(part))
}

fn search(screen: &Screen, to: &str, label: &str, value: &str, keep: &[(&str, &str)], part: Option<&str>) -> Markup {
    html! {
        form.search role="search" method="get" action=(to) {
            @for (name, kept) in keep.iter().filter(|(_, kept)| !kept.is_empty()) { input type="hidden" name=(name) value=(kept); }
            label.unseen for="q" { (label) }
            input id="q" name="q" type="search" value=(value) placeholder=(label) autocapitalize="none" spellcheck="false" autocomplete="off"
                hx-get=[part.map(|_| to)] hx-trigger=[part.map(|_| "input changed delay:400ms")] hx-include=[part.map(|_| "closest form")]
                hx-target=[part] hx-select=[part] hx-swap=[part.map(|_| "outerHTML")] hx-replace-url=[part.map(|_| "true")];
            button type="submit" { (screen.text.say("search")) }
        }
    }
}

/// Returns the link to the next page, and to the first if this is not the first.
pub(crate) fn pager(screen: &Screen, first: Option<String>, next: Option<String>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label=(screen.text.say("pages")) {
                @if let Some(url) = first { a href=(url) { (screen.text.say("page-first")) } }
                @if let Some(url) = next { a href=(url) rel="next" { (screen.text.say("page-next")) } }
            }
        }
    }
}
