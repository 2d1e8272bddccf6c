//! `waypost token`: the tokens of the HTTP API.

use anyhow::Result;
use control_api::api::{Changed, MadeToken, NewToken, TokenView};
use mail::one_line;

use super::changed;
use crate::cli::{TokenAddArgs, TokenCommand};
use crate::output::{BOLD, DIM, GOOD, Output, span, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: TokenCommand, out: Output) -> Result<()> {
    match command {
        TokenCommand::Add(args) => add(api, args, out).await,
        TokenCommand::List => {
            let tokens: Vec<TokenView> = api.list("/api/v1/tokens", &[]).await?;
            Ok(out.show(&tokens, |tokens| list(tokens))?)
        }
        TokenCommand::Remove { name } => {
            let done: Changed = api.delete(&format!("/api/v1/tokens/{}", segment(&name))).await?;
            changed(out, &done)
        }
    }
}

async fn add(api: &mut Transport, args: TokenAddArgs, out: Output) -> Result<()> {
    let TokenAddArgs { name, scopes, domains, account, days } = args;
    let made: MadeToken = api.post("/api/v1/tokens", &NewToken { name, scopes, domains, login: account, days }).await?;
    Ok(out.show(&made, |made| {
        let until = made.until_ms.map(|until_ms| format!(", valid until {}", mail::rfc5322_date(until_ms / 1000))).unwrap_or_default();
        let use_it = styled(DIM, "It is shown only now. Send it as: Authorization: Bearer TOKEN");
        format!("{} token {}{until}\n{}\n{use_it}", styled(GOOD, "ok:"), made.name, styled(BOLD, &made.token))
    })?)
}

fn list(tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return styled(DIM, "no tokens; make one: waypost token add NAME --scope read");
    }
    let now_ms = net::Clock::system().now_ms();
    let row = |token: &TokenView| {
        let domains = if token.domains.is_empty() { "all".to_owned() } else { token.domains.join(", ") };
        let used = token.used_ms.map_or("never".to_owned(), |at_ms| format!("{} ago", span((now_ms - at_ms).max(0))));
        let ends = match token.until_ms {
            None => "never".to_owned(),
            Some(until_ms) if until_ms <= now_ms => "has ended".to_owned(),
            Some(until_ms) => format!("in {}", span(until_ms - now_ms)),
        };
        vec![one_line(&token.name), token.scopes.join(", "), domains, token.login.clone().unwrap_or_default(), used, ends]
    };
    table(&["name", "scopes", "domains", "account", "last use", "ends"], &tokens.iter().map(row).collect::<Vec<_>>())
}
