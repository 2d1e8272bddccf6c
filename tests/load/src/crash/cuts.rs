//! Power cuts: the data directory is on a file system in an image, which is shut down under load without writing its log. What was not synced is gone.

use anyhow::Result;

use crate::client::Security;
use crate::crash::server::Setup;
use crate::crash::{Campaigns, Report};
use crate::sink::Behaviour;
use crate::world::Disk;

/// Size of an image in MiB.
const DISK_MIB: u64 = 1024;

/// Cuts in one campaign: more leave so much mail behind that it fills the disk, and the server then takes none.
const CUTS_AT_ONCE: u32 = 100;

/// Cuts of the control: it stops as soon as mail is lost.
const CONTROL_CUTS: u32 = 10;

/// Cuts on ext4 and xfs; returns what must not be.
pub fn run(campaigns: &Campaigns) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for kind in ["ext4", "xfs"] {
        let mut left = campaigns.bounded(campaigns.options.cuts, 10);
        while left > 0 {
            let cuts = left.min(CUTS_AT_ONCE);
            faults.extend(on(campaigns, &format!("cuts, {kind}"), kind, cuts, false)?.faults());
            left -= cuts;
        }
    }
    Ok(faults)
}

/// The same without syncs, which must lose mail.
pub fn control(campaigns: &Campaigns) -> Result<Vec<String>> {
    let report = on(campaigns, "control without syncs, ext4", "ext4", CONTROL_CUTS.min(campaigns.options.cuts), true)?;
    if report.verdict.lost > 0 || report.notes.iter().any(|note| note.contains("did not start")) {
        return Ok(Vec::new());
    }
    Ok(vec!["the control without syncs lost no mail, so the power cuts prove nothing".to_owned()])
}

fn on(campaigns: &Campaigns, name: &str, kind: &str, cuts: u32, unsynced: bool) -> Result<Report> {
    let disk = Disk::new(kind, &campaigns.dir, DISK_MIB)?;
    let setup = Setup { unsynced, ..Setup::queued(600) };
    let mut trial = campaigns.trial(name, Some(&disk.at.join("data")), setup)?;
    trial.sink.behave(Behaviour::REFUSING);
    trial.server.start()?;
    let targets = [Security::Plain, Security::Plain, Security::StartTls].map(|security| trial.server.target(&campaigns.world, security));
    let load = trial.load(&targets);
    for _ in 0..cuts {
        // Mostly everything stays in the queue; at times it is on its way out.
        trial.sink.behave(if trial.dice.roll(10) < 7 { Behaviour::REFUSING } else { Behaviour::MIXED });
        trial.await_load();
        // While a file system is being shut down, Linux can return 0 from an fsync that made nothing durable (docs/testing.md). A process without power
        // would not see that 0, so the server is halted first.
        trial.server.halt()?;
        disk.cut()?;
        trial.server.kill();
        disk.unmount()?;
        disk.mount()?;
        trial.blows += 1;
        if let Err(error) = trial.server.start() {
            trial.notes.push(format!("it did not start after cut {}: {error:#}", trial.blows));
            break;
        }
        trial.progress();
    }
    load.end()?;
    trial.judge()
}
