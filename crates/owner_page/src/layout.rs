//! The frame of every page: skip link, header with navigation, message of the last action, main part, footer with version and switches.
//!
//! Invariant: nothing inline that the content security policy refuses: no script, no style, no handler.

use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets::{APP, HTMX, ICON, STYLE};
use crate::components::{Mark, hidden, icon, notice, visible};
use crate::language::Language;
use crate::outcome::{Flash, clear_flash};
use crate::preferences::Theme;
use crate::screen::{Frame, TOKEN_FIELD};
use crate::visitor::Visitor;

/// The screens of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// None of them.
    None,
    /// `/`
    Today,
    /// `/mail`
    Mail,
    /// `/held`
    Held,
    /// `/queue`
    Queue,
    /// `/aliases`
    Aliases,
    /// `/people`
    People,
    /// `/setup`
    Setup,
    /// `/reports`
    Reports,
    /// `/server`
    Server,
}

impl Item {
    const OWNERS: [Self; 9] =
        [Self::Today, Self::Mail, Self::Held, Self::Queue, Self::Aliases, Self::People, Self::Setup, Self::Reports, Self::Server];
    const OTHERS: [Self; 2] = [Self::Aliases, Self::People];

    fn path(self) -> &'static str {
        match self {
            Self::None | Self::Today => "/",
            Self::Mail => "/mail",
            Self::Held => "/held",
            Self::Queue => "/queue",
            Self::Aliases => "/aliases",
            Self::People => "/people",
            Self::Setup => "/setup",
            Self::Reports => "/reports",
            Self::Server => "/server",
        }
    }

    /// Returns the key of its name. What an owner calls people is, to others, their own passwords.
    fn key(self, is_owner: bool) -> &'static str {
        match self {
            Self::None | Self::Today => "nav-today",
            Self::Mail => "nav-mail",
            Self::Held => "nav-held",
            Self::Queue => "nav-queue",
            Self::Aliases => "nav-aliases",
            Self::People if is_owner => "nav-people",
            Self::People => "nav-passwords",
            Self::Setup => "nav-setup",
            Self::Reports => "nav-reports",
            Self::Server => "nav-server",
        }
    }
}

/// Returns a page. `visitor` has who looks and the present screen; without it there is no navigation, as before the login.
pub(crate) fn page(frame: &Frame, visitor: Option<(&Visitor, Item)>, title: &str, content: Markup) -> Response {
    let html = document(frame, visitor, title, content).into_string();
    match frame.flash {
        Some(_) => (clear_flash(), Html(html)).into_response(),
        None => Html(html).into_response(),
    }
}

fn document(frame: &Frame, visitor: Option<(&Visitor, Item)>, title: &str, content: Markup) -> Markup {
    let text = frame.text;
    let window = text.plain("page-title", [("screen", visible(title, 100).into()), ("host", frame.hostname.to_string().into())]);
    html! {
        (DOCTYPE)
        html lang=(text) data-theme=(frame.theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                meta name="htmx-config" content=r#"{"includeIndicatorCSS":false,"history":"reload","defaultTimeout":30000,"morphIgnore":["data-htmx-powered","open"]}"#;
                title { (window.replace(['\u{2068}', '\u{2069}', '\u{fffd}'], "")) }
                link rel="icon" type="image/svg+xml" href=(ICON.path());
                link rel="stylesheet" href=(STYLE.path());
                script src=(HTMX.path()) defer {}
                script src=(APP.path()) defer {}
            }
            body data-live-source=[visitor.map(|_| "/events")] {
                a.skip href="#main" { (text.say("skip")) }
                (SPRITE)
                header.top {
                    div.inner {
                        a.home href="/" { (icon("post")) span { "Waypost" } }
                        @if let Some((visitor, current)) = visitor { (navigation(frame, visitor, current)) }
                    }
                }
                main id="main" tabindex="-1" {
                    @if let Some(flash) = &frame.flash { (shown(flash, visitor.map(|(visitor, _)| visitor))) }
                    h1 { (title) }
                    (content)
                }
                (footer(frame, visitor.map(|(visitor, _)| visitor)))
            }
        }
    }
}

fn navigation(frame: &Frame, visitor: &Visitor, current: Item) -> Markup {
    let items: &[Item] = if visitor.is_owner { &Item::OWNERS } else { &Item::OTHERS };
    html! {
        nav.main aria-label=(frame.text.say("navigation")) {
            @for item in items {
                a href=(item.path()) aria-current=[(*item == current).then_some("page")] { (frame.text.say(item.key(visitor.is_owner))) }
            }
        }
    }
}

fn shown(flash: &Flash, visitor: Option<&Visitor>) -> Markup {
    notice(
        Mark::Good,
        html! {
            p { (flash.message) }
            @if let (Some(undo), Some(visitor)) = (&flash.undo, visitor) {
                form.action method="post" action=(undo.to) {
                    (hidden(TOKEN_FIELD, &visitor.csrf))
                    @for (name, value) in &undo.fields { (hidden(name, value)) }
                    button.small type="submit" { (undo.label) }
                }
            }
        },
    )
}

fn footer(frame: &Frame, visitor: Option<&Visitor>) -> Markup {
    let text = frame.text;
    html! {
        footer {
            div.inner {
                p.quiet { span.mono { (frame.hostname) } " · Waypost " (frame.version) }
                form.switch method="post" action="/preferences" aria-label=(text.say("language")) {
                    (hidden("back", &frame.url))
                    @for language in Language::ALL {
                        button type="submit" name="language" value=(language.tag()) lang=(language.tag()) aria-pressed=(language == text.0) { (language.own_name()) }
                    }
                }
                form.switch method="post" action="/preferences" aria-label=(text.say("theme")) {
                    (hidden("back", &frame.url))
                    @for theme in Theme::ALL {
                        button type="submit" name="theme" value=(theme.name()) aria-pressed=(theme == frame.theme) { (text.say(theme_key(theme))) }
                    }
                }
                @if let Some(visitor) = visitor {
                    form.action method="post" action="/logout" {
                        (hidden(TOKEN_FIELD, &visitor.csrf))
                        a.quiet href="/account" { bdi { (visitor.login) } }
                        button.small type="submit" { (text.say("log-out")) }
                    }
                }
            }
        }
    }
}

fn theme_key(theme: Theme) -> &'static str {
    match theme {
        Theme::Device => "theme-device",
        Theme::Light => "theme-light",
        Theme::Dark => "theme-dark",
    }
}

/// The icons, drawn once for each page.
const SPRITE: PreEscaped<&str> = PreEscaped(concat!(
    r#"<svg hidden aria-hidden="true" xmlns="http://www.w3.org/2000/svg">"#,
    r#"<symbol id="i-post" viewBox="0 0 16 16"><path d="M3 2h7l3 3-3 3H3zM6 8v6" /></symbol>"#,
    r#"<symbol id="i-tick" viewBox="0 0 16 16"><path d="M3 8.5l3.5 3.5L13 4.5" /></symbol>"#,
    r#"<symbol id="i-cross" viewBox="0 0 16 16"><path d="M4 4l8 8M12 4l-8 8" /></symbol>"#,
    r#"<symbol id="i-clock" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" /><path d="M8 4.5V8l2.5 1.5" /></symbol>"#,
    r#"<symbol id="i-dot" viewBox="0 0 16 16"><circle cx="8" cy="8" r="2" /></symbol>"#,
    r#"</svg>"#,
));
