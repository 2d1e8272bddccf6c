//! SIGKILL at random moments under load: queue mode, cut-through, and submission over TLS with a login.

use anyhow::Result;

use crate::client::Security;
use crate::crash::Campaigns;
use crate::crash::server::Setup;
use crate::sink::Behaviour;

const MODES: [(&str, bool, &[Security]); 3] = [
    ("kills, queue mode", false, &[Security::Plain]),
    ("kills, cut-through", true, &[Security::Plain]),
    ("kills, submission", false, &[Security::StartTls, Security::Tls]),
];

/// Kills in each mode; returns what must not be.
pub fn run(campaigns: &Campaigns) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, cut_through, securities) in MODES {
        let mut trial = campaigns.trial(name, None, Setup { cut_through, ..Setup::queued(1) })?;
        trial.sink.behave(Behaviour::MIXED);
        trial.server.start()?;
        let targets: Vec<_> = securities.iter().map(|security| trial.server.target(&campaigns.world, *security)).collect();
        let load = trial.load(&targets);
        for _ in 0..campaigns.bounded(campaigns.options.kills, 20) {
            trial.await_load();
            trial.server.kill();
            trial.server.start()?;
            trial.blows += 1;
            trial.progress();
        }
        load.end()?;
        faults.extend(trial.judge()?.faults());
    }
    Ok(faults)
}
