//! Marks of state (a colour always with a word and an icon), cards, pairs of name and value, notices.
//!
//! Invariant: colour never stands alone.

use maud::{Markup, Render, html};

/// A state: its colour and icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// As it should be.
    Good,
    /// Waits, or worth a look.
    Wait,
    /// Failed or refused; needs a person.
    Bad,
    /// Without judgement.
    Plain,
}

impl Mark {
    /// Returns the class of its colour.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Wait => "wait",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }

    fn icon(self) -> &'static str {
        match self {
            Self::Good => "tick",
            Self::Wait => "clock",
            Self::Bad => "cross",
            Self::Plain => "dot",
        }
    }
}

/// Returns an icon of the sprite in the page's frame; it is decoration, the word beside it says the same.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" focusable="false" { use href={ "#i-" (name) } {} } }
}

/// Returns the icon of a state, for where words of the state stand beside it.
pub(crate) fn icon_of(mark: Mark) -> Markup {
    icon(mark.icon())
}

/// Returns a word of state.
pub(crate) fn badge(mark: Mark, word: impl Render) -> Markup {
    html! { span.badge.(mark.class()) { (icon(mark.icon())) span { (word) } } }
}

/// Returns a framed part of a screen under its own heading.
pub(crate) fn card(title: impl Render, body: impl Render) -> Markup {
    html! { section.card { h2 { (title) } (body) } }
}

/// Returns pairs of a name and a value.
pub(crate) fn facts(pairs: &[(Markup, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in pairs {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// Returns a message on top of a screen: what changed, or what went wrong.
pub(crate) fn notice(mark: Mark, body: impl Render) -> Markup {
    let role = if mark == Mark::Bad { "alert" } else { "status" };
    html! { div.notice.(mark.class()) role=(role) { (icon(mark.icon())) div { (body) } } }
}
