//! `/mail`: what happened to each message, the newest first; filters, search by any clue, live.
//!
//! Invariant: one row for a message on a page, with its newest event; the URL has everything that selects the rows.

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use control_api::api::{Page, QueuedMessage};
use events::{Event, Fact};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, segment, with_query};
use crate::catalogue::Text;
use crate::components::{Column, address, chips, cut, empty, live_search, pager, table};
use crate::layout::Item;
use crate::moment;
use crate::outcome::problem_notice;
use crate::screen::{Owner, PageState, Screen};
use crate::screens::queue::HELD;
use crate::story::{self, Ending};

/// Events on a page.
const EVENTS: &str = "100";

/// Messages of the queue on a page.
const WAITING: &str = "50";

/// Characters of a reason in a row.
const REASON_CHARS: usize = 110;

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/mail", get(show))
}

/// Selects the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct MailQuery {
    q: String,
    show: String,
    cursor: Option<String>,
}

/// The filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailFilter {
    All,
    Refused,
    Held,
    Waiting,
    Failed,
}

impl MailFilter {
    const ALL: [Self; 5] = [Self::All, Self::Refused, Self::Held, Self::Waiting, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }

    fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|filter| filter.name() == name).unwrap_or(Self::All)
    }

    fn key(self) -> &'static str {
        match self {
            Self::All => "mail-all",
            Self::Refused => "mail-refused",
            Self::Held => "mail-held",
            Self::Waiting => "mail-waiting",
            Self::Failed => "mail-failed",
        }
    }

    /// Returns the names of the kinds that it selects, separated by commas; empty for all.
    pub fn kinds(self, has_clue: bool) -> String {
        let wanted = |kind: &events::EventKind| match self {
            Self::All | Self::Waiting => true,
            Self::Refused => Ending::of(*kind) == Ending::Refused && kind.name() != "not-taken",
            Self::Held => matches!(Ending::of(*kind), Ending::Held | Ending::Released),
            Self::Failed => Ending::of(*kind) == Ending::Failed,
        };
        if has_clue && self == Self::All {
            return String::new();
        }
        story::mail_kinds().filter(wanted).map(|kind| kind.name()).collect::<Vec<_>>().join(",")
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MailRow {
    newest: Event,
    to: Vec<String>,
    target: Option<String>,
    from: Option<String>,
}

/// Makes one row of the events of each message; the newest event, which comes first, says its state.
pub(crate) fn rows(events: Vec<Event>) -> Vec<MailRow> {
    let mut rows: Vec<MailRow> = Vec::new();
    for event in events {
        let known = rows.iter_mut().find(|row| row.newest.queue_id.is_some() && row.newest.queue_id == event.queue_id);
        match known {
            Some(row) => {
                let new = event.to.into_iter().filter(|to| !row.to.contains(to)).collect::<Vec<_>>();
                row.to.extend(new);
                row.from = row.from.take().or(event.from);
                row.target = row.target.take().or(event.target);
            }
            None => rows.push(MailRow { to: event.to.clone(), target: event.target.clone(), from: event.from.clone(), newest: event }),
        }
    }
    rows
}

async fn show(Owner(screen): Owner, Query(query): Query<MailQuery>) -> Result<Response, Problem> {
    let filter = MailFilter::of_name(&query.show);
    let content = match filter {
        MailFilter::Waiting => waiting(&screen, &query).await?,
        filter => events(&screen, &query, filter).await?,
    };
    Ok(screen.page(Item::Mail, &screen.text.say("nav-mail"), head(&screen, &query, filter, content)))
}

/// Returns search box and filters above the list, which refreshes itself on its first page.
fn head(screen: &Screen, query: &MailQuery, filter: MailFilter, list: Markup) -> Markup {
    let text = screen.text;
    let url = |filter: MailFilter| with_query("/mail", &[("q", Some(&query.q)), ("show", Some(filter.name()))]);
    let links = MailFilter::ALL.map(|other| (text.say(other.key()).into_owned(), url(other), other == filter));
    let here = url(filter);
    html! {
        (live_search(screen, "/mail", &text.say("mail-search"), &query.q, &[("show", filter.name())], "#mail-list"))
        (chips(&text.say("filters"), &links))
        @if query.cursor.is_none() {
            div id="mail-list" data-live="message delivery session change" hx-get=(here) hx-trigger="waypost:live" hx-select="#mail-list" hx-swap="outerMorph" { (list) }
        } @else {
            div id="mail-list" { (list) }
        }
    }
}

async fn events(screen: &Screen, query: &MailQuery, filter: MailFilter) -> Result<Markup, Problem> {
    let text = screen.text;
    let (clue, kinds) = (query.q.trim(), filter.kinds(!query.q.trim().is_empty()));
    let path = with_query(
        "/history",
        &[("clue", Some(clue)), ("kinds", Some(&kinds)), ("limit", Some(EVENTS)), ("cursor", query.cursor.as_deref())],
    );
    let page: Page<Event> = match screen.api.get(&path).await {
        // A clue that cannot be read is said where it was typed.
        Err(problem) if problem.is_of_request() && !problem.is_missing() => return Ok(problem_notice(&problem)),
        other => other?,
    };
    let rows = rows(page.items);
    if rows.is_empty() {
        return Ok(nothing(text, query, filter));
    }
    let link = |cursor: Option<&str>| with_query("/mail", &[("q", Some(&query.q)), ("show", Some(filter.name())), ("cursor", cursor)]);
    let next = page.next_cursor.as_deref().map(|cursor| link(Some(cursor)));
    Ok(html! {
        (mail_table(screen, &rows))
        (pager(screen, query.cursor.is_some().then(|| link(None)), next))
    })
}

fn nothing(text: Text, query: &MailQuery, filter: MailFilter) -> Markup {
    if !query.q.trim().is_empty() {
        return empty(text.say("mail-none-found"), html! { a href="/mail" { (text.say("mail-show-all")) } });
    }
    match filter {
        MailFilter::All => empty(text.say("mail-none"), html! { a href="/setup" { (text.say("mail-none-next")) } }),
        _ => empty(text.say("mail-none-such"), html! { a href="/mail" { (text.say("mail-show-all")) } }),
    }
}

fn columns(text: Text) -> [Column; 5] {
    [
        Column::new(text.say("column-time"), "tight"),
        Column::new(text.say("column-from"), "lead"),
        Column::new(text.say("column-to"), "wide"),
        Column::new(text.say("column-result"), "second"),
        Column::new(text.say("column-reason"), ""),
    ]
}

pub(crate) fn mail_table(screen: &Screen, rows: &[MailRow]) -> Markup {
    let text = screen.text;
    table(
        &text.say("nav-mail"),
        &columns(text),
        rows.iter().map(|row| {
            let time = moment::relative(text, row.newest.at_ms, screen.now_ms);
            let linked = match row.newest.queue_id {
                Some(id) => html! { a href={ "/mail/" (id) } { (time) } },
                None => time,
            };
            vec![
                linked,
                from_cell(text, row),
                to_cell(text, &row.to, row.target.as_deref()),
                Ending::of(row.newest.kind).badge(text),
                reason_cell(text, &row.newest),
            ]
        }),
    )
}

/// The sender; for events without one, the login or the client.
fn from_cell(text: Text, row: &MailRow) -> Markup {
    let shown = match row.from.as_deref() {
        Some("") => html! { span.quiet { (text.say("null-sender")) } },
        Some(from) => address(from),
        None => match (&row.newest.login, row.newest.client) {
            (Some(login), _) => address(login),
            (None, Some(client)) => address(&client.to_string()),
            (None, None) => html! {},
        },
    };
    let subject = row.newest.get(Fact::Subject);
    html! { (shown) @if let Some(subject) = subject { br; span.quiet { (cut(subject, 60)) } } }
}

/// The recipients, each with the page of its alias, and the mailbox behind it.
pub(crate) fn to_cell(text: Text, to: &[String], target: Option<&str>) -> Markup {
    html! {
        @if let Some(first) = to.first() { (alias_link(first)) }
        @if to.len() > 1 { " " span.quiet { (text.with("and-others", [("n", (to.len() - 1).into())])) } }
        @if let Some(target) = target.filter(|target| to.first().is_none_or(|first| first != target)) {
            br; span.quiet { "→ " (address(target)) }
        }
    }
}

/// An address of a recipient with a link to the page of its alias: a path of this page, never what the text says.
pub(crate) fn alias_link(alias: &str) -> Markup {
    html! { a.plain href={ "/aliases/" (segment(alias)) } { (address(alias)) } }
}

/// What happened, for events that are no result of a message, and why.
fn reason_cell(text: Text, event: &Event) -> Markup {
    let is_other = matches!(Ending::of(event.kind), Ending::Other);
    html! {
        @if is_other { (story::sentence(text, event)) " " }
        (story::reason(text, event, REASON_CHARS))
    }
}

/// The messages of the queue that wait for their next attempt.
async fn waiting(screen: &Screen, query: &MailQuery) -> Result<Markup, Problem> {
    let text = screen.text;
    let path = with_query("/queue", &[("address", Some(query.q.trim())), ("limit", Some(WAITING)), ("cursor", query.cursor.as_deref())]);
    let mut page: Page<QueuedMessage> = screen.api.get(&path).await?;
    page.items.retain(|message| message.recipients.iter().any(|recipient| recipient.state != HELD));
    if page.items.is_empty() {
        return Ok(nothing(text, query, MailFilter::Waiting));
    }
    let link = |cursor: Option<&str>| with_query("/mail", &[("q", Some(&query.q)), ("show", Some("waiting")), ("cursor", cursor)]);
    let next = page.next_cursor.as_deref().map(|cursor| link(Some(cursor)));
    let rows = page.items.iter().map(|message| {
        let first = message.recipients.first();
        let to: Vec<String> = message.recipients.iter().map(|r| r.via.clone().unwrap_or_else(|| r.to.clone())).collect();
        let from = if message.from.is_empty() { html! { span.quiet { (text.say("null-sender")) } } } else { address(&message.from) };
        let again = first.map(|r| html! { (text.say("next-attempt")) " " (moment::due(text, r.next_attempt_ms, screen.now_ms)) br; });
        vec![
            html! { a href={ "/mail/" (message.id) } { (moment::relative(text, message.arrived_ms, screen.now_ms)) } },
            from,
            to_cell(text, &to, first.map(|r| r.to.as_str())),
            Ending::Waiting.badge(text),
            html! { @if let Some(again) = again { (again) } @if let Some(why) = first.and_then(|r| r.reason.as_deref()) { (cut(why, REASON_CHARS)) } },
        ]
    });
    Ok(html! {
        (table(&text.say("mail-waiting"), &columns(text), rows))
        (pager(screen, query.cursor.is_some().then(|| link(None)), next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::EventKind;

    #[test]
    fn a_message_is_one_row_with_its_newest_event() {
        let id = "6h22d211fvjnf".parse().unwrap();
        let events = vec![
            Event::new(EventKind::Delivered, 3).of_message(id).to("a@x.test").target("t@y.test"),
            Event::new(EventKind::RecipientRefused, 2).from("spam@z.test").to("b@x.test"),
            Event::new(EventKind::RecipientRefused, 2).from("spam@z.test").to("c@x.test"),
            Event::new(EventKind::MessageAccepted, 1).of_message(id).from("s@z.test").to("a@x.test").to("d@x.test"),
        ];
        let rows = rows(events);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].newest.kind, EventKind::Delivered);
        assert_eq!((rows[0].from.as_deref(), rows[0].to.len()), (Some("s@z.test"), 2));
    }

    #[test]
    fn filters_select_their_kinds() {
        assert!(MailFilter::Refused.kinds(false).contains("recipient-refused"));
        assert!(!MailFilter::Refused.kinds(false).contains("login-refused"));
        assert_eq!(MailFilter::All.kinds(true), "");
        assert!(!MailFilter::All.kinds(false).contains("logged-in"));
        assert_eq!(MailFilter::of_name("nonsense"), MailFilter::All);
    }
}
