//! `waypost selftest sandbox`: restricts this process as the server is, then tries what must be refused and what must work.
//!
//! Invariant: an attempt that succeeds against expectation changes nothing that matters: its files are its own.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::sandbox::Confinement;
use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use serde::Serialize;

use crate::config::{self, Config};
use crate::output::{BAD, GOOD, Output, styled, table};
use crate::serve::sandbox;

/// One attempt.
#[derive(Debug, Serialize)]
struct SandboxTry {
    /// What was tried.
    attempt: &'static str,
    /// Whether it must work.
    allowed: bool,
    /// Whether it is as it must be.
    ok: bool,
    /// What came of it.
    outcome: String,
}

/// What is in force, and the attempts.
#[derive(Debug, Serialize)]
struct SandboxReport {
    ok: bool,
    landlock: u32,
    files: String,
    calls: String,
    faults: Vec<String>,
    attempts: Vec<SandboxTry>,
}

/// Runs the command.
pub fn sandbox(path: &Path, out: Output) -> Result<ExitCode> {
    let config = config::load(path)?;
    let config = if sandbox::leave_root(&config)? { config::load(path)? } else { config };
    let foreign = foreign_place(&sandbox::needs(&config).writable).join(format!("waypost-selftest-{}", std::process::id()));
    fs::write(&foreign, "of another program\n").with_context(|| format!("cannot create {}", foreign.display()))?;
    // Landlock restricts a thread, so that this one can remove the file.
    let tried = std::thread::scope(|scope| scope.spawn(|| confined(&config, &foreign)).join());
    let removed = fs::remove_file(&foreign);
    let Ok((confinement, attempts)) = tried else { bail!("the thread of the attempts has panicked") };
    removed.with_context(|| format!("cannot remove {}", foreign.display()))?;
    let report = SandboxReport {
        ok: confinement.is_in_force() && attempts.iter().all(|attempt| attempt.ok),
        landlock: confinement.landlock,
        files: format!("{:?}", confinement.files).to_lowercase(),
        calls: format!("{:?}", confinement.calls).to_lowercase(),
        faults: confinement.faults,
        attempts,
    };
    out.show(&report, text)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A directory that every user may write to, and the server may not: a hook may use those for temporary files.
fn foreign_place(writable: &[PathBuf]) -> PathBuf {
    let places = [std::env::temp_dir(), "/var/tmp".into(), "/dev/shm".into()];
    let is_foreign = |place: &PathBuf| place.is_dir() && !writable.iter().any(|granted| place.starts_with(granted));
    places.into_iter().find(is_foreign).unwrap_or_else(std::env::temp_dir)
}

fn confined(config: &Config, foreign: &Path) -> (Confinement, Vec<SandboxTry>) {
    let confinement = ::sandbox::confine(&sandbox::needs(config));
    (confinement, attempts(config, foreign))
}

fn attempts(config: &Config, foreign: &Path) -> Vec<SandboxTry> {
    let data = &config.file.data_dir;
    let own = data.join(format!("selftest-{}", std::process::id()));
    let foreign_directory = foreign.with_extension("dir");
    let hook = config.file.acme.enabled && config.file.acme.dns_hook.is_some();
    let mut all = vec![
        attempt("execute a program (/bin/true)", hook, || std::process::Command::new("/bin/true").status().map(drop)),
        attempt("read a file of another program", false, || fs::read(foreign).map(drop)),
        attempt("write a file of another program", false, || fs::OpenOptions::new().append(true).open(foreign).map(drop)),
        attempt("create a directory elsewhere", false, || fs::create_dir(foreign_directory)),
        attempt("remove a file of another program", false, || fs::remove_file(foreign)),
        attempt("read the password hashes (/etc/shadow)", false, || fs::read("/etc/shadow").map(drop)),
        attempt("change the root directory (chroot)", false, || Ok(nix::unistd::chroot("/")?)),
        attempt("open a socket that is not IP (netlink)", false, || {
            let family = AddressFamily::Netlink;
            Ok(nix::sys::socket::socket(family, SockType::Raw, SockFlag::empty(), None).map(drop)?)
        }),
    ];
    if ::sandbox::landlock_version() >= 4 {
        all.push(attempt("bind another port", false, || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(bind_beside)));
    }
    if ::sandbox::landlock_version() >= 6 {
        // Signal 0 only checks whether a signal may be sent.
        let parent = nix::unistd::getppid();
        all.push(attempt("signal another process", false, || Ok(nix::sys::signal::kill(parent, None)?)));
    }
    all.extend([
        attempt("read the configuration", true, || fs::read(&config.path).map(drop)),
        attempt("write to the data directory", true, || fs::write(&own, "x").and_then(|()| fs::remove_file(&own))),
        attempt("read /etc/resolv.conf", true, || fs::read("/etc/resolv.conf").map(drop)),
        attempt("start a thread", true, || std::thread::Builder::new().spawn(|| ()).map(drop)),
    ]);
    all
}

/// Binds a port that is free and not the server's: the one beside a port that the kernel has chosen.
fn bind_beside(chosen: TcpListener) -> io::Result<()> {
    let port = chosen.local_addr()?.port();
    let beside = if port == u16::MAX { port - 1 } else { port + 1 };
    match TcpListener::bind((Ipv4Addr::LOCALHOST, beside)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(io::Error::other("the port is in use; try again")),
        other => other.map(drop),
    }
}

fn attempt(attempt: &'static str, allowed: bool, run: impl FnOnce() -> io::Result<()>) -> SandboxTry {
    let result = run();
    let outcome = match &result {
        Ok(()) => "works".to_owned(),
        Err(error) => error.to_string(),
    };
    let refused = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    SandboxTry { attempt, allowed, ok: if allowed { result.is_ok() } else { refused }, outcome }
}

fn text(report: &SandboxReport) -> String {
    let row = |attempt: &SandboxTry| {
        let expected = if attempt.allowed { "works" } else { "refused" };
        vec![
            if attempt.ok { styled(GOOD, "ok") } else { styled(BAD, "WRONG") },
            attempt.attempt.to_owned(),
            expected.to_owned(),
            attempt.outcome.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = report.attempts.iter().map(row).collect();
    let mut text = table(&["", "attempt", "must be", "outcome"], &rows);
    text.push_str(&format!("\n\nLandlock version {}: {}; seccomp: {}", report.landlock, report.files, report.calls));
    report.faults.iter().for_each(|fault| text.push_str(&format!("\n{}", styled(BAD, fault))));
    text
}
