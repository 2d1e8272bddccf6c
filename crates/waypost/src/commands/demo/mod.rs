//! `waypost demo`: sends real mail both ways through a small Internet on this machine.
//!
//! A name server, a mailbox provider at inbox.test, a stranger's server at foreign.test, and our server for example.test, started as `waypost serve`
//! starts it. Invariant: a step succeeds only if the message arrives through a socket at its destination.

mod client;
mod dns;
mod mailbox_host;
mod network;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mail::{Domain, Fields};
use net::ClientTls;
use smtp::client::Credentials;
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::cli;
use crate::output::{BOLD, DIM, GOOD, print, styled};
use client::{OutgoingMessage, SendOutcome, send};
use mailbox_host::ReceivedMessage;
use network::{DemoNetwork, OURS, login_link, populate, start};

/// Maximum wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the tour.
pub fn run(args: &cli::DemoArgs) -> Result<ExitCode> {
    let runtime = Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(demo(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn demo(args: &cli::DemoArgs) -> Result<()> {
    let dir = temporary_directory()?;
    let result = tour(args, &dir).await;
    // It contains only the demonstration's own mail.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn temporary_directory() -> Result<std::path::PathBuf> {
    let name = format!("waypost-demo-{}-{:08x}", std::process::id(), net::random_u32());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    Ok(dir)
}

async fn tour(args: &cli::DemoArgs, dir: &Path) -> Result<()> {
    heading("A small Internet on this machine")?;
    let mut network = start(dir).await?;
    let password = populate(&network).await?;
    receive(&mut network).await?;
    submit(&mut network, &password).await?;
    refuse(&network).await?;
    heading("All three steps worked")?;
    if !args.once {
        explain(&network, &password, &login_link(&network).await?)?;
        watch(&mut network).await?;
        print("\nStopping the demonstration.")?;
    }
    network.running.stop().await;
    Ok(())
}

fn heading(text: &str) -> Result<()> {
    Ok(print(&format!("\n{}", styled(BOLD, text)))?)
}

fn say(who: &str, what: &str) -> Result<()> {
    Ok(print(&format!("  {who:<12} {what}"))?)
}

async fn find_mail_host(network: &DemoNetwork, domain: &str) -> Result<SocketAddr> {
    let records = network.resolver.mx(&Domain::parse(domain)?).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let host = records.into_iter().find_map(|r| r.host).with_context(|| format!("{domain} has no MX"))?;
    let addresses = network.resolver.addresses(&host, false).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let address = addresses.first().with_context(|| format!("{host} has no address"))?;
    Ok(SocketAddr::new(*address, network.port))
}

async fn wait_for_message(mailbox: &mut UnboundedReceiver<ReceivedMessage>, subject: &str) -> Result<ReceivedMessage> {
    let wait = timeout(PATIENCE, async {
        while let Some(message) = mailbox.recv().await {
            if Fields::find_first(message.content.as_bytes(), "Subject").is_some_and(|f| f.unfolded() == subject) {
                return Some(message);
            }
        }
        None
    });
    wait.await.ok().flatten().with_context(|| format!("the message \"{subject}\" did not arrive within {} s", PATIENCE.as_secs()))
}

fn show(who: &str, message: &ReceivedMessage) -> Result<()> {
    say(who, &styled(GOOD, format!("has new mail for {}", message.to.join(", "))))?;
    let mut in_signature = false;
    for line in message.content.lines() {
        // Only the first of a signature's fourteen lines is shown.
        in_signature = line.starts_with("DKIM-Signature:") || (in_signature && line.starts_with(['\t', ' ']));
        match (in_signature, line.starts_with("DKIM-Signature:")) {
            (true, true) => print(&format!("      {}", styled(DIM, format!("{line} ..."))))?,
            (true, false) => {}
            (false, _) => print(&format!("      {}", styled(DIM, line)))?,
        }
    }
    Ok(())
}

async fn receive(network: &mut DemoNetwork) -> Result<()> {
    heading("1. A stranger writes to me@example.test, and the message is forwarded")?;
    let content = "From: A stranger <stranger@foreign.test>\r\nTo: me@example.test\r\nSubject: Hello from afar\r\n\
                  Message-ID: <1@foreign.test>\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\nIs this address still yours?\r\n";
    let signed = format!("{}{content}", network.signer.sign(&[content.as_bytes()])?);
    let sent = OutgoingMessage { from: "stranger@foreign.test", to: "me@example.test", content: &signed };
    let server = find_mail_host(network, "example.test").await?;
    match send(server, None, &sent).await? {
        SendOutcome::Accepted(reply) => say("our server", &reply)?,
        SendOutcome::Refused(reply) => bail!("our server refused the stranger's message: {reply}"),
    }
    let message = wait_for_message(&mut network.inbox, "Hello from afar").await?;
    ensure!(message.to == ["<foo@inbox.test>"], "the message went to {:?}", message.to);
    ensure!(message.content.ends_with(sent.content), "the stranger's message was changed in transit");
    show("inbox.test", &message)?;
    check_results(&message, "foreign.test")
}

/// Requires that the receiver's own checks pass, and prints them.
fn check_results(message: &ReceivedMessage, from: &str) -> Result<()> {
    let results = &message.results;
    let passed = |what: &str| results.lines().any(|line| line.trim().starts_with(what) && line.contains(from));
    ensure!(
        passed("dkim=pass") && passed("dmarc=pass") && results.contains("spf=pass"),
        "the receiver does not authenticate the message: {results}"
    );
    print("\n  The receiver's checks:")?;
    for line in results.lines() {
        print(&format!("      {}", styled(GOOD, line)))?;
    }
    Ok(())
}

async fn submit(network: &mut DemoNetwork, password: &str) -> Result<()> {
    heading("2. The answer is sent over TLS with a login, as me@example.test")?;
    let sent = OutgoingMessage {
        from: "me@example.test",
        to: "stranger@foreign.test",
        content: "From: Me <me@example.test>\r\nTo: stranger@foreign.test\r\nSubject: Re: Hello from afar\r\n\r\nIt is.\r\n",
    };
    let tls = ClientTls::new(None)?;
    let credentials = Credentials { user: "me@example.test".into(), password: password.into() };
    let server = SocketAddr::from((OURS, network.port + 1));
    match send(server, Some((&tls, credentials)), &sent).await? {
        SendOutcome::Accepted(reply) => say("our server", &reply)?,
        SendOutcome::Refused(reply) => bail!("our server refused the answer: {reply}"),
    }
    let message = wait_for_message(&mut network.foreign, "Re: Hello from afar").await?;
    ensure!(message.content.ends_with(sent.content), "the answer was changed in transit");
    show("foreign.test", &message)?;
    check_results(&message, "example.test")
}

async fn refuse(network: &DemoNetwork) -> Result<()> {
    heading("3. A stranger tries to relay through our server, and is refused")?;
    let message = OutgoingMessage { from: "stranger@foreign.test", to: "victim@elsewhere.test", content: "Subject: buy!\r\n\r\nNow.\r\n" };
    match send(find_mail_host(network, "example.test").await?, None, &message).await? {
        SendOutcome::Accepted(reply) => bail!("our server relayed a stranger's message: {reply}"),
        SendOutcome::Refused(reply) => {
            ensure!(reply.starts_with("550 5.7.1"), "the refusal was {reply}");
            say("our server", &styled(GOOD, reply))
        }
    }
}

/// Shows what arrives at either end until Ctrl-C.
async fn watch(network: &mut DemoNetwork) -> Result<()> {
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            stopped = &mut stopped => return stopped.context("waiting for Ctrl-C"),
            Some(message) = network.inbox.recv() => show("inbox.test", &message)?,
            Some(message) = network.foreign.recv() => show("foreign.test", &message)?,
        }
    }
}

fn explain(network: &DemoNetwork, password: &str, link: &str) -> Result<()> {
    let (port, config) = (network.port, network.config.path.display());
    heading("Try it yourself: this shows what arrives, until Ctrl-C")?;
    let submissions = port + 2;
    Ok(print(&format!(
        "  In a browser, which warns of the certificate of this demonstration:\n    {link}\n  As a stranger:\n    swaks --server {OURS}:{port} --from you@foreign.test --to me@example.test\n  \
         As me@example.test:\n    swaks --server {OURS}:{} --tls --auth-user me@example.test --auth-password {password} \\\n      \
         --from me@example.test --to you@foreign.test\n    \
         printf 'From: me@example.test\\nSubject: hi\\n\\nhello\\n' | curl -k smtps://{OURS}:{submissions} --ssl-reqd --crlf \\\n      \
         --user 'me@example.test:{password}' --mail-from me@example.test --mail-rcpt you@foreign.test -T -\n  \
         Look around:\n    waypost --config {config} queue list\n    waypost --config {config} alias add news@example.test foo@inbox.test",
        port + 1,
    ))?)
}
