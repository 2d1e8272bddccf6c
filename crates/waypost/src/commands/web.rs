//! `waypost web`: the owner's page from the command line: its address, one-time links, sessions.
//!
//! Invariant: text from browsers is printed as one line.

use anyhow::Result;
use control_api::api::{Changed, LinkView, NewLoginLink, PageSessions, PageView};
use mail::one_line;

use super::changed;
use crate::cli::{WebArgs, WebCommand};
use crate::output::{BOLD, DIM, Output, WARN, note, span, styled, table};
use crate::transport::{Transport, segment};

/// Maximum length shown of the name that a browser gives itself, in characters.
const BROWSER_SHOWN: usize = 60;

pub(super) async fn run(api: &mut Transport, args: WebArgs, out: Output) -> Result<()> {
    match args.command {
        None => {
            let page: PageView = api.get("/api/v1/web").await?;
            Ok(out.show(&page, shown)?)
        }
        Some(WebCommand::LoginLink { login }) => {
            let link: LinkView = api.post("/api/v1/web/links", &NewLoginLink { login }).await?;
            show_link(api, &link, "it logs in", out)
        }
        Some(WebCommand::Invite { login }) => {
            let link: LinkView = api.post(&format!("/api/v1/accounts/{}/invitations", segment(&login)), &()).await?;
            show_link(api, &link, "it sets the password of", out)
        }
        Some(WebCommand::Sessions { end: None }) => {
            let sessions: PageSessions = api.get("/api/v1/web/sessions").await?;
            Ok(out.show(&sessions, list)?)
        }
        Some(WebCommand::Sessions { end: Some(login) }) => {
            let done: Changed = api.delete(&format!("/api/v1/accounts/{}/sessions", segment(&login))).await?;
            changed(out, &done)
        }
        Some(WebCommand::SecondStep { login, .. }) => {
            let done: Changed = api.delete(&format!("/api/v1/accounts/{}/second-step", segment(&login))).await?;
            changed(out, &done)
        }
    }
}

fn show_link(api: &Transport, link: &LinkView, what: &str, out: Output) -> Result<()> {
    out.show(link, |link| {
        let left = span(link.expires_ms - net::Clock::system().now_ms());
        format!("{}\n{}", styled(BOLD, &link.link), styled(DIM, format!("{what} {}, works once, for {left}", link.login)))
    })?;
    if !out.json && !api.is_server() {
        note(&format!("{} the server is not running; start it, then open the link", styled(WARN, "warning:")));
    }
    if !out.json && link.link.starts_with("https://localhost") {
        let port = link.link.split(':').nth(2).and_then(|rest| rest.split('/').next()).unwrap_or("443");
        note(&styled(DIM, format!("from your own computer, first: ssh -L {port}:localhost:{port} THIS-SERVER")));
    }
    Ok(())
}

fn shown(page: &PageView) -> String {
    let Some(url) = &page.url else {
        return format!(
            "{} the owner's page is off; it needs a certificate, and addresses under [listen]: admin or https",
            styled(WARN, "off:")
        );
    };
    let owners = if page.owners.is_empty() { "none; to make one: waypost account owner LOGIN".to_owned() } else { page.owners.join(", ") };
    format!(
        "{}\n  owners  {owners}\n  {}",
        styled(BOLD, format!("{url}/")),
        styled(DIM, "to log in for the first time: waypost web login-link")
    )
}

fn list(sessions: &PageSessions) -> String {
    if sessions.items.is_empty() {
        return styled(DIM, "nobody is logged in to the owner's page");
    }
    let now_ms = net::Clock::system().now_ms();
    let ago = |at_ms: i64| format!("{} ago", span(now_ms - at_ms));
    let rows: Vec<Vec<String>> = sessions
        .items
        .iter()
        .map(|s| {
            let browser: String = one_line(&s.browser).chars().take(BROWSER_SHOWN).collect();
            vec![s.login.clone(), ago(s.begun_ms), ago(s.used_ms), s.client.clone(), browser]
        })
        .collect();
    table(&["account", "logged in", "last used", "from", "browser"], &rows)
}
