//! The simulated disk: commits that take time, commits that fail, and deaths of the process around a commit.

use std::sync::Arc;
use std::time::Duration;

use store::{CommitFate, Committing, SimulatedDisk};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::world::World;

/// The disk of one process.
#[derive(Debug)]
pub struct Disk {
    world: Arc<World>,
    dead: Arc<Notify>,
}

impl Disk {
    /// The disk of a process; `dead` is notified when the process dies.
    pub fn new(world: Arc<World>, dead: Arc<Notify>) -> Self {
        Self { world, dead }
    }
}

impl SimulatedDisk for Disk {
    fn commit(&self) -> Committing {
        let world = self.world.clone();
        Box::pin(async move {
            let sync_ms = world.state().dice.between(0, world.scenario.sync_ms);
            sleep(Duration::from_millis(u64::try_from(sync_ms).unwrap_or_default())).await;
            let fails = world.mishap(world.scenario.disk_per_mille);
            let mut state = world.state();
            let fate = state.armed.take().unwrap_or(if fails { CommitFate::Fails } else { CommitFate::Done });
            if fate != CommitFate::Done {
                state.trace(&format!("disk: {fate:?}"));
                state.disk_failures += 1;
            }
            fate
        })
    }

    fn died(&self) {
        self.dead.notify_one();
    }
}
