//! `waypost demo`: a whole small Internet on this machine, and real mail through it both ways.
//!
//! A name server, a Gmail-like mailbox at inbox.test, a stranger at foreign.test, and between them our own server for
//! example.test, started as `waypost serve` starts it. Invariant: a step counts as seen only when the message came out of a
//! socket at its far end.

mod dns;
mod post_office;
mod visitor;
mod world;

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
use post_office::Arrived;
use visitor::{Letter, send};
use world::{OURS, World, build, furnish};

/// Mail that takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the tour.
pub fn run(args: &cli::Demo) -> Result<ExitCode> {
    let runtime = Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(demo(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn demo(args: &cli::Demo) -> Result<()> {
    let dir = temporary_directory()?;
    let result = tour(args, &dir).await;
    // It holds nothing but the demonstration's own mail.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn temporary_directory() -> Result<std::path::PathBuf> {
    let name = format!("waypost-demo-{}-{:08x}", std::process::id(), net::random_u32());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    Ok(dir)
}

async fn tour(args: &cli::Demo, dir: &Path) -> Result<()> {
    heading("A small Internet on this machine")?;
    let mut world = build(dir).await?;
    let password = furnish(&world).await?;
    receive(&mut world).await?;
    submit(&mut world, &password).await?;
    refuse(&world).await?;
    heading("All three steps were seen")?;
    if !args.once {
        explain(&world, &password)?;
        watch(&mut world).await?;
        print("\nTaking the small Internet down.")?;
    }
    world.running.stop().await;
    Ok(())
}

fn heading(text: &str) -> Result<()> {
    Ok(print(&format!("\n{}", styled(BOLD, text)))?)
}

fn said(who: &str, what: &str) -> Result<()> {
    Ok(print(&format!("  {who:<12} {what}"))?)
}

async fn mail_host(world: &World, domain: &str) -> Result<SocketAddr> {
    let records = world.resolver.mx(&Domain::parse(domain)?).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let host = records.into_iter().find_map(|r| r.host).with_context(|| format!("{domain} has no MX"))?;
    let addresses = world.resolver.addresses(&host, false).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let address = addresses.first().with_context(|| format!("{host} has no address"))?;
    Ok(SocketAddr::new(*address, world.port))
}

async fn arrival(mailbox: &mut UnboundedReceiver<Arrived>, subject: &str) -> Result<Arrived> {
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

fn show(who: &str, message: &Arrived) -> Result<()> {
    said(who, &styled(GOOD, format!("has new mail for {}", message.to.join(", "))))?;
    let mut in_signature = false;
    for line in message.content.lines() {
        // A signature is fourteen lines of nothing that a person reads.
        in_signature = line.starts_with("DKIM-Signature:") || (in_signature && line.starts_with(['\t', ' ']));
        match (in_signature, line.starts_with("DKIM-Signature:")) {
            (true, true) => print(&format!("      {}", styled(DIM, format!("{line} ..."))))?,
            (true, false) => {}
            (false, _) => print(&format!("      {}", styled(DIM, line)))?,
        }
    }
    Ok(())
}

async fn receive(world: &mut World) -> Result<()> {
    heading("1. A stranger writes to me@example.test, and it is forwarded")?;
    let content = "From: A stranger <stranger@foreign.test>\r\nTo: me@example.test\r\nSubject: Hello from afar\r\n\
                  Message-ID: <1@foreign.test>\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\nIs this address still yours?\r\n";
    let signed = format!("{}{content}", world.signer.sign(&[content.as_bytes()])?);
    let letter = Letter { from: "stranger@foreign.test", to: "me@example.test", content: &signed };
    let server = mail_host(world, "example.test").await?;
    match send(server, None, &letter).await? {
        Ok(reply) => said("our server", &reply)?,
        Err(reply) => bail!("our server refused the stranger's message: {reply}"),
    }
    let message = arrival(&mut world.inbox, "Hello from afar").await?;
    ensure!(message.to == ["<foo@inbox.test>"], "the message went to {:?}", message.to);
    ensure!(message.content.ends_with(letter.content), "the stranger's message was changed on its way");
    show("inbox.test", &message)?;
    believed(&message, "foreign.test")
}

/// The far end's own checks: mail is worth nothing to a mailbox provider that does not believe it.
fn believed(message: &Arrived, from: &str) -> Result<()> {
    let results = &message.results;
    let passed = |what: &str| results.lines().any(|line| line.trim().starts_with(what) && line.contains(from));
    ensure!(
        passed("dkim=pass") && passed("dmarc=pass") && results.contains("spf=pass"),
        "the mail is not believed at its far end: {results}"
    );
    print("\n  What the far end found out about it:")?;
    for line in results.lines() {
        print(&format!("      {}", styled(GOOD, line)))?;
    }
    Ok(())
}

async fn submit(world: &mut World, password: &str) -> Result<()> {
    heading("2. Logged in over TLS, the answer goes out as me@example.test")?;
    let letter = Letter {
        from: "me@example.test",
        to: "stranger@foreign.test",
        content: "From: Me <me@example.test>\r\nTo: stranger@foreign.test\r\nSubject: Re: Hello from afar\r\n\r\nIt is.\r\n",
    };
    let tls = ClientTls::new(None)?;
    let credentials = Credentials { user: "me@example.test".into(), password: password.into() };
    let server = SocketAddr::from((OURS, world.port + 1));
    match send(server, Some((&tls, credentials)), &letter).await? {
        Ok(reply) => said("our server", &reply)?,
        Err(reply) => bail!("our server refused the answer: {reply}"),
    }
    let message = arrival(&mut world.foreign, "Re: Hello from afar").await?;
    ensure!(message.content.ends_with(letter.content), "the answer was changed on its way");
    show("foreign.test", &message)?;
    believed(&message, "example.test")
}

async fn refuse(world: &World) -> Result<()> {
    heading("3. A stranger tries to send through us to somebody else, and is refused")?;
    let letter = Letter { from: "stranger@foreign.test", to: "victim@elsewhere.test", content: "Subject: buy!\r\n\r\nNow.\r\n" };
    match send(mail_host(world, "example.test").await?, None, &letter).await? {
        Ok(reply) => bail!("our server relayed for a stranger: {reply}"),
        Err(reply) => {
            ensure!(reply.starts_with("550 5.7.1"), "the refusal was {reply}");
            said("our server", &styled(GOOD, reply))
        }
    }
}

/// Shows what arrives at either end, until Ctrl-C.
async fn watch(world: &mut World) -> Result<()> {
    let told = tokio::signal::ctrl_c();
    tokio::pin!(told);
    loop {
        tokio::select! {
            told = &mut told => return told.context("waiting for Ctrl-C"),
            Some(message) = world.inbox.recv() => show("inbox.test", &message)?,
            Some(message) = world.foreign.recv() => show("foreign.test", &message)?,
        }
    }
}

fn explain(world: &World, password: &str) -> Result<()> {
    let (port, config) = (world.port, world.config.path.display());
    heading("Try it yourself; what arrives is shown here, until Ctrl-C")?;
    let submissions = port + 2;
    Ok(print(&format!(
        "  As a stranger:\n    swaks --server {OURS}:{port} --from you@foreign.test --to me@example.test\n  \
         As me@example.test:\n    swaks --server {OURS}:{} --tls --auth-user me@example.test --auth-password {password} \\\n      \
         --from me@example.test --to you@foreign.test\n    \
         printf 'From: me@example.test\\nSubject: hi\\n\\nhello\\n' | curl -k smtps://{OURS}:{submissions} --ssl-reqd --crlf \\\n      \
         --user 'me@example.test:{password}' --mail-from me@example.test --mail-rcpt you@foreign.test -T -\n  \
         Look inside:\n    waypost --config {config} queue list\n    waypost --config {config} alias add news@example.test foo@inbox.test",
        port + 1,
    ))?)
}
