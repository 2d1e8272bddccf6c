//! Forms: fields with their error, buttons that are a form of their own, values to copy.
//!
//! Invariant: every form that changes something carries the visitor's token against forged requests.

use maud::{Markup, html};

use crate::screen::Screen;

/// A field of a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// Its name in the form; also its `id`.
    pub name: &'a str,
    /// Its label.
    pub label: &'a str,
    /// Its type: `text`, `email`, `password`, `number`, `search`.
    pub kind: &'a str,
    /// Its value.
    pub value: &'a str,
    /// An example or explanation below it.
    pub hint: Option<&'a str>,
    /// What is wrong with its value.
    pub error: Option<&'a str>,
    /// Whether it must have a value.
    pub required: bool,
}

impl<'a> Field<'a> {
    /// Returns an empty text field.
    pub fn text(name: &'a str, label: &'a str) -> Self {
        Self { name, label, kind: "text", value: "", hint: None, error: None, required: false }
    }
}

/// Returns a field with its label, hint and error.
pub(crate) fn field(field: &Field<'_>) -> Markup {
    let hint = format!("{}-hint", field.name);
    let error = format!("{}-error", field.name);
    let described = match (field.hint.is_some(), field.error.is_some()) {
        (true, true) => Some(format!("{hint} {error}")),
        (true, false) => Some(hint.clone()),
        (false, true) => Some(error.clone()),
        (false, false) => None,
    };
    html! {
        div.field {
            label for=(field.name) { (field.label) }
            input id=(field.name) name=(field.name) type=(field.kind) value=(field.value) required[field.required]
                aria-describedby=[described] aria-invalid=[field.error.map(|_| "true")] autocapitalize="none" spellcheck="false";
            @if let Some(words) = field.hint { p.hint id=(hint) { (words) } }
            @if let Some(words) = field.error { p.error id=(error) { (words) } }
        }
    }
}

/// Returns a hidden field.
pub(crate) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// Returns a button that posts to `to` with these hidden fields. `class` is empty, `primary`, `danger`, `small` or `link`.
pub(crate) fn action(screen: &Screen, to: &str, label: &str, class: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.action method="post" action=(to) {
            (screen.token())
            @for (name, value) in fields { (hidden(name, value)) }
            button type="submit" class=(class) { (label) }
        }
    }
}

/// Returns a button that says in words what goes with the action, and asks once, before it posts to `to`.
pub(crate) fn careful(screen: &Screen, to: &str, label: &str, words: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        details.careful {
            summary { (label) }
            div { p { (words) } (action(screen, to, label, "danger", fields)) }
        }
    }
}

/// Returns a button whose label has elements, such as an address, that posts to `to` with these hidden fields.
pub(crate) fn button_form(screen: &Screen, to: &str, label: Markup, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.action method="post" action=(to) {
            (screen.token())
            @for (name, value) in fields { (hidden(name, value)) }
            button type="submit" { span { (label) } }
        }
    }
}

/// Returns a value with a button that copies it. Without JavaScript the value can be selected, and the button is not shown.
pub(crate) fn copyable(screen: &Screen, value: &str) -> Markup {
    html! {
        span.copyable {
            code { (value) }
            button.link type="button" hidden data-copy=(value) data-done=(screen.text.say("copied")) { (screen.text.say("copy")) }
        }
    }
}
