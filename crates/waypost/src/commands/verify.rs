//! `waypost queue verify`: reads the whole queue on disk, beside a running server.
//!
//! Invariant: it writes nothing; what the server changes meanwhile is no finding.

use std::process::ExitCode;

use anyhow::Result;
use store::{QueueReader, Verified, verify_postgres};

use super::backup::settle;
use crate::config::Config;
use crate::open_store::address;
use crate::output::{BAD, DIM, GOOD, Output, size, styled};
use crate::transport::Transport;

pub(super) async fn run(config: &Config, api: &mut Transport, out: Output) -> Result<ExitCode> {
    if let Some((url, password)) = address(config)? {
        let verified = verify_postgres(url, password).await?;
        out.show(&verified, text)?;
        return Ok(if verified.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    settle(api).await?;
    let reader = QueueReader::open(&config.file.data_dir)?;
    let examined = reader.examine()?;
    settle(api).await?;
    let verified = reader.confirm(examined)?;
    out.show(&verified, text)?;
    Ok(if verified.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(verified: &Verified) -> String {
    let counts = format!(
        "{} messages, {} recipients, {} contents in the database and {} large ones, {} compared",
        verified.messages,
        verified.recipients,
        verified.contents_in_rows,
        verified.contents_in_files,
        size(verified.content_bytes)
    );
    let mut lines = match verified.damage.len() {
        0 => vec![format!("{} {counts}; nothing is damaged or missing", styled(GOOD, "ok:"))],
        n => vec![counts, styled(BAD, format!("{n} damaged or missing:"))],
    };
    lines.extend(verified.damage.iter().map(|damage| format!("  {} {}", damage.id, damage.what)));
    if !verified.damage.is_empty() {
        lines.push("check the disk (dmesg, smartctl); a damaged message is set aside when it is due, and the rest is delivered; waypost restore has what a backup has".into());
    }
    if verified.without_crc > 0 {
        lines.push(styled(DIM, format!("{} contents have no CRC-32: an early version committed them", verified.without_crc)));
    }
    if !verified.files_without_rows.is_empty() {
        lines.push(styled(
            DIM,
            format!(
                "{} files in content/ belong to no message: mail that is being received, or that a crash left and nobody accepted; a start moves those to content/orphans",
                verified.files_without_rows.len()
            ),
        ));
    }
    lines.join("\n")
}
