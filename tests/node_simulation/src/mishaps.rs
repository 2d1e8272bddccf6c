//! What goes wrong in a run: cables are cut, processes die, clocks are set, COMMITs and answers are lost or late.

use anyhow::Result;

use crate::cable::Fault;
use crate::run::Run;

impl Run {
    /// Sets what happens to the next COMMIT or answer of a node.
    pub fn arm(&mut self, n: usize) -> Result<()> {
        let fault = *self.dice.pick(&[Fault::LosesCommit, Fault::LosesCommit, Fault::HoldsCommit, Fault::LosesAnswer]);
        let name = self.nodes[n].name.clone();
        let Some(life) = self.life(n) else { return Ok(()) };
        life.cable.arm(Some(fault));
        self.say(format_args!("{name} {fault:?}"));
        Ok(())
    }

    /// Cuts, mends, kills, stops and starts.
    pub async fn disturb(&mut self, n: usize) -> Result<()> {
        let name = self.nodes[n].name.clone();
        let what = self.dice.between(1, 100);
        if what > 85 {
            return self.stall(n).await;
        }
        if what <= 8 && self.nodes.iter().any(|node| node.cables.iter().any(|cable| cable.late() > 0)) {
            return self.deliver_late().await;
        }
        if what <= 12 {
            // Within the margin between the lease and what a node believes of it.
            self.database_ahead_ms = self.dice.between(-2_000, 2_000);
            let ahead_ms = self.database_ahead_ms;
            self.say(format_args!("the clock of the database is set to {ahead_ms} ms ahead"));
            return self.advance(0).await;
        }
        let Some(life) = self.life(n) else {
            if what <= 60 {
                self.start(n).await?;
            }
            return self.check().await;
        };
        let is_whole = life.cable.is_whole();
        match what {
            1..=25 if is_whole => life.cable.cut(true),
            26..=35 if is_whole => life.cable.cut_watch(),
            36..=50 if is_whole => life.cable.sever(),
            51..=60 => return self.end(n, true).await,
            61..=68 if is_whole => return self.end(n, false).await,
            _ if !is_whole => life.cable.cut(false),
            _ => return Ok(()),
        }
        self.say(format_args!("{name}: cable, {what}"));
        self.settle_down(n).await
    }

    /// A node is cut off until its lease has ended, others take what it held, and it comes back with what it has to settle.
    async fn stall(&mut self, n: usize) -> Result<()> {
        let Some(life) = self.life(n).filter(|life| life.is_healthy() && !life.jobs.is_empty()) else { return Ok(()) };
        life.cable.cut(true);
        let name = self.nodes[n].name.clone();
        self.say(format_args!("{name} is cut off"));
        self.settle_down(n).await?;
        let by_ms = self.dice.between(34_000, 50_000);
        self.advance(by_ms).await?;
        self.claim_rounds().await?;
        if let Some(life) = self.life(n) {
            life.cable.cut(false);
        }
        self.advance(3_000).await?;
        for place in (0..self.life(n).map_or(0, |life| life.jobs.len())).rev() {
            for _ in 0..2 {
                if self.life(n).is_some_and(|life| place < life.jobs.len()) {
                    self.go_on(n, place, false).await?;
                }
            }
        }
        self.claim_rounds().await
    }

    pub async fn deliver_late(&mut self) -> Result<()> {
        for node in &self.nodes {
            for cable in &node.cables {
                cable.deliver_late().await?;
            }
        }
        self.say("late COMMITs arrive");
        for n in 0..self.nodes.len() {
            self.settle_down(n).await?;
        }
        self.check().await
    }
}
