//! `waypost notify`: tests of the channels of notices.

use std::process::ExitCode;

use anyhow::Result;
use control_api::api::{NoticeAnswer, NoticeTest};
use mail::one_line;

use crate::cli::NotifyCommand;
use crate::output::{BAD, GOOD, Output, styled};
use crate::transport::Transport;

pub(super) async fn run(api: &mut Transport, command: NotifyCommand, out: Output) -> Result<ExitCode> {
    let NotifyCommand::Test { channel } = command;
    let answers: Vec<NoticeAnswer> = api.post("/api/v1/notices/test", &NoticeTest { channel }).await?;
    out.show(&answers, |answers| answers.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
    Ok(if answers.iter().all(|answer| answer.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(answer: &NoticeAnswer) -> String {
    let outcome = if answer.ok { styled(GOOD, "accepted:") } else { styled(BAD, "failed:") };
    format!("{:<9}{outcome} {}", answer.channel, one_line(&answer.answer))
}
