//! `waypost failed`: deliveries that failed without a DSN.

use anyhow::Result;
use control_api::api::{FailedView, Page};
use mail::one_line;

use crate::output::{DIM, Output, styled, table};
use crate::transport::Transport;

pub(super) async fn run(api: &mut Transport, limit: u32, out: Output) -> Result<()> {
    let failed: Page<FailedView> = api.query("/api/v1/failed", &[("limit", Some(limit.to_string()))]).await?;
    Ok(out.show(&failed.items, |failed| failures(failed))?)
}

fn failures(failed: &[FailedView]) -> String {
    if failed.is_empty() {
        return styled(DIM, "no delivery failed without a DSN");
    }
    let row = |f: &FailedView| {
        let from = if f.from.is_empty() { "<>" } else { &f.from };
        vec![f.id.clone(), mail::rfc5322_date(f.at_ms / 1000), one_line(from), f.to.clone(), f.target.clone(), one_line(&f.reason)]
    };
    table(&["id", "when", "from", "to", "target", "reason"], &failed.iter().map(row).collect::<Vec<_>>())
}
